import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../tests/support/free-port.ts';
import { type Hub, startHub } from './brokers.ts';
import { deviceBytes } from './device.ts';
import { lagsOf } from './hub-status.ts';
import type { LoadGenerator } from './load.ts';
import { type Server, startServer } from './process.ts';
import { startReceiver } from './receiver.ts';
import { table, thousands } from './statistics.ts';

export const PROFILES = ['latency', 'balanced', 'card'] as const;
export type Profile = (typeof PROFILES)[number];

/** What one process has written, and what the device took meanwhile when nobody else writes. */
interface Bytes {
  readonly process: number;
  readonly device: number | null;
}

/** Full rate, with `sinks` of them draining and what they have settled being trimmed. */
export interface FullRateWear {
  readonly sinks: number;
  readonly payloadBytes: number;
  readonly writtenBytes: number;
}

/** A trickle through a hub with one sink, over `connections`, evenly spaced. */
export interface TrickleWear {
  readonly profile: Profile;
  readonly connections: number;
  readonly rate: number;
  readonly bytes: Bytes;
}

/** The same payload into one LevelDB record an event, each of them fsynced, at the same time. */
export interface OneByOneWear {
  readonly rate: number;
  /** As many as it could store in the time. */
  readonly events: number;
  readonly bytes: Bytes;
}

export interface WearReport {
  readonly fullRate: readonly FullRateWear[];
  readonly minutes: number;
  readonly trickle: readonly TrickleWear[];
  readonly oneByOne: readonly OneByOneWear[];
}

export interface WearOptions {
  readonly messages: number;
  readonly minutes: number;
  readonly rates: readonly number[];
  readonly connections: readonly number[];
  readonly profiles: readonly Profile[];
  /** One after another, and the device of the folder is looked at too. */
  readonly device: boolean;
}

const PAYLOAD_BYTES = 100;
const SINKS = [1, 5] as const;
const LOOK_EVERY_MS = 100;
const DRAIN_MS_MAX = 300_000;
/**
 * Retention is a second: what comes after it has been trimmed, and compacted as far as it will be.
 */
const TRIM_MS = 5_000;
/** What a start writes is not the trickle's. */
const STARTED_MS = 1_000;
/** The window of the publishers: they must not wait for an answer. */
const UNACKNOWLEDGED_S_MAX = 5;
const ONE_BY_ONE = join(import.meta.dirname, 'one-by-one.js');

function sinksOf(count: number, port: number): string {
  const sinks = Array.from({ length: count }, (_, index) => {
    return `{ id: far${index}, type: http, url: "http://127.0.0.1:${port}/${index}" }`;
  });
  return `[${sinks.join(', ')}]`;
}

async function drained(hub: Hub): Promise<void> {
  const deadlineMs = performance.now() + DRAIN_MS_MAX;
  while ((await lagsOf(hub)).some((lag) => lag !== 0)) {
    if (performance.now() > deadlineMs) throw new Error('the sinks do not drain');
    await delay(LOOK_EVERY_MS);
  }
}

async function fullRate(
  folder: string,
  load: LoadGenerator,
  sinks: number,
  messages: number,
): Promise<FullRateWear> {
  const port = await freePort();
  const receiver = await startReceiver(port);
  const hub = await startHub(join(folder, `wear-${sinks}`), {
    sinks: sinksOf(sinks, port),
    log: '{ retention: { age_max: 1 s } }',
  });
  try {
    const before = hub.server.writtenBytes();
    const shape = { connections: 50, window: 100, payloadBytes: PAYLOAD_BYTES, messages };
    await load.run(hub.mqttPort, shape);
    await drained(hub);
    await delay(TRIM_MS);
    const writtenBytes = hub.server.writtenBytes() - before;
    return { sinks, payloadBytes: messages * PAYLOAD_BYTES, writtenBytes };
  } finally {
    await hub.server.stop();
    await receiver.close();
  }
}

async function bytesOf(
  server: Server,
  folder: string | undefined,
  run: () => Promise<unknown>,
): Promise<Bytes> {
  await delay(STARTED_MS);
  const device = () => (folder === undefined ? null : deviceBytes(folder));
  const before = { process: server.writtenBytes(), device: device() };
  await run();
  const after = { process: server.writtenBytes(), device: device() };
  return {
    process: after.process - before.process,
    device: after.device === null ? null : after.device - (before.device ?? 0),
  };
}

async function trickle(
  folder: string,
  load: LoadGenerator,
  shape: { profile: Profile; connections: number; rate: number },
  { minutes, device }: WearOptions,
): Promise<TrickleWear> {
  const { profile, connections, rate } = shape;
  const port = await freePort();
  const receiver = await startReceiver(port);
  const hub = await startHub(join(folder, `trickle-${profile}-${connections}-${rate}`), {
    sinks: sinksOf(1, port),
    log: `{ commit: { profile: ${profile} } }`,
  });
  try {
    const publishes = {
      connections,
      window: Math.min(1000, Math.ceil((rate * UNACKNOWLEDGED_S_MAX) / connections)),
      payloadBytes: PAYLOAD_BYTES,
      messages: rate * minutes * 60,
      rate,
    };
    const bytes = await bytesOf(hub.server, device ? folder : undefined, () =>
      load.run(hub.mqttPort, publishes),
    );
    return { ...shape, bytes };
  } finally {
    await hub.server.stop();
    await receiver.close();
  }
}

function lastCount(file: string): number {
  return Number(readFileSync(file, 'utf8').trim().split('\n').at(-1));
}

async function oneByOne(
  folder: string,
  rate: number,
  { minutes, device }: WearOptions,
): Promise<OneByOneWear> {
  const place = join(folder, `one-by-one-${rate}`);
  const options = [place, rate, PAYLOAD_BYTES].map(String);
  const store = await startServer(process.execPath, [ONE_BY_ONE, ...options], `${place}.out`, () =>
    Promise.resolve(true),
  );
  try {
    let events = 0;
    const bytes = await bytesOf(store, device ? folder : undefined, async () => {
      const before = lastCount(`${place}.out`);
      await delay(minutes * 60_000);
      events = lastCount(`${place}.out`) - before;
    });
    return { rate, events, bytes };
  } finally {
    await store.stop();
  }
}

/**
 * Bytes written to storage, as Linux counts them for each process. The trickles run together, or
 * with `device` one after another.
 */
export async function benchWear(
  folder: string,
  load: LoadGenerator,
  options: WearOptions,
): Promise<WearReport> {
  const { messages, minutes, rates, connections, profiles } = options;
  const full: FullRateWear[] = [];
  for (const sinks of SINKS) full.push(await fullRate(folder, load, sinks, messages));
  const slow: TrickleWear[] = [];
  const simple: OneByOneWear[] = [];
  const runs = rates.flatMap((rate) => [
    async () => void simple.push(await oneByOne(folder, rate, options)),
    ...profiles.flatMap((profile) =>
      connections.map((count) => async () => {
        const shape = { profile, connections: count, rate };
        slow.push(await trickle(folder, load, shape, options));
      }),
    ),
  ]);
  if (options.device) for (const run of runs) await run();
  else await Promise.all(runs.map((run) => run()));
  return { fullRate: full, minutes, trickle: slow, oneByOne: simple };
}

const MIB = 1024 ** 2;

export function describeWear(report: WearReport): string {
  const full = report.fullRate.map(({ sinks, payloadBytes, writtenBytes }) => [
    `${sinks} sink${sinks > 1 ? 's' : ''}`,
    (payloadBytes / MIB).toFixed(0),
    (writtenBytes / MIB).toFixed(0),
    (writtenBytes / payloadBytes).toFixed(3),
  ]);
  const { minutes, trickle: runs, oneByOne: simple } = report;
  const row = (name: string, connections: string, events: number, { process, device }: Bytes) => [
    name,
    connections,
    thousands(process / events),
    device === null ? '-' : thousands(device / events),
    thousands(((device ?? process) / MIB / minutes) * 60 * 24),
  ];
  const slow = [...simple]
    .sort((one, other) => one.rate - other.rate)
    .flatMap(({ rate, events, bytes }) => {
      const perEvent = bytes.process / events;
      const those = runs.filter((run) => run.rate === rate);
      return [
        [...row(`${rate}/s one by one`, '-', events, bytes), '1.000'],
        ...those.map((run) => {
          const count = rate * minutes * 60;
          const share = (run.bytes.process / count / perEvent).toFixed(3);
          return [
            ...row(`${rate}/s ${run.profile}`, String(run.connections), count, run.bytes),
            share,
          ];
        }),
      ];
    });
  return [
    'Wear at full rate: bytes written to storage, trimming included',
    table(['', 'payload MiB', 'written MiB', 'per payload byte'], full),
    '',
    `Wear at a trickle for ${minutes} minutes, one HTTP sink; one by one: a fsynced LevelDB record each`,
    table(['', 'connections', 'bytes/event', 'device', 'MiB/day', 'ratio'], slow),
  ].join('\n');
}
