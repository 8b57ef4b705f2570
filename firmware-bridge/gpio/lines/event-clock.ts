import type { Clock } from '../../../hub/core/clock.ts';

/** Two looks at a clock of whole ms differ by so much; more is a clock that was set. */
const JITTER_MS = 2;

/**
 * Says when an edge was, in a message. Edges have monotonic times; as a date they keep their order,
 * because the distance of the two clocks is only taken anew when the wall clock was set.
 */
export class EventClock {
  readonly #clock: Clock;
  #distanceMs = Number.NaN;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get nowMs(): number {
    return this.#clock.monotonicMs();
  }

  /** `time` in ms since 1970; nothing while nobody knows the date: then the arrival counts. */
  stamp(atMs: number): { readonly time?: number } {
    return this.#clock.synced() ? { time: this.wallMs(atMs) } : {};
  }

  /** In ms since 1970, right or not. */
  wallMs(atMs: number): number {
    const distanceMs = this.#clock.wallMs() - this.nowMs;
    if (!(Math.abs(distanceMs - this.#distanceMs) <= JITTER_MS)) this.#distanceMs = distanceMs;
    return Math.round(atMs + this.#distanceMs);
  }
}
