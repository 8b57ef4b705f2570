import type { Lane } from '../core/event.ts';
import type { SinkLaneStatus } from '../core/status.ts';
import type { CursorState } from '../log/cursors.ts';

/** The outgoing side of the ledger. */
export function laneStatus(lane: Lane, cursor: CursorState, tail: number): SinkLaneStatus {
  const { start, offset, delivered, filtered, thinned, deadLettered, lost } = cursor;
  const settled = offset - start;
  const queued = Math.max(0, tail - offset);
  return { lane, start, settled, delivered, filtered, thinned, deadLettered, lost, queued };
}
