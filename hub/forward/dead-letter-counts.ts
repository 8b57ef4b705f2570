import { addLost } from '../core/lost-counts.ts';
import type { CursorCounts } from '../log/cursor-state.ts';

/** What becomes of an event that was a dead letter: taken after all, or given up. */
export type Resolution = 'delivered' | 'poison' | 'corrupt';

/** Whether the event at `offset` is in these counts. */
export function isSettled({ offset: end, ahead }: CursorCounts, offset: number): boolean {
  return offset < end || ahead.some(({ from, to }) => offset >= from && offset < to);
}

/** The counts when so many dead letters of them are none any more. */
export function resolved<Counts extends CursorCounts>(
  counts: Counts,
  events: number,
  as: Resolution,
): Counts {
  const deadLettered = counts.deadLettered - events;
  if (as === 'delivered') return { ...counts, deadLettered, delivered: counts.delivered + events };
  return { ...counts, deadLettered, lost: addLost(counts.lost, { [as]: events }) };
}
