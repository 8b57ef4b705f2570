import type { HubEvent, Lane } from '../core/event.ts';
import type { DurableLog } from '../log/durable-log.ts';
import type { Block } from '../log/log.ts';
import { Batcher, type ReadableLog } from './batcher.ts';
import { ClaimedLog } from './claimed-log.ts';
import { clipped } from './clipped-block.ts';
import type { Flight } from './flight.ts';
import { LaneQueue, type Part } from './lane-queue.ts';
import type { Pace } from './pace.ts';
import { partitions } from './partitions.ts';
import type { Settlement } from './settlement.ts';
import { type Order, QUEUES } from './turns.ts';

export interface LaneQueuesOptions {
  readonly log: DurableLog;
  readonly settlement: Settlement;
  readonly order: Order;
  readonly pace: Pace;
  wanted(topic: string): boolean;
  /** Which blocks are not to be sent yet, nor what comes after them. */
  holds(block: Block): boolean;
  /** The same for all events that have to arrive in order. */
  partOf(event: HubEvent): number;
  encodeFirst(flight: Flight): void;
}

/** The queues of one sink: of every lane what was left behind, and what is new. */
export function laneQueues(options: LaneQueuesOptions): readonly LaneQueue[] {
  const { log, settlement, order } = options;
  const positionOf: Record<Part, (lane: Lane) => number | undefined> = {
    live: (lane) => settlement.livePosition(lane),
    backlog: (lane) => settlement.backlog(lane)?.from,
  };
  const live = new ClaimedLog(log, (lane) => settlement.livePosition(lane));
  const claimed = new ClaimedLog(log, (lane) => settlement.cursor(lane).offset);
  const backlog = upToBacklog(claimed, settlement);
  return QUEUES.map(({ lane, part }) => {
    const view = part === 'live' ? live : backlog;
    return new LaneQueue({
      ...options,
      lane,
      part,
      backfill: part === 'backlog' && order.kind === 'live_first',
      batcher: new Batcher(view, lane, options.wanted, options.holds),
      position: () => positionOf[part](lane),
      partition: partitions(options.partOf),
    });
  });
}

/** The log as if it ended where the backlog does. A skip may end in the middle of a block. */
function upToBacklog(log: ReadableLog, settlement: Settlement): ReadableLog {
  const endOf = (lane: Lane) => settlement.backlog(lane)?.to ?? 0;
  return {
    range(lane) {
      const { head, tail } = log.range(lane);
      return { head, tail: Math.min(tail, endOf(lane)) };
    },
    async read(lane, offset, bytesMax) {
      const blocks = await log.read(lane, offset, bytesMax);
      const to = endOf(lane);
      return blocks.flatMap((block) => (block.firstOffset < to ? clipped(block, to) : []));
    },
  };
}
