/** The hub in the guest: its own process, and what comes out of it at a file sink. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from '../../../hub/core/command.ts';
import type { BridgeStatus } from '../../../hub/core/status.ts';
import { afterTest } from '../../support/after-test.ts';
import { type HubProcess, runHub } from '../../support/hub-process.ts';

/** What the file sink writes, as far as it is looked at here. */
export interface SinkEvent {
  readonly subject: string;
  readonly type: string;
  readonly time: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Everything here is 20 times slower than on the machine that emulates it, which may be busy. */
const WAIT_MS_MAX = 180_000;
const LOOK_EVERY_MS = 25;
/** What a failure shows of what did come. */
const SHOWN_EVENTS = 12;

/** Answers what `look` found; `what` is named when it finds nothing in time. */
export async function found<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const endMs = performance.now() + WAIT_MS_MAX;
  for (;;) {
    const result = await look();
    if (result !== undefined) return result;
    if (performance.now() > endMs) throw new Error(`waited ${WAIT_MS_MAX} ms in vain for ${what}`);
    await delay(LOOK_EVERY_MS);
  }
}

export class GuestHub {
  readonly #folder: string;
  readonly #yaml: string;
  #process: HubProcess | undefined;

  constructor(folder: string, bridges: readonly string[]) {
    this.#folder = folder;
    this.#yaml = [
      'hub: { id: gw, data_dir: ./data }',
      'mqtt: { anonymous: true, listeners: [{ type: tcp, host: 127.0.0.1, port: 0 }] }',
      'http: { port: 0 }',
      'log: { commit: { profile: latency } }',
      'sinks: [{ id: archive, type: file, path: archive, batch: { linger_ms: 20 } }]',
      'bridges:',
      ...bridges.map((bridge) => `  - ${bridge.trim().replaceAll('\n', '\n    ')}`),
      '',
    ].join('\n');
  }

  get process(): HubProcess {
    if (!this.#process) throw new Error('the hub has not been started');
    return this.#process;
  }

  /** Resolves when it is ready and its bridges are reading. */
  async start(t: TestContext): Promise<void> {
    this.#process = await runHub(t, this.#folder, this.#yaml);
    await this.#process.ready();
    await this.bridgesReading();
  }

  async bridges(): Promise<readonly BridgeStatus[]> {
    return (await this.process.status()).inputs.bridges;
  }

  async bridgesReading(): Promise<void> {
    let last = '';
    const look = async () => {
      const bridges = await this.bridges();
      last = JSON.stringify(bridges);
      return bridges.every(({ state }) => state === 'reading') || undefined;
    };
    await found('bridges that read', look).catch((cause) => {
      throw new Error(`${last}\n${this.process.stderr.slice(-2000)}`, { cause });
    });
  }

  /** Every whole line that the sink has written so far. */
  events(): SinkEvent[] {
    const file = join(this.#folder, 'data', 'archive', 'archive.ndjson');
    const lines = readOrNothing(file).split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line));
  }

  about(subject: string): SinkEvent[] {
    return this.events().filter((event) => event.subject === subject);
  }

  /** The first event that `wanted` takes, waited for. */
  async event(what: string, wanted: (event: SinkEvent) => boolean): Promise<SinkEvent> {
    return await found(what, () => this.events().find(wanted)).catch(async (cause) => {
      const last = this.events().slice(-SHOWN_EVENTS);
      const seen = last.map(({ subject, data }) => `${subject} ${JSON.stringify(data)}`).join('\n');
      throw new Error(`${seen}\n${JSON.stringify(await this.bridges())}`, { cause });
    });
  }

  /** Sends a command and answers what came of it. */
  async command(device: string, name: string, data: unknown): Promise<Command> {
    const path = `${this.process.url}/api/v1/devices/${device}/commands`;
    const response = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name, data }),
    });
    const { id }: Command = JSON.parse(await response.text());
    return await found(`the end of the command ${name} of ${device}`, async () => {
      const command: Command = JSON.parse(await (await fetch(`${path}/${id}`)).text());
      return ['done', 'failed', 'expired'].includes(command.state) ? command : undefined;
    });
  }
}

function readOrNothing(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** A hub with these bridges, each given as an entry of YAML's `bridges`. Not started. */
export async function guestHub(t: TestContext, bridges: readonly string[]): Promise<GuestHub> {
  const folder = await mkdtemp(join(tmpdir(), 'hub-'));
  afterTest(t, () => rm(folder, { recursive: true, force: true, maxRetries: 10 }));
  return new GuestHub(folder, bridges);
}
