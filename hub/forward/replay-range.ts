import { LANES, type Lane } from '../core/event.ts';
import { endOf } from '../core/span.ts';
import type { EventLog } from '../log/log.ts';
import type { ReplayRecord } from '../log/replay-records.ts';
import type { ReadableLog, Run } from './batcher.ts';

export type ByLane = Readonly<Record<Lane, number>>;

/** Arrival, in ms since 1970: from `fromMs`, before `toMs`. */
export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * The offsets of the blocks in which a time range lies, `[from, to)` by lane, as far as `end`
 * allows. Found by halving. Errors: those of a log that cannot be read.
 */
export async function offsetsOf(
  log: EventLog,
  { fromMs, toMs }: TimeRange,
  end: (lane: Lane) => number,
): Promise<{ readonly from: ByLane; readonly to: ByLane }> {
  const from: Record<Lane, number> = { alarm: 0, normal: 0, bulk: 0 };
  const to: Record<Lane, number> = { alarm: 0, normal: 0, bulk: 0 };
  for (const lane of LANES) {
    from[lane] = Math.min(await log.seek(lane, fromMs), end(lane));
    to[lane] = Math.max(from[lane], Math.min(await offsetBehind(log, lane, toMs), end(lane)));
  }
  return { from, to };
}

/** Behind the block in which `toMs` falls. */
async function offsetBehind(log: EventLog, lane: Lane, toMs: number): Promise<number> {
  const offset = await log.seek(lane, toMs);
  const [block] = await log.read(lane, offset, 1);
  if (!block || block.firstReceivedMs >= toMs) return offset;
  return endOf(block);
}

/** The log as if it ended at `to`, but for the block in which that lies. */
export function logUpTo(log: ReadableLog, to: ByLane): ReadableLog {
  return {
    range(lane) {
      const { head, tail } = log.range(lane);
      return { head, tail: Math.min(tail, to[lane]) };
    },
    async read(lane, offset, bytesMax) {
      const blocks = await log.read(lane, offset, bytesMax);
      return blocks.filter(({ firstOffset }) => firstOffset < to[lane]);
    },
  };
}

/** What a replay sends of a run: not what lies in its blocks but outside of its range. */
export function partOf(run: Run, { id, fromMs, toMs, to: ends }: ReplayRecord): Run {
  const to = Math.min(run.to, ends[run.lane]);
  const events = run.events.filter(
    ({ offset, receivedMs }) => offset < to && receivedMs >= fromMs && receivedMs < toMs,
  );
  const missing = Math.min(run.dropped + run.corrupt, to - run.from - events.length);
  const thinned = Math.min(run.thinned, to - run.from - events.length - missing);
  const filtered = to - run.from - events.length - missing - thinned;
  return { ...run, to, events, dropped: missing, corrupt: 0, thinned, filtered, replay: id };
}
