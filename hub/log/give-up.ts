import { addLost, type LostCounts } from '../core/lost-counts.ts';
import {
  type CursorCounts,
  type CursorState,
  countsOf,
  gapsIn,
  type OffsetRange,
} from './cursor-state.ts';

/** What becomes of events that are passed over: the sum is their number. */
export interface PassedOver {
  readonly filtered?: number;
  readonly thinned?: number;
  readonly lost: LostCounts;
}

/** What a sink has not settled below `to`, ascending. */
export function unsettledBelow(counts: CursorCounts, to: number): OffsetRange[] {
  return gapsIn(counts, counts.offset, to);
}

/** Offsets in all of `ranges`, which do not touch each other. */
export function eventsIn(ranges: readonly OffsetRange[]): number {
  return ranges.reduce((sum, { from, to }) => sum + to - from, 0);
}

/**
 * The cursor when the sink goes without `ranges`, none of which it has settled. They stay given up
 * when the cursor goes back to what is confirmed.
 */
export function givenUp(
  state: CursorState,
  ranges: readonly OffsetRange[],
  passed: PassedOver,
): CursorState {
  const confirmed = countsWithout(state.confirmed, ranges, passed);
  return { ...state, ...countsWithout(state, ranges, passed), confirmed };
}

/** The same for positions alone. */
export function countsWithout(
  counts: CursorCounts,
  ranges: readonly OffsetRange[],
  { filtered = 0, thinned = 0, lost }: PassedOver,
): CursorCounts {
  let { offset } = counts;
  const ahead: OffsetRange[] = [];
  for (const range of [...counts.ahead, ...ranges].sort((a, b) => a.from - b.from || a.to - b.to)) {
    const last = ahead.at(-1);
    if (range.from <= offset) offset = Math.max(offset, range.to);
    else if (!last || range.from > last.to) ahead.push(range);
    else ahead[ahead.length - 1] = { from: last.from, to: Math.max(last.to, range.to) };
  }
  return {
    ...countsOf(counts),
    offset,
    ahead,
    filtered: counts.filtered + filtered,
    thinned: counts.thinned + thinned,
    lost: addLost(counts.lost, lost),
  };
}
