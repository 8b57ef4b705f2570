import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { packageRoot } from '../../config/find-file.ts';
import type { Status } from '../../hub/core/status.ts';
import { afterTest } from './after-test.ts';

/** A busy machine with an fsync per commit, or an emulated one: nothing takes a tenth of it. */
const WAIT_MS_MAX = 180_000;

/** Resolves when `condition` answers true; what it throws counts as false until time is up. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX;
  let last: unknown;
  while (performance.now() < endMs) {
    try {
      if (await condition()) return;
    } catch (error) {
      last = error;
    }
    await delay(25);
  }
  assert.fail(`waited ${WAIT_MS_MAX} ms in vain for: ${what} ${last ?? ''}`);
}

/** A `holdfast` process: what it printed, and how it ended. */
export class HubProcess {
  readonly process: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals | null>;
  stdout = '';
  stderr = '';

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const main = join(packageRoot(), 'dist', 'hub', 'main.js');
    this.process = spawn(process.execPath, ['--enable-source-maps', main, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, HOLDFAST_LOG_FORMAT: 'json', ...env },
    });
    this.process.stdout?.on('data', (chunk) => {
      this.stdout += chunk;
    });
    this.process.stderr?.on('data', (chunk) => {
      this.stderr += chunk;
    });
    this.ended = once(this.process, 'close').then(([code, signal]) => code ?? signal);
  }

  /** Address of the API, as the hub printed it. */
  get url(): string {
    return /API on (http:[^\s,]+)/.exec(this.stdout)?.[1] ?? '';
  }

  get mqttPort(): number {
    return Number(/MQTT on mqtt:\/\/[^:]+:(\d+)/.exec(this.stdout)?.[1]);
  }

  /** Resolves with the milliseconds from now until `/ready` answers 200. */
  async ready(): Promise<number> {
    const startMs = performance.now();
    const ended = () => this.process.exitCode !== null || this.process.signalCode !== null;
    await eventually('ready', async () => {
      return ended() || (this.url !== '' && (await fetch(`${this.url}/ready`)).status === 200);
    });
    assert.ok(!ended(), `the hub ended: ${this.stderr}`);
    return performance.now() - startMs;
  }

  async get(path: string): Promise<Response> {
    return await fetch(`${this.url}${path}`);
  }

  async status(): Promise<Status> {
    const answer: Status = JSON.parse(await (await this.get('/api/v1/status')).text());
    return answer;
  }

  async sink(id: string) {
    const sink = (await this.status()).sinks.find((candidate) => candidate.id === id);
    assert.ok(sink, `no sink ${id}`);
    return sink;
  }

  async kill(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null> {
    this.process.kill(signal);
    return await this.ended;
  }
}

/** `holdfast` with `args`; killed after the test when it still runs. */
export function holdfast(
  t: TestContext,
  args: readonly string[],
  env?: Readonly<Record<string, string>>,
): HubProcess {
  const hub = new HubProcess(args, env);
  afterTest(t, () => hub.kill('SIGKILL'));
  return hub;
}

/** `holdfast run` with this configuration, written to `holdfast.yaml` in `folder`. */
export async function runHub(t: TestContext, folder: string, yaml: string): Promise<HubProcess> {
  const file = join(folder, 'holdfast.yaml');
  await writeFile(file, yaml);
  return holdfast(t, ['run', '--config', file]);
}

/** A configuration that leaves every port to the machine, or MQTT on `mqttPort`. */
export function hubYaml(sinks: readonly string[], more: string[] = [], mqttPort = 0): string {
  return `${[
    'hub: { id: gw, data_dir: ./data }',
    `mqtt: { anonymous: true, listeners: [{ type: tcp, host: 127.0.0.1, port: ${mqttPort} }] }`,
    'http: { port: 0 }',
    'decode: [{ topic: "site/{area}/{device}/{metric}", format: json }]',
    ...more,
    'sinks:',
    ...sinks.map((sink) => `  - ${sink}`),
  ].join('\n')}\n`;
}
