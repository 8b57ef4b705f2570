import type { Lane } from '../../core/event.ts';
import { endOf } from '../../core/span.ts';
import type { EventLog } from '../log.ts';

/**
 * The offset of the first event of a lane that arrived at `timeMs` (since 1970) or later, as far as
 * is known now; the tail when there is none. Errors: those of a log that cannot be read.
 */
export async function offsetAt(log: EventLog, lane: Lane, timeMs: number): Promise<number> {
  const [block] = await log.read(lane, await log.seek(lane, timeMs), 1);
  if (!block) return log.range(lane).tail;
  let before = block.firstOffset;
  for (let index = 0; index < block.count; index++) {
    const { receivedMs, offset } = block.eventAt(index);
    if (receivedMs >= timeMs) return before;
    before = offset + 1; // an aggregate has the offset of the last event that it stands for
  }
  return endOf(block);
}
