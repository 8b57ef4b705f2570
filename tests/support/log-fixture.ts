import { systemClock } from '../../hub/clock/system-clock.ts';
import type { HubError } from '../../hub/core/errors.ts';
import type { HubEvent, Lane, Message } from '../../hub/core/event.ts';
import { endOf } from '../../hub/core/span.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import type { EventLog } from '../../hub/log/log.ts';
import type { LogOptions } from '../../hub/log/log-options.ts';
import { openLog } from '../../hub/log/open-log.ts';
import { NO_RESERVE } from '../../hub/log/room/reserve.ts';
import type { Storage } from '../../hub/log/storage/storage.ts';
import { memoryMark } from './memory-mark.ts';

const ROOMY = 1024 ** 3;

/** A log with large limits; `more` narrows what a test is about. */
export async function openTestLog(
  storage: Storage,
  more: Partial<LogOptions> = {},
): Promise<DurableLog> {
  return await openLog({
    storage,
    mark: memoryMark(),
    reserve: NO_RESERVE,
    clock: systemClock(),
    durability: { kind: 'fsync' },
    profile: 'latency',
    bytesMax: ROOMY,
    freeBytesMin: 0,
    whenFull: 'block',
    ageMaxMs: Number.POSITIVE_INFINITY,
    sinks: [],
    freeBytes: async () => ROOMY,
    ...more,
  });
}

export function message(text: string | number, topic = 'site/a/dev1/temp'): Message {
  return { topic, payload: Buffer.from(String(text)), source: 'mqtt' };
}

/** Appends and waits for the acknowledgement. */
export function appended(log: EventLog, what: Message, lane: Lane = 'normal'): Promise<void> {
  return new Promise((resolve, reject) => {
    log.append(what, lane, (error?: HubError) => (error ? reject(error) : resolve()));
  });
}

/** Commits of one block each, so that a test knows where blocks begin. */
export async function appendBlocks(
  log: EventLog,
  blocks: number,
  eventsEach: number,
  lane: Lane = 'normal',
): Promise<void> {
  for (let block = 0; block < blocks; block++) {
    const first = log.range(lane).tail;
    const events = Array.from({ length: eventsEach }, (_, index) => message(first + index));
    await Promise.all(events.map((event) => appended(log, event, lane)));
  }
}

/** Everything readable from `from` on, read in pieces of about `bytesMax`. */
export async function readAll(
  log: Pick<EventLog, 'read'>,
  lane: Lane = 'normal',
  from = 0,
  bytesMax = 64 * 1024,
): Promise<HubEvent[]> {
  const events: HubEvent[] = [];
  for (let next = from; ; ) {
    const blocks = await log.read(lane, next, bytesMax);
    if (blocks.length === 0) return events;
    for (const block of blocks) {
      for (let index = 0; index < block.count; index++) {
        const event = block.eventAt(index);
        if (event.offset >= from) events.push(event);
      }
      next = endOf(block);
    }
  }
}

export function settleTo(log: DurableLog, sink: string, lane: Lane, offset: number): void {
  const before = log.cursors.get(sink, lane);
  const delivered = before.delivered + offset - before.offset;
  const counts = { ...before, offset, delivered };
  log.settled(sink, lane, { ...counts, confirmed: counts });
}
