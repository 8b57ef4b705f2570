import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { packageRoot } from '../../config/find-file.ts';
import { afterTest } from './after-test.ts';
import { type HubProcess, runHub } from './hub-process.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { until } from './until.ts';

export const FIRMWARE = join(packageRoot(), 'firmware-bridge', 'firmware');
export const STRICT = ['-Wall', '-Wextra', '-Wpedantic', '-Werror'];
const SANITIZED = ['-g', '-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

/** True when all programs are installed; else the test is skipped, or fails. */
export function hasPrograms(t: TestContext, programs: Readonly<Record<string, string>>): boolean {
  const missing = Object.keys(programs).filter((name) => spawnSync(name, ['--version']).error);
  if (missing.length === 0) return true;
  const packages = missing.map((name) => programs[name]).join(' ');
  const text = `needs ${missing.join(', ')}: apt-get install ${packages}`;
  assert.notEqual(process.env['HOLDFAST_REQUIRE_PEERS'], '1', text);
  t.skip(text);
  return false;
}

/** Runs a program that must succeed without a word on stderr; answers its output. */
export function tool(command: string, args: readonly string[], input?: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: FIRMWARE,
    encoding: 'utf8',
    input,
  });
  const line = `${command} ${args.join(' ')}`;
  assert.ifError(error);
  assert.equal(status, 0, `${line}\n${stdout}${stderr}`);
  assert.equal(stderr, '', line);
  return stdout;
}

/** Compiles a program of firmware/host with the sanitizers. */
export function compileHost(folder: string, name: string, ...sources: string[]): string {
  const output = join(folder, name);
  const files = ['holdfast.c', `host/${name}.c`, ...sources];
  tool('gcc', [...STRICT, '-std=c99', ...SANITIZED, ...files, '-o', output]);
  return output;
}

interface WireEvent {
  readonly id: string;
  readonly subject: string;
  readonly data: { readonly v?: number; readonly lost?: number };
}

/** The far side: which event ids each value of `n` came with. */
export class LinkFarSide {
  isOpen = true;
  readonly ids = new Map<number, Set<string>>();
  lost = 0;
  readonly #seen = new Set<string>();
  readonly #server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const isPacked = request.headers['content-encoding'] === 'gzip';
    if (this.isOpen) this.#take(JSON.parse((isPacked ? gunzipSync(body) : body).toString()));
    response.writeHead(this.isOpen ? 204 : 503).end();
  });
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  async start(t: TestContext): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    this.#port = typeof address === 'object' && address ? address.port : 0;
    afterTest(t, () => {
      this.#server.closeAllConnections();
      this.#server.close();
    });
  }

  #take(events: readonly WireEvent[]): void {
    for (const { id, subject, data } of events) {
      if (!subject.endsWith('/n') || this.#seen.has(id)) continue;
      this.#seen.add(id);
      this.lost += data.lost ?? 0;
      const ids = this.ids.get(data.v ?? Number.NaN) ?? new Set();
      this.ids.set(data.v ?? Number.NaN, ids.add(id));
    }
  }
}

/** firmware/host/board.c as a process, and what it told. */
export class Board {
  readonly process: ChildProcess;
  readonly ended: Promise<unknown>;
  readonly kept: number[] = [];
  readonly lost: number[] = [];
  readonly acked: number[] = [];
  readonly commands: string[] = [];
  done: readonly number[] = [];
  /** Readings that waited when the first was lost. */
  waitedAtLoss: number | undefined;
  errors = '';
  #rest = '';

  constructor(program: string, args: readonly (string | number)[]) {
    this.process = spawn(program, args.map(String), { stdio: ['ignore', 'pipe', 'pipe'] });
    this.ended = once(this.process, 'close');
    this.process.stdout?.on('data', (chunk) => this.#told(chunk));
    this.process.stderr?.on('data', (chunk) => {
      this.errors += chunk;
    });
  }

  #told(chunk: Buffer): void {
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const [word = '', ...rest] = line.split(' ');
      const n = Number(rest[0]);
      if (word === 'kept') this.kept.push(n);
      else if (word === 'acked') this.acked.push(n);
      else if (word === 'command') this.commands.push(rest.join(' '));
      else if (word === 'done') this.done = rest.map(Number);
      else if (word === 'lost') {
        this.waitedAtLoss ??= this.kept.length - this.acked.length;
        this.lost.push(n);
      }
    }
  }
}

export interface BoardOptions {
  readonly readings: number;
  readonly intervalMs: number;
  readonly errorsPerMillion?: number;
  readonly seed?: number;
  /** A file that stands for flash. */
  readonly store?: string;
  readonly bufferBytes?: number;
  readonly policy?: 'refuse' | 'drop';
}

/** A hub process, a line that can be cut, and a board. */
export class LinkRig {
  readonly far = new LinkFarSide();
  readonly folder: string;
  readonly #t: TestContext;
  readonly #program: string;
  #line: ChildProcess | undefined;
  hub: HubProcess | undefined;

  private constructor(t: TestContext, folder: string) {
    this.#t = t;
    this.folder = folder;
    this.#program = compileHost(folder, 'board', 'host/file_store.c');
  }

  static async start(t: TestContext): Promise<LinkRig> {
    const rig = new LinkRig(t, await temporaryFolder(t));
    await rig.far.start(t);
    afterTest(t, () => rig.cut());
    await rig.connect();
    return rig;
  }

  /** Lays a line between the two ends. */
  async connect(): Promise<void> {
    const end = (name: string) => join(this.folder, name);
    const ends = ['hub-end', 'board-end'].map((name) => `pty,raw,echo=0,link=${end(name)}`);
    this.#line = spawn('socat', ends, { stdio: 'ignore' });
    await until('the line', () => existsSync(end('hub-end')) && existsSync(end('board-end')));
  }

  async cut(): Promise<void> {
    const line = this.#line;
    this.#line = undefined;
    if (!line || line.exitCode !== null) return;
    line.kill();
    await once(line, 'close');
  }

  async startHub(): Promise<HubProcess> {
    const port = join(this.folder, 'hub-end');
    const yaml = [
      'hub: { id: gw, data_dir: ./data }',
      'mqtt: { anonymous: true, listeners: [{ type: tcp, host: 127.0.0.1, port: 0 }] }',
      'http: { port: 0 }',
      'decode: [{ topic: "site/{area}/{device}/{metric}", format: json }]',
      'log: { capacity: { bytes_max: 1 MiB, free_bytes_min: 0 B, when_full: block } }',
      'bridges:',
      `  - { id: board, type: serial, port: ${port}, framing: cobs, format: link, topic: "site/field/{device}/{metric}" }`,
      'sinks:',
      `  - { id: far, type: http, url: "${this.far.url}", retry: { delay_min: 100 ms, delay_max: 200 ms } }`,
    ].join('\n');
    this.hub = await runHub(this.#t, this.folder, `${yaml}\n`);
    await this.hub.ready();
    return this.hub;
  }

  board(options: BoardOptions): Board {
    const { readings, intervalMs, errorsPerMillion = 0, seed = 1, store = '-' } = options;
    const { bufferBytes = 4096, policy = 'refuse' } = options;
    const port = join(this.folder, 'board-end');
    const numbers = [readings, intervalMs, errorsPerMillion, seed];
    const board = new Board(this.#program, [port, 'nano', ...numbers, store, bufferBytes, policy]);
    afterTest(this.#t, () => board.process.kill('SIGKILL'));
    return board;
  }
}
