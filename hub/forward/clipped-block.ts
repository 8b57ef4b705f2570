import { endOf } from '../core/span.ts';
import type { Block } from '../log/log.ts';

/** The block as if it ended at `to`, which is between two of its events or behind them. */
export function clipped(block: Block, to: number): Block {
  if (endOf(block) <= to) return block;
  const { lane, firstOffset, topics, firstReceivedMs, lastReceivedMs, storedBytes } = block;
  const count = block.indexFrom(to);
  return {
    ...{ lane, firstOffset, count, topics, firstReceivedMs, lastReceivedMs, storedBytes },
    span: to - firstOffset,
    indexFrom: (offset) => Math.min(count, block.indexFrom(offset)),
    offsetAt: (index) => block.offsetAt(index),
    topicIndexAt: (index) => block.topicIndexAt(index),
    payloadBytesAt: (index) => block.payloadBytesAt(index),
    eventAt: (index) => block.eventAt(index),
  };
}
