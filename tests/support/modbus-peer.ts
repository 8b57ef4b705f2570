import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { TestContext } from 'node:test';
import { afterTest } from './after-test.ts';
import { freePort } from './free-port.ts';
import { ROOT } from './repository.ts';
import { until } from './until.ts';

const SOURCE = join(ROOT, 'tests', 'peers', 'modbus-slave.c');

/** Whether the libmodbus slave can be built and put on a line; skips or fails the test if not. */
export function hasModbusPeer(t: TestContext): boolean {
  const works = (command: string, ...words: string[]) => spawnSync(command, words).status === 0;
  if (
    works('pkg-config', '--exists', 'libmodbus') &&
    works('gcc', '--version') &&
    works('socat', '-V')
  )
    return true;
  const text = 'needs libmodbus, gcc and socat: apt-get install libmodbus-dev pkg-config gcc socat';
  if (process.env['HOLDFAST_REQUIRE_PEERS'] === '1') assert.fail(text);
  t.skip(text);
  return false;
}

/** tests/peers/modbus-slave.c as it runs; `tell` gives it one of its commands. */
export class ModbusPeer {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(process: ChildProcess) {
    assert.ok(process.stdout);
    const lines: Interface = createInterface({ input: process.stdout });
    this.#process = process;
    this.#lines = lines[Symbol.asyncIterator]();
  }

  async ready(): Promise<void> {
    assert.equal((await this.#lines.next()).value, 'ready');
  }

  /** Answers what follows `ok`. */
  async tell(command: string): Promise<string> {
    this.#process.stdin?.write(`${command}\n`);
    const line = String((await this.#lines.next()).value);
    assert.match(line, /^ok/, command);
    return line.slice('ok '.length);
  }

  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }
}

/** Folder, compiled slave and pseudo-terminals of one test. */
export class ModbusBench {
  readonly folder: string;
  readonly port: string;
  readonly #far: string;
  #socat: ChildProcess | undefined;

  private constructor(folder: string) {
    this.folder = folder;
    this.port = join(folder, 'port');
    this.#far = join(folder, 'far');
  }

  static async make(t: TestContext): Promise<ModbusBench> {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-modbus-'));
    const bench = new ModbusBench(folder);
    afterTest(t, async () => {
      await bench.unplug();
      await rm(folder, { recursive: true, force: true });
    });
    const libraries = spawnSync('pkg-config', ['--cflags', '--libs', 'libmodbus'], {
      encoding: 'utf8',
    });
    const words = ['-O1', '-o', join(folder, 'slave'), SOURCE];
    const built = spawnSync('gcc', [...words, ...libraries.stdout.trim().split(' ')]);
    assert.equal(built.status, 0, String(built.stderr));
    return bench;
  }

  /** A serial line that is there: `port` on our side. */
  async plug(): Promise<void> {
    const ends = [`pty,raw,echo=0,link=${this.port}`, `pty,raw,echo=0,link=${this.#far}`];
    this.#socat = spawn('socat', ends, { stdio: 'ignore' });
    await until('the line', () => existsSync(this.port) && existsSync(this.#far));
  }

  async unplug(): Promise<void> {
    const socat = this.#socat;
    this.#socat = undefined;
    if (socat === undefined || socat.exitCode !== null) return;
    socat.kill('SIGTERM');
    await once(socat, 'exit');
  }

  async slaveOnLine(t: TestContext, units: number): Promise<ModbusPeer> {
    return this.#slave(t, 'rtu', this.#far, units);
  }

  async slaveOverTcp(t: TestContext, units: number, port?: number) {
    const chosen = port ?? (await freePort());
    return { peer: await this.#slave(t, 'tcp', `${chosen}`, units), port: chosen };
  }

  async #slave(t: TestContext, kind: string, where: string, units: number): Promise<ModbusPeer> {
    const words = [kind, where, `${units}`];
    const peer = new ModbusPeer(
      spawn(join(this.folder, 'slave'), words, { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    afterTest(t, () => peer.kill());
    await peer.ready();
    return peer;
  }
}
