import { setImmediate as nextTurn } from 'node:timers/promises';
import { type HubEvent, LANES, type Lane } from '../core/event.ts';
import { endOf } from '../core/span.ts';
import { topicMatcher } from '../core/topic.ts';
import type { EventLog } from '../log/log.ts';

export interface EventQuery {
  /** Arrival, in ms since 1970: from `fromMs`, before `toMs`. */
  readonly fromMs: number;
  readonly toMs: number;
  /** An MQTT topic filter; undefined takes all. */
  readonly topic?: string | undefined;
  readonly limit: number;
}

/** What one answer may hold in memory; a thousand images would not fit beside the hub. */
const BYTES_MAX = 4 * 1024 ** 2;
/** Events of other topics cost the reading of their blocks: 1 M of them are about a second. */
const PASSED_EVENTS_MAX = 1_000_000;
/** A few events are often all that is wanted: what is read at a time doubles, up to a mebibyte. */
const READ_BYTES_MIN = 16_384;
const READ_BYTES_MAX = 1_048_576;

/**
 * The oldest events of a range as they are in the log, lane after lane in the order of their
 * arrival;
 * fewer than `limit` when they are large.
 *
 * @throws the signal's reason when it aborts; HubError of the log when it cannot be read.
 */
export async function findEvents(
  log: EventLog,
  query: EventQuery,
  signal: AbortSignal,
): Promise<HubEvent[]> {
  const found: HubEvent[] = [];
  for (const lane of LANES) found.push(...(await findInLane(log, lane, query, signal)));
  found.sort((a, b) => a.receivedMs - b.receivedMs); // stable: each lane keeps its order
  let bytes = 0;
  let end = 0;
  for (const event of found.slice(0, query.limit)) {
    bytes += event.payload.length;
    if (bytes > BYTES_MAX && end > 0) break;
    end++;
  }
  return found.slice(0, end);
}

async function findInLane(
  log: EventLog,
  lane: Lane,
  query: EventQuery,
  signal: AbortSignal,
): Promise<HubEvent[]> {
  const matches = topicMatcher([query.topic ?? '#']);
  const found: HubEvent[] = [];
  let bytes = 0;
  let next = await log.seek(lane, query.fromMs);
  let readBytes = READ_BYTES_MIN;
  for (let passed = 0; passed < PASSED_EVENTS_MAX; ) {
    signal.throwIfAborted();
    const blocks = await log.read(lane, next, readBytes);
    readBytes = Math.min(READ_BYTES_MAX, readBytes * 2);
    const last = blocks.at(-1);
    if (last === undefined) return found;
    for (const block of blocks) {
      if (block.firstReceivedMs >= query.toMs) return found;
      passed += block.count;
      const wanted = block.topics.map(matches);
      for (let i = block.indexFrom(next); i < block.count; i++) {
        if (wanted[block.topicIndexAt(i)] !== true) continue;
        const event = block.eventAt(i);
        if (event.receivedMs < query.fromMs || event.receivedMs >= query.toMs) continue;
        found.push(event);
        bytes += event.payload.length;
        if (found.length >= query.limit || bytes > BYTES_MAX) return found;
      }
    }
    next = endOf(last);
    await nextTurn();
  }
  return found;
}
