import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../tests/support/free-port.ts';
import { type Hub, startHub } from './brokers.ts';
import { lagOf } from './hub-status.ts';
import type { LoadGenerator } from './load.ts';
import { type Receiver, startReceiver } from './receiver.ts';
import { median, quantile, table, thousands } from './statistics.ts';

/** Publish to far side, of events that are published at a pace. */
export interface LiveLatency {
  readonly events: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly maxMs: number;
}

/** One hub: idle, and while it drains a backlog. */
export interface LiveDrainRun {
  readonly idle: LiveLatency;
  readonly draining: LiveLatency;
  /** Of the backlog that was there still when the paced publishers had ended. */
  readonly lagAfterPaced: number;
  /** Messages a second at full rate: while the far side is away, and while the backlog drains. */
  readonly ingestAlone: number;
  readonly ingestDraining: number;
  /** Above 0, or `ingestDraining` was not measured in a drain alone. */
  readonly lagAfterIngest: number;
}

export interface LiveDrainReport {
  readonly order: string;
  readonly lingerMs: number;
  readonly events: number;
  readonly seconds: number;
  readonly runs: readonly LiveDrainRun[];
}

export interface LiveDrainOptions {
  /** Of the configuration, in YAML flow style. */
  readonly order: string;
  readonly lingerMs: number;
  readonly events: number;
  readonly seconds: number;
  readonly rounds: number;
}

const RATE = 1000;
const LOAD = { connections: 50, window: 100, payloadBytes: 100 };
const INGEST_MESSAGES = 300_000;
const DRAIN_MS_MAX = 300_000;
const LOOK_EVERY_MS = 25;
const FIRST_MS_MAX = 10_000;
/** The drain is at its pace. */
const UNDER_WAY_MS = 500;
const LOG = '{ capacity: { bytes_max: 16 GiB, free_bytes_min: 64 MiB } }';

async function drained(hub: Hub): Promise<void> {
  const deadlineMs = performance.now() + DRAIN_MS_MAX;
  while ((await lagOf(hub)) > 0) {
    if (performance.now() > deadlineMs) throw new Error('the sink does not drain');
    await delay(LOOK_EVERY_MS);
  }
}

/** The hub has found out that the far side is back: how long that takes is not what is measured. */
async function draining(receiver: Receiver): Promise<void> {
  const deadlineMs = performance.now() + FIRST_MS_MAX;
  while (receiver.firstMs === undefined) {
    if (performance.now() > deadlineMs) throw new Error('the drain does not begin');
    await delay(LOOK_EVERY_MS);
  }
  await delay(UNDER_WAY_MS);
}

function latencyOf(latenciesMs: readonly number[]): LiveLatency {
  return {
    events: latenciesMs.length,
    p50Ms: quantile(latenciesMs, 0.5),
    p95Ms: quantile(latenciesMs, 0.95),
    maxMs: quantile(latenciesMs, 1),
  };
}

async function oneRun(
  folder: string,
  load: LoadGenerator,
  { order, lingerMs, events, seconds }: LiveDrainOptions,
): Promise<LiveDrainRun> {
  const port = await freePort();
  const retry = 'retry: { delay_min: 100 ms, delay_max: 500 ms }';
  const batch = `batch: { linger_ms: ${lingerMs} }`;
  const url = `"http://127.0.0.1:${port}/"`;
  const sinks = `[{ id: far, type: http, url: ${url}, ${retry}, ${batch}, order: ${order} }]`;
  const hub = await startHub(folder, { sinks, log: LOG });
  const publish = (messages: number, rate?: number) =>
    load.run(hub.mqttPort, { ...LOAD, messages, ...(rate === undefined ? {} : { rate }) });
  const paced = () => publish(RATE * seconds, RATE);
  const full = async (messages: number) => {
    const result = await publish(messages);
    return result.messages / result.seconds;
  };
  let receiver = await startReceiver(port);
  try {
    await full(INGEST_MESSAGES / 3); // the compiler warms up, on both sides
    await drained(hub);
    const idle = receiver.liveSince(Date.now());
    await paced();
    await drained(hub);
    await receiver.close();
    await full(events - INGEST_MESSAGES);
    const ingestAlone = await full(INGEST_MESSAGES);
    receiver = await startReceiver(port);
    await draining(receiver);
    const live = receiver.liveSince(Date.now());
    await paced();
    const lagAfterPaced = await lagOf(hub);
    await drained(hub);
    await receiver.close();
    await full(events);
    receiver = await startReceiver(port);
    await draining(receiver);
    const ingestDraining = await full(INGEST_MESSAGES);
    const lagAfterIngest = await lagOf(hub);
    return {
      idle: latencyOf(idle),
      draining: latencyOf(live),
      lagAfterPaced,
      ingestAlone,
      ingestDraining,
      lagAfterIngest,
    };
  } finally {
    await receiver.close();
    await hub.server.stop();
  }
}

/** What a drain does to live events and to publishers. */
export async function benchLiveDrain(
  folder: string,
  load: LoadGenerator,
  options: LiveDrainOptions,
): Promise<LiveDrainReport> {
  const { order, lingerMs, events, seconds, rounds } = options;
  const runs: LiveDrainRun[] = [];
  for (let round = 0; round < rounds; round++)
    runs.push(await oneRun(join(folder, `live-${round}`), load, options));
  return { order, lingerMs, events, seconds, runs };
}

export function describeLiveDrain(report: LiveDrainReport): string {
  const { order, lingerMs, events, seconds, runs } = report;
  const of = (value: (run: LiveDrainRun) => number) => median(runs.map(value));
  const row = (
    name: string,
    side: (run: LiveDrainRun) => LiveLatency,
    ingest: (run: LiveDrainRun) => number,
    lag: string,
  ) => [
    name,
    of((run) => side(run).p50Ms).toFixed(0),
    of((run) => side(run).p95Ms).toFixed(0),
    of((run) => side(run).maxMs).toFixed(0),
    of((run) => side(run).p95Ms / run.idle.p95Ms).toFixed(2),
    lag,
    thousands(of(ingest)),
    of((run) => ingest(run) / run.ingestAlone).toFixed(2),
  ];
  const lags = `${thousands(of((run) => run.lagAfterPaced))}`;
  const rows = [
    row(
      'idle, alone',
      ({ idle }) => idle,
      (run) => run.ingestAlone,
      '0',
    ),
    row(
      'draining',
      ({ draining }) => draining,
      (run) => run.ingestDraining,
      lags,
    ),
  ];
  return [
    `Live events in a drain of ${thousands(events)}, order ${order}, linger ${lingerMs} ms: ` +
      `${RATE}/s for ${seconds} s, publish to far side; ingest at full rate; ` +
      `medians of ${runs.length}`,
    table(
      ['', 'live p50 ms', 'p95 ms', 'max ms', 'ratio', 'lag after', 'ingest msg/s', 'ratio'],
      rows,
    ),
  ].join('\n');
}
