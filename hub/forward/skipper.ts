import { LANES, type Lane } from '../core/event.ts';
import type { SkippedLane } from '../core/operation.ts';
import type { CursorState } from '../log/cursor-state.ts';
import type { DurableLog } from '../log/durable-log.ts';
import { eventsIn, unsettledBelow } from '../log/give-up.ts';
import type { WriteOperation } from '../log/storage/storage.ts';
import { Batcher, type ReadableLog, type Run } from './batcher.ts';
import { clipped } from './clipped-block.ts';
import type { PieceLimits } from './flight.ts';
import type { Settlement } from './settlement.ts';

/**
 * What a sink is to leave out: everything below an offset of each lane, or the next `events` that
 * it wants of these lanes, in the order in which they would be sent.
 */
export type SkipTarget =
  | { readonly to: Readonly<Partial<Record<Lane, number>>> }
  | { readonly events: number; readonly lanes: readonly Lane[] };

/** What is looked at at a time, when single events are counted. */
const LIMITS: PieceLimits = { eventsMax: 10_000, bytesMax: 1024 * 1024 };

export interface SkipperOptions {
  readonly log: DurableLog;
  readonly sink: string;
  readonly settlement: Settlement;
  wanted(topic: string): boolean;
}

/**
 * Moves the cursors of one sink on without sending. What is left out stays in the log, for other
 * sinks, history and replays, and is lost to this one (`skipped`): its ledger and a loss event say
 * so.
 */
export class Skipper {
  readonly #options: SkipperOptions;

  constructor(options: SkipperOptions) {
    this.#options = options;
  }

  /** Only while nothing is on its way. Answers the lanes that have moved. */
  async skip(target: SkipTarget): Promise<SkippedLane[]> {
    const { settlement } = this.#options;
    const before = new Map(LANES.map((lane) => [lane, settlement.cursor(lane)]));
    if ('to' in target) for (const lane of LANES) this.#skipTo(lane, target.to[lane] ?? 0);
    else await this.#skipEvents(target.lanes, target.events);
    return LANES.flatMap((lane) => {
      const [from, to] = [before.get(lane), settlement.cursor(lane)];
      return from && from.offset < to.offset ? skippedLane(lane, from, to) : [];
    });
  }

  /** The writes that make it durable. */
  operations(lanes: readonly SkippedLane[]): WriteOperation[] {
    const { log, sink } = this.#options;
    return lanes.map(({ lane }) => log.cursors.operation(sink, lane));
  }

  /** By arithmetic: what lies between is not looked at. */
  #skipTo(lane: Lane, to: number): void {
    const { log, settlement } = this.#options;
    const ranges = unsettledBelow(settlement.cursor(lane), Math.min(to, log.range(lane).tail));
    if (ranges.length === 0) return;
    settlement.leaveOut(lane, ranges, { lost: { skipped: eventsIn(ranges) } });
    for (const range of ranges) this.#report(lane, range.from, range.to);
  }

  async #skipEvents(lanes: readonly Lane[], events: number): Promise<void> {
    let left = events;
    for (const lane of LANES) {
      if (!lanes.includes(lane)) continue;
      while (left > 0) {
        const run = await this.#nextRun(lane, left);
        if (!run) break;
        this.#leaveOut(run);
        left -= run.events.length;
      }
    }
  }

  async #nextRun(lane: Lane, events: number): Promise<Run | undefined> {
    const { log, settlement, wanted } = this.#options;
    const { offset, ahead } = settlement.cursor(lane);
    const end = ahead[0]?.from ?? log.range(lane).tail;
    const upToEnd: ReadableLog = {
      range: () => ({ head: log.range(lane).head, tail: end }),
      read: async (_lane, from, bytesMax) =>
        (await log.read(lane, from, bytesMax)).flatMap((block) =>
          block.firstOffset < end ? clipped(block, end) : [],
        ),
    };
    const limits = { ...LIMITS, eventsMax: Math.min(events, LIMITS.eventsMax) };
    return await new Batcher(upToEnd, lane, wanted).next(offset, limits);
  }

  #leaveOut({ lane, from, to, events, filtered, thinned, dropped, corrupt }: Run): void {
    const lost = { skipped: events.length, full: dropped, corrupt };
    this.#options.settlement.leaveOut(lane, [{ from, to }], { filtered, thinned, lost });
    if (events.length > 0) this.#report(lane, from, to, events.length);
  }

  #report(lane: Lane, from: number, to: number, events = to - from): void {
    const { log, sink } = this.#options;
    const range = { firstOffset: from, lastOffset: to - 1, fromMs: null, toMs: null };
    log.losses.recordFor(sink, lane, 'skipped', events, range);
  }
}

function skippedLane(lane: Lane, from: CursorState, to: CursorState): SkippedLane {
  const skippedEvents = (to.lost.skipped ?? 0) - (from.lost.skipped ?? 0);
  return { lane, skippedEvents, fromOffset: from.offset, toOffset: to.offset };
}
