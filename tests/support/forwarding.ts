import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { type Clock, systemClock } from '../../hub/core/clock.ts';
import { LANES, type Lane } from '../../hub/core/event.ts';
import { Forwarder, type ForwarderOptions } from '../../hub/forward/forwarder.ts';
import { Recovery } from '../../hub/forward/recovery.ts';
import { type DurableLog, openLog } from '../../hub/log/durable-log.ts';
import { levelStorage } from '../../hub/log/level-storage.ts';
import type { Storage } from '../../hub/log/storage.ts';
import { MemorySink } from './memory-sink.ts';

export const SINK_ID = 'cloud';

/** A folder that is removed after the test. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The real log in `folder`, with one sink's cursors. */
export function openTestLog(
  folder: string,
  options: { clock?: Clock; storage?: (storage: Storage) => Storage } = {},
): Promise<DurableLog> {
  const storage = levelStorage(join(folder, 'log'));
  return openLog({
    storage: options.storage ? options.storage(storage) : storage,
    clock: options.clock ?? systemClock(),
    durability: { kind: 'fsync' },
    profile: 'latency',
    bytesMax: 1024 ** 3,
    freeBytesMin: 0,
    whenFull: 'block',
    ageMaxMs: 3_600_000,
    sinks: [{ id: SINK_ID, start: 'oldest' }],
    freeBytes: async () => Number.POSITIVE_INFINITY,
  });
}

/** A log in a folder of its own, closed after the test. */
export async function testLog(t: TestContext, clock?: Clock): Promise<DurableLog> {
  const log = await openTestLog(await temporaryFolder(t), clock ? { clock } : {});
  t.after(() => log.close());
  return log;
}

/** Appends events and resolves when they are durable. */
export async function append(
  log: DurableLog,
  topics: readonly string[],
  lane: Lane = 'normal',
  payload: Buffer = Buffer.from('1'),
): Promise<void> {
  await Promise.all(
    topics.map(
      (topic) =>
        new Promise<void>((resolve, reject) => {
          const done = (error?: Error) => (error ? reject(error) : resolve());
          log.append({ topic, payload, source: 'test' }, lane, done);
        }),
    ),
  );
}

export const many = (count: number, topic = 'a'): string[] => Array<string>(count).fill(topic);

/** `normal/0`, `normal/1`, ... as MemorySink notes them. */
export const offsets = (from: number, to: number, lane: Lane = 'normal'): string[] =>
  Array.from({ length: to - from }, (_, index) => `${lane}/${from + index}`);

export type Tuning = Partial<Omit<ForwarderOptions, 'id' | 'log'>>;

/** A forwarder that loses no time, for a sink that a test scripts. Not started. */
export function forwarderOf(log: DurableLog, sink: MemorySink, tuning: Tuning = {}): Forwarder {
  return new Forwarder({
    id: SINK_ID,
    type: 'memory',
    sink,
    log,
    clock: systemClock(),
    random: () => 0.5,
    topics: ['#'],
    batch: { eventsMax: 100, bytesMax: 1024 ** 2, lingerMs: 0 },
    retry: { delayMinMs: 2, delayMaxMs: 20, attemptsMax: 5 },
    confirmWindowMs: 0,
    host: undefined,
    recovery: new Recovery(),
    logger: pino({ level: 'silent' }),
    answered: () => {},
    ingestPerSecond: () => 0,
    ...tuning,
  });
}

/** Starts a forwarder for `log` and stops it before the log is closed. */
export async function forwarding(t: TestContext, log: DurableLog, tuning: Tuning = {}) {
  const sink = new MemorySink();
  const forwarder = forwarderOf(log, sink, tuning);
  t.after(() => forwarder.stop());
  return { sink, forwarder };
}

/** The cursor's invariant: nothing leaves without being in one of the four. */
export function cursorBalance(log: DurableLog): number[] {
  return LANES.map((lane) => {
    const { offset, start, delivered, filtered, deadLettered, lost } = log.cursors.get(
      SINK_ID,
      lane,
    );
    return offset - start - delivered - filtered - deadLettered - lost;
  });
}
