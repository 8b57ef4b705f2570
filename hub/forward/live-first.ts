import type { Logger } from 'pino';
import type { DurableLog } from '../log/durable-log.ts';
import type { Flight } from './flight.ts';
import type { LaneQueue } from './lane-queue.ts';
import type { Settlement } from './settlement.ts';
import type { Order } from './turns.ts';

/** Behind by more than this, new events no longer wait for what is in front of them. */
const BEHIND_MS = 1_000;
/** So much waits for the card only while devices publish as fast as they can. */
const PRESSED_BYTES = 64 * 1024;
/** What is encoded during a rest for the time after it takes its part of the machine, too. */
const MEANWHILE = 1.3;
/** A rest is over soon after the rush is. */
const REST_MS_MAX = 1_000;
/** Every so many ranges that are left behind it takes twice as long until one more is. */
const BEHIND_DOUBLES_EVERY = 4;

export interface LiveFirstOptions {
  readonly log: DurableLog;
  readonly settlement: Settlement;
  readonly order: Order;
  readonly queues: readonly LaneQueue[];
  /** How long events may wait for company. */
  readonly lingerMs: number;
  readonly logger: Logger;
}

/** With `live_first`: has new events go ahead of what has waited for long. */
export class LiveFirst {
  readonly #options: LiveFirstOptions;
  #isDue = false;

  constructor(options: LiveFirstOptions) {
    this.#options = options;
  }

  /** Whether `leaveBehind` has something to do. */
  get isDue(): boolean {
    return this.#isDue;
  }

  /**
   * How long to leave the machine to the devices after a delivery of `tookMs`: while they press,
   * the sink has its share of the time.
   */
  restMs(tookMs: number): number {
    const { order, log } = this.#options;
    if (order.kind === 'oldest_first' || log.pendingBytes < PRESSED_BYTES) return 0;
    return Math.min(REST_MS_MAX, MEANWHILE * tookMs * (1 / order.share - 1));
  }

  /** Takes note of what comes next in a queue. */
  look(candidate: Flight): void {
    this.#isDue ||= this.#isBehind(candidate);
  }

  /** Nothing is on its way: what new events must not wait for becomes backlog. */
  async leaveBehind(): Promise<void> {
    const { log, settlement, order, queues, logger } = this.#options;
    this.#isDue = false;
    if (order.kind === 'oldest_first') return;
    for (const queue of queues) {
      const { lane } = queue;
      const candidate = queue.begun ? undefined : await queue.candidate();
      if (!candidate || !this.#isBehind(candidate)) continue;
      const { tail } = log.range(lane);
      if (!settlement.leaveBehind(lane, tail)) continue;
      for (const other of queues) if (other.lane === lane && !other.begun) other.reset();
      const events = tail - candidate.run.from;
      logger.info({ lane, events }, 'behind: new events go ahead, these follow as backlog');
    }
  }

  #isBehind({ run }: Flight): boolean {
    const { order, log, settlement, lingerMs } = this.#options;
    const [first] = run.events;
    const isNew = order.kind === 'live_first' && run.lane !== 'alarm' && !run.backfill;
    if (!isNew || !run.full || !first) return false;
    const ranges = settlement.cursor(run.lane).ahead.length;
    const behindMs = BEHIND_MS * 2 ** Math.floor(ranges / BEHIND_DOUBLES_EVERY);
    return log.boots.ageMs(first) > lingerMs + behindMs;
  }
}
