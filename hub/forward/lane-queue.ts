/**
 * What one lane has for the sink: flights on their way, and the one whose turn comes next.
 *
 * Invariants:
 * - flights follow each other without a gap, and are settled in that order;
 * - a piece may go when nothing of its device is left in the flights before it;
 * - what is on its way, and what is prepared behind it, is bounded (see `Pace`).
 */
import type { HubEvent, Lane } from '../core/event.ts';
import type { Batcher, Run } from './batcher.ts';
import {
  type Flight,
  flightOf,
  isAnswered,
  type Partition,
  type Piece,
  type PieceLimits,
  shrunk,
  spread,
  withEvents,
} from './flight.ts';
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
  partition(width: number): Partition;
  /** Begins to encode what is sent first. */
  encodeFirst(flight: Flight): void;
}

/** The pieces of one part of a flight, the first of which may go. */
export interface Launch {
  readonly flight: Flight;
  readonly pieces: Piece[];
}

/** While new events go ahead of it, a backlog goes in shorter deliveries: nothing waits long. */
const BACKFILL_PART = 0.4;

export class LaneQueue {
  readonly lane: Lane;
  readonly part: Part;
  readonly #options: LaneQueueOptions;
  #flights: readonly Flight[] = [];
  #candidate: Flight | undefined;
  #behind: Promise<Flight | undefined> | undefined;

  constructor(options: LaneQueueOptions) {
    this.lane = options.lane;
    this.part = options.part;
    this.#options = options;
  }

  /** Whether something of it has been sent and is not settled. */
  get begun(): boolean {
    return this.#flights.length > 0;
  }

  /** What comes next, with all that has arrived for it; undefined when there is nothing. */
  async candidate(): Promise<Flight | undefined> {
    const { batcher, pace } = this.#options;
    if (!this.#candidate) {
      const prepared = this.#behind;
      this.#behind = undefined; // also when it fails: then it is tried anew
      this.#candidate = (await prepared) ?? (await this.#cut());
    } else if (!this.#candidate.run.full) {
      const { run } = this.#candidate;
      const longer = await batcher.extend(run, this.#limits(pace.flightLimits()));
      if (longer.to > run.to) this.#candidate = this.#flightOf(longer);
    }
    return this.#candidate;
  }

  /** Whether another flight may be on its way besides those that are. */
  get hasRoom(): boolean {
    if (this.#flights.some(({ run }) => !run.full)) return false; // nothing is behind it
    return this.#flights.length < this.#options.pace.flightsMax;
  }

  /** The candidate is on its way: it grows no more, and behind a full one the next is prepared. */
  begin(): void {
    const flight = this.#candidate;
    if (!flight) return;
    this.#candidate = undefined;
    this.#flights = [...this.#flights, flight];
    if (!flight.run.full || this.#behind !== undefined) return;
    this.#behind = this.#cut();
    this.#behind.catch(() => undefined); // awaited when its turn comes
  }

  /** The first that may go, where `isBusy` says of which parts something is on its way. */
  launchable(isBusy: (pieces: Piece[]) => boolean): Launch | undefined {
    for (const [index, flight] of this.#flights.entries()) {
      const before = this.#flights.slice(0, index).filter((earlier) => !isAnswered(earlier));
      for (const [part, pieces] of flight.parts.entries()) {
        if (pieces.length === 0 || isBusy(pieces)) continue;
        const isFree = before.every(
          (earlier) =>
            earlier.partition !== undefined &&
            earlier.partition === flight.partition &&
            earlier.parts[part]?.length === 0,
        );
        if (isFree) return { flight, pieces };
      }
    }
    return undefined;
  }

  /** The first flight, once it has been answered for: it is to be settled. */
  get answered(): Flight | undefined {
    const [first] = this.#flights;
    return first && isAnswered(first) ? first : undefined;
  }

  /** The first flight is settled, as far as anybody can tell. */
  shift(): void {
    this.#flights = this.#flights.slice(1);
  }

  /** Nothing is on its way: `flight` is sent as `instead`. */
  replace(flight: Flight, instead: Flight): void {
    this.#flights = this.#flights.map((one) => (one === flight ? instead : one));
  }

  /** Nothing is on its way: no piece has more than `eventsMax` events from now on. */
  shrink(eventsMax: number): void {
    for (const flight of this.#flights) shrunk(flight, eventsMax);
  }

  /** Nothing that was read counts any more: its position has changed. */
  reset(): void {
    this.#flights = [];
    this.#candidate = undefined;
    this.#behind = undefined;
  }

  /** The times of events have changed: what is under way goes on with the new ones. */
  retime(retimed: (event: HubEvent) => HubEvent): void {
    this.#flights = this.#flights.map((flight) => withEvents(flight, retimed));
    this.#candidate = undefined;
    this.#behind = undefined;
  }

  async #cut(): Promise<Flight | undefined> {
    const { batcher, pace, position, encodeFirst } = this.#options;
    const from = this.#flights.at(-1)?.run.to ?? position();
    const run =
      from === undefined ? undefined : await batcher.next(from, this.#limits(pace.flightLimits()));
    if (!run) return undefined;
    const flight = this.#flightOf(run);
    if (run.full) encodeFirst(flight);
    return flight;
  }

  #limits({ eventsMax, bytesMax }: PieceLimits): PieceLimits {
    const part = this.#options.backfill ? BACKFILL_PART : 1;
    return { eventsMax: Math.ceil(part * eventsMax), bytesMax: Math.ceil(part * bytesMax) };
  }

  #flightOf(run: Run): Flight {
    const { backfill, pace, partition } = this.#options;
    const marked = backfill ? { ...run, backfill } : run;
    if (run.events.length === 0) return flightOf(marked);
    return spread(marked, partition(pace.requests), this.#limits(pace.pieceLimits()));
  }
}
