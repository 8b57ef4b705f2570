import assert from 'node:assert';
import type { LostCounts } from '../core/lost-counts.ts';

/**
 * What a sink has settled in a lane.
 *
 * Invariant, per sink and lane:
 * `offset - start + what lies in ahead = delivered + filtered + deadLettered + thinned + the sum of
 * lost`, where `start` is where the sink began. Nothing leaves the hub without being in one of the
 * five.
 */
export interface CursorState extends CursorCounts {
  readonly start: number;
  /**
   * Where the far side is known to have made everything durable: below it the log may trim, and to
   * it the cursor goes back when the far side forgot. Equal to the cursor unless the sink has a
   * confirm window.
   */
  readonly confirmed: CursorCounts;
  /** The far side's instance that holds what lies between `confirmed` and `offset`. */
  readonly instance?: string;
}

/** Offsets `[from, to)` of a lane. */
export interface OffsetRange {
  readonly from: number;
  readonly to: number;
}

export interface CursorCounts {
  /** Everything below is settled; the next event to look at. */
  readonly offset: number;
  /**
   * Ranges beyond `offset` that are settled too, ascending and apart from each other: what was sent
   * before the backlog in front of it. The last one grows; an empty one says where that begins.
   */
  readonly ahead: readonly OffsetRange[];
  readonly delivered: number;
  readonly filtered: number;
  readonly deadLettered: number;
  /** Reached the sink only as a part of aggregates, see `thin`. */
  readonly thinned: number;
  /** Gone before the sink had them, by reason. */
  readonly lost: LostCounts;
}

export function cursorAt(offset: number): CursorState {
  const none = { delivered: 0, filtered: 0, deadLettered: 0, thinned: 0, lost: {} };
  const counts = { offset, ahead: [], ...none };
  return { ...counts, start: offset, confirmed: counts };
}

/** Events that the sink has settled beyond its cursor. */
export function settledAhead({ ahead }: Pick<CursorCounts, 'ahead'>): number {
  return ahead.reduce((sum, { from, to }) => sum + to - from, 0);
}

/** Where the newest events go on: behind everything that is settled. */
export function livePosition({ offset, ahead }: Pick<CursorCounts, 'offset' | 'ahead'>): number {
  return ahead.at(-1)?.to ?? offset;
}

/** The positions when `[from, to)` is settled too: it begins at the cursor or at the live end. */
export function settling<Counts extends Pick<CursorCounts, 'offset' | 'ahead'>>(
  counts: Counts,
  { from, to }: OffsetRange,
): Counts {
  const { offset, ahead } = counts;
  const last = ahead.at(-1);
  if (last && from === last.to) {
    return { ...counts, ahead: [...ahead.slice(0, -1), { from: last.from, to }] };
  }
  assert.equal(from, offset, 'runs are settled in order: this one begins somewhere else');
  assert.ok(to <= (ahead[0]?.from ?? to), 'nothing is settled twice');
  let end = to;
  let merged = 0;
  while (ahead[merged]?.from === end) end = ahead[merged++]?.to ?? end;
  return { ...counts, offset: end, ahead: ahead.slice(merged) };
}

/** The parts of `[from, to)` that are not settled. */
export function gapsIn({ offset, ahead }: CursorCounts, from: number, to: number): OffsetRange[] {
  const gaps: OffsetRange[] = [];
  let at = Math.max(from, offset);
  for (const settled of ahead) {
    if (settled.from > at) gaps.push({ from: at, to: Math.min(settled.from, to) });
    at = Math.max(at, settled.to);
    if (at >= to) break;
  }
  if (at < to) gaps.push({ from: at, to });
  return gaps.filter((gap) => gap.from < gap.to);
}

/** Where what is settled ends and what is not begins, and the other way round. */
export function edgesOf({ offset, ahead }: CursorCounts): number[] {
  return [offset, ...ahead.flatMap(({ from, to }) => [from, to])];
}

/** The counts alone; those of before there were ranges beyond the cursor have none. */
export function countsOf(counts: CursorCounts): CursorCounts {
  const { offset, ahead = [], delivered, filtered, deadLettered, thinned, lost } = counts;
  return { offset, ahead, delivered, filtered, deadLettered, thinned, lost };
}

/** Everything below `offset` turned out to be delivered. */
export function advanced(counts: CursorCounts, offset: number): CursorCounts {
  if (offset <= counts.offset) return countsOf(counts);
  const events = gapsIn(counts, counts.offset, offset).reduce((sum, g) => sum + g.to - g.from, 0);
  const ahead = counts.ahead.filter(({ to }) => to > offset);
  const reached = ahead[0] && ahead[0].from <= offset ? ahead.shift()?.to : undefined;
  const delivered = counts.delivered + events;
  return { ...countsOf(counts), offset: reached ?? offset, ahead, delivered };
}
