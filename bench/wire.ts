import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** What lies between two ends. The same bandwidth each way. */
export interface WireShape {
  readonly roundTripMs: number;
  /** Of packets, each way: 0.01 is one in a hundred. */
  readonly loss: number;
  readonly bitsPerSecond: number;
}

/** A wire that is up. Who connects to `reached` gets to what listens on `listens`. */
export interface Wire {
  readonly listens: string;
  readonly reached: string;
  close(): Promise<void>;
}

const SOURCE = join(import.meta.dirname, '..', '..', 'bench', 'shaped-wire.c');
/** What a router holds: a round trip of the bandwidth, and some packets on a slow link. */
const QUEUE_BYTES_MIN = 64_000;
const IN_NAMESPACE = 'HOLDFAST_BENCH_NAMESPACE';

/**
 * Runs this process again in a network namespace of its own, where a wire can be made. False when
 * this one is in it; true when the other one has ended, as this one should.
 */
export function ranInNamespace(): boolean {
  if (process.env[IN_NAMESPACE] !== undefined) return false;
  const env = { ...process.env, [IN_NAMESPACE]: '1' };
  const args = ['-Urn', process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const { error, status } = spawnSync('unshare', args, { stdio: 'inherit', env });
  if (error)
    throw new Error('a wire needs util-linux: apt-get install util-linux', { cause: error });
  process.exitCode = status ?? 1;
  return true;
}

/** Compiles it into `folder`. For what is published to one of `ports`, and for the way back. */
export async function startWire(
  folder: string,
  { roundTripMs, loss, bitsPerSecond }: WireShape,
  ports: readonly number[],
  seed: number,
): Promise<Wire> {
  const program = join(folder, 'shaped-wire');
  execFileSync('cc', ['-std=gnu11', '-O2', '-o', program, SOURCE], { stdio: 'inherit' });
  const queueBytes = Math.max(QUEUE_BYTES_MIN, (bitsPerSecond / 8) * (roundTripMs / 1000));
  const shape = [roundTripMs, loss * 1000, bitsPerSecond, queueBytes, seed, ...ports];
  const args = shape.map((value) => String(Math.round(value)));
  const wire = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(wire, 'exit');
  const up = await Promise.race([
    once(wire.stdout, 'data').then(() => true),
    ended.then(() => false),
  ]);
  if (!up) throw new Error('no wire: it needs /dev/net/tun, and a network namespace of its own');
  return {
    listens: '10.77.0.1',
    reached: '10.77.0.2',
    async close() {
      wire.stdin.end();
      await ended;
    },
  };
}
