import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** What is published: QoS 1, from all connections at once, each with a window of its own. */
export interface LoadShape {
  readonly connections: number;
  /** Publishes of one connection that may be unacknowledged. */
  readonly window: number;
  readonly messages: number;
  readonly payloadBytes: number;
  /** Publishes a second of all connections together; as fast as the window allows without it. */
  readonly rate?: number;
}

export interface LoadResult {
  readonly messages: number;
  readonly seconds: number;
  readonly ackMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

/** A program that publishes; `kind` says how much of the machine it takes. */
export interface LoadGenerator {
  readonly kind: 'c' | 'node';
  run(port: number, shape: LoadShape): Promise<LoadResult>;
}

const SOURCE = join(import.meta.dirname, '..', '..', 'bench', 'mqtt-load.c');
const FALLBACK = join(import.meta.dirname, 'mqtt-load.js');
/** A run that takes longer is of no use; the generator gives up on a silent broker far earlier. */
const RUN_MS_MAX = 300_000;

/** Compiles the generator into `folder`. Without a C compiler, one in Node.js takes its place. */
export function prepareLoad(folder: string): LoadGenerator {
  const program = join(folder, 'mqtt-load');
  const compiled = existsSync('/proc/self') && compile(program);
  const [kind, command, before] = compiled
    ? (['c', program, []] as const)
    : (['node', process.execPath, [FALLBACK]] as const);
  return {
    kind,
    async run(port, { connections, window, messages, payloadBytes, rate = 0 }) {
      const shape = [port, connections, window, messages, payloadBytes];
      const args = (rate > 0 ? [...shape, rate] : shape).map(String);
      const pacedMs = rate > 0 ? (messages / rate) * 1000 : 0;
      const options = { timeout: pacedMs + RUN_MS_MAX };
      const { stdout } = await promisify(execFile)(command, [...before, ...args], options);
      return parseResult(stdout);
    },
  };
}

function compile(program: string): boolean {
  try {
    execFileSync('cc', ['-std=gnu11', '-O2', '-o', program, SOURCE], { stdio: 'ignore' });
    return true;
  } catch {
    return false; // no compiler: said in the report, as `kind`
  }
}

/** The line of JSON that both generators print. */
export function parseResult(line: string): LoadResult {
  const result: unknown = JSON.parse(line);
  if (isLoadResult(result)) return result;
  throw new Error(`not a result of the load generator: ${line}`);
}

function isLoadResult(value: unknown): value is LoadResult {
  return (
    typeof value === 'object' &&
    value !== null &&
    'messages' in value &&
    typeof value.messages === 'number' &&
    'seconds' in value &&
    typeof value.seconds === 'number' &&
    'ackMs' in value &&
    typeof value.ackMs === 'object'
  );
}
