import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { systemClock } from '../../hub/clock/system-clock.ts';
import type { Clock } from '../../hub/core/clock.ts';
import { type Batch, LANES, type Lane } from '../../hub/core/event.ts';
import { sumOfLost } from '../../hub/core/lost-counts.ts';
import type { Sink } from '../../hub/core/sink.ts';
import { ClockWait } from '../../hub/forward/clock-gate.ts';
import { Forwarder, type ForwarderOptions } from '../../hub/forward/forwarder.ts';
import { outagesOf } from '../../hub/hub-outages.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { openLog } from '../../hub/log/open-log.ts';
import { NO_RESERVE } from '../../hub/log/room/reserve.ts';
import { levelStorage } from '../../hub/log/storage/level-storage.ts';
import type { Storage } from '../../hub/log/storage/storage.ts';
import { afterTest } from './after-test.ts';
import { memoryMark } from './memory-mark.ts';
import { MemorySink } from './memory-sink.ts';
import { temporaryFolder } from './temporary-folder.ts';

export const SINK_ID = 'cloud';

/** The real log in `folder`, with one sink's cursors. */
export function openTestLog(
  folder: string,
  options: {
    clock?: Clock;
    storage?: (storage: Storage) => Storage;
    bytesMax?: number;
    sinks?: readonly string[];
  } = {},
): Promise<DurableLog> {
  const storage = levelStorage(join(folder, 'log'));
  return openLog({
    storage: options.storage ? options.storage(storage) : storage,
    mark: memoryMark(),
    reserve: NO_RESERVE,
    clock: options.clock ?? systemClock(),
    durability: { kind: 'fsync' },
    profile: 'latency',
    bytesMax: options.bytesMax ?? 1024 ** 3,
    freeBytesMin: 0,
    whenFull: 'block',
    ageMaxMs: 3_600_000,
    sinks: (options.sinks ?? [SINK_ID]).map((id) => ({ id, start: 'oldest' })),
    freeBytes: async () => Number.POSITIVE_INFINITY,
  });
}

/** A log in a folder of its own, closed after the test. */
export async function testLog(t: TestContext, clock?: Clock): Promise<DurableLog> {
  const log = await openTestLog(await temporaryFolder(t), clock ? { clock } : {});
  afterTest(t, () => log.close());
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

export type Tuning = Partial<Omit<ForwarderOptions, 'log'>>;

/** A forwarder that loses no time, for a sink that a test scripts. Not started. */
export function forwarderOf(log: DurableLog, sink: Sink<Batch>, tuning: Tuning = {}): Forwarder {
  const clock = tuning.clock ?? systemClock();
  return new Forwarder({
    id: SINK_ID,
    type: 'memory',
    sink,
    log,
    clock,
    clockWait: new ClockWait(log, clock, 0),
    random: () => 0.5,
    topics: ['#'],
    batch: { eventsMax: 100, bytesMax: 1024 ** 2, lingerMs: 0 },
    retry: { delayMinMs: 2, delayMaxMs: 20, attemptsMax: 5 },
    confirmWindowMs: 0,
    farSide: undefined,
    outages: outagesOf(log, clock, tuning.id ?? SINK_ID),
    order: { kind: 'oldest_first' },
    requestsMax: 1,
    deadlineMs: 60_000,
    partOf: ({ topic }) => topic.length,
    reopen: async () => sink,
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
  afterTest(t, () => forwarder.stop());
  return { sink, forwarder };
}

/** The cursor's invariant: nothing leaves without being in one of the five. */
export function cursorBalance(log: DurableLog): number[] {
  return LANES.map((lane) => {
    const cursor = log.cursors.get(SINK_ID, lane);
    const { offset, start, delivered, filtered, deadLettered, thinned, lost } = cursor;
    return offset - start - delivered - filtered - deadLettered - thinned - sumOfLost(lost);
  });
}
