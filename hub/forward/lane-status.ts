import type { Lane } from '../core/event.ts';
import type { SinkLaneStatus } from '../core/status.ts';
import { type CursorState, settledAhead } from '../log/cursor-state.ts';

/** The outgoing side of the ledger. */
export function laneStatus(lane: Lane, cursor: CursorState, tail: number): SinkLaneStatus {
  const { start, offset, delivered, filtered, thinned, deadLettered, lost } = cursor;
  const settled = offset - start + settledAhead(cursor);
  const queued = Math.max(0, tail - start - settled);
  return { lane, start, settled, delivered, filtered, thinned, deadLettered, lost, queued };
}
