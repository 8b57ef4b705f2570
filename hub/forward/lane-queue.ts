import type { HubEvent, Lane } from '../core/event.ts';
import type { Batcher, Run } from './batcher.ts';
import { type Flight, flightOf, spread, withEvents } from './flight.ts';
import type { Pace } from './pace.ts';

/** `backlog`: what was left behind when newer events went ahead of it. */
export type Part = 'live' | 'backlog';

export interface LaneQueueOptions {
  readonly lane: Lane;
  readonly part: Part;
  /** Marks what it sends as sent after newer events. */
  readonly backfill: boolean;
  readonly batcher: Batcher;
  readonly pace: Pace;
  /** The next event that is not settled; undefined when there is nothing of this part. */
  position(): number | undefined;
  /** The same number for all events of a device. */
  partOf(event: HubEvent): number;
  /** Begins to encode what is sent first. */
  encodeFirst(flight: Flight): void;
}

/** What one lane has for the sink: the flight whose turn comes next, and the one behind it. */
export class LaneQueue {
  readonly lane: Lane;
  readonly part: Part;
  readonly #options: LaneQueueOptions;
  #flight: Flight | undefined;
  #begun = false;
  #behind: Promise<Flight | undefined> | undefined;

  constructor(options: LaneQueueOptions) {
    this.lane = options.lane;
    this.part = options.part;
    this.#options = options;
  }

  /** What comes next, with all that has arrived for it; undefined when there is nothing. */
  async next(): Promise<Flight | undefined> {
    const { position, batcher } = this.#options;
    if (this.#begun) return this.#flight;
    if (!this.#flight) {
      const prepared = this.#behind;
      this.#behind = undefined; // also when it fails: then it is tried anew
      const behind = await prepared;
      const from = position();
      this.#flight = behind ?? (from === undefined ? undefined : await this.#cut(from));
    } else if (!this.#flight.run.full) {
      const run = await batcher.extend(this.#flight.run, this.#options.pace.flightLimits());
      if (run.to > this.#flight.run.to) this.#flight = this.#flightOf(run);
    }
    return this.#flight;
  }

  /** Its flight is on the way: it grows no more, and while it is full the next one is prepared. */
  begin(): void {
    const flight = this.#flight;
    this.#begun = true;
    if (!flight?.run.full || this.#behind) return;
    this.#behind = this.#cut(flight.run.to);
    this.#behind.catch(() => undefined); // awaited when its turn comes
  }

  get begun(): boolean {
    return this.#begun;
  }

  /** The flight has been answered for, or another one takes its place. */
  done(instead?: Flight): void {
    this.#flight = instead;
    this.#begun = instead !== undefined;
  }

  /** Nothing that was read counts any more: its position has changed. */
  reset(): void {
    this.done();
    this.#behind = undefined;
  }

  /** The times of events have changed: what is under way goes on with the new ones. */
  retime(retimed: (event: HubEvent) => HubEvent): void {
    if (this.#flight) this.#flight = withEvents(this.#flight, retimed);
    this.#behind = undefined;
  }

  async #cut(from: number): Promise<Flight | undefined> {
    const run = await this.#options.batcher.next(from, this.#options.pace.flightLimits());
    if (!run) return undefined;
    const flight = this.#flightOf(run);
    if (run.full) this.#options.encodeFirst(flight);
    return flight;
  }

  #flightOf(run: Run): Flight {
    const { backfill, pace, partOf } = this.#options;
    const marked = backfill ? { ...run, backfill } : run;
    if (run.events.length === 0) return flightOf(marked);
    return spread(marked, pace.requests, pace.pieceLimits(), partOf);
  }
}
