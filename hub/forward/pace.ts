/**
 * How much is sent at once: found out from the far side's answers, as TCP does it.
 *
 * - requests side by side: more while that makes it faster, back as soon as it does not, half when
 *   answers take twice as long as they did, or fail;
 * - the size of one: half after a delivery that did not end in time, then slowly more;
 * - events per second: unlimited until the far side asks for less; then half of what it was, growing
 *   steadily until it is twice that.
 */
import type { Clock } from '../core/clock.ts';
import type { SinkPaceStatus } from '../core/status.ts';
import type { PieceLimits } from './flight.ts';

/** One flight in memory, and one behind it: 20,000 events are some 15 MB with what is encoded. */
const FLIGHT_EVENTS_MAX = 20_000;
const FLIGHT_BYTES_MAX = 4 * 1024 * 1024;
/** Answers that are compared before the number of requests changes: one alone is chance. */
const SAMPLES = 3;
/** More requests have to be worth it: less gain than this is noise. */
const GAIN_MIN = 1.1;
/** Flights until it is tried again whether more is faster: the link may have changed. */
const HOLD_FLIGHTS = 50;
/** The steps in which the size grows again: this part of what did not pass. */
const SIZE_STEPS = 16;
/** In so many seconds a rate that was halved is where it was. */
const RATE_RECOVERY_S = 20;

export interface PaceOptions {
  /** Of one delivery. */
  readonly limits: PieceLimits;
  /** Deliveries side by side at most. */
  readonly requestsMax: number;
  readonly clock: Clock;
}

export class Pace {
  readonly #options: PaceOptions;
  #requests = 1;
  /** What the present number of requests is compared with. */
  #before: { readonly requests: number; readonly rate: number } | undefined;
  #samples: number[] = [];
  #best = 0;
  #holdFlights = 0;
  #eventsMax: number;
  #eventsStep = 0;
  #limit: { readonly at: number; perSecond: number; grownMs: number } | undefined;
  #notBeforeMs = 0;

  constructor(options: PaceOptions) {
    this.#options = options;
    this.#eventsMax = options.limits.eventsMax;
  }

  get requests(): number {
    return this.#requests;
  }

  /** Of one delivery. */
  pieceLimits(): PieceLimits {
    const { bytesMax } = this.#options.limits;
    const aSecond = Math.max(1, Math.floor(this.#limit?.perSecond ?? Number.POSITIVE_INFINITY));
    return { eventsMax: Math.min(this.#eventsMax, aSecond), bytesMax };
  }

  /** Of all that are under way at once. */
  flightLimits(): PieceLimits {
    const { eventsMax, bytesMax } = this.pieceLimits();
    if (this.#requests === 1) return { eventsMax, bytesMax };
    return {
      eventsMax: Math.max(eventsMax, Math.min(this.#requests * eventsMax, FLIGHT_EVENTS_MAX)),
      bytesMax: Math.max(bytesMax, Math.min(this.#requests * bytesMax, FLIGHT_BYTES_MAX)),
    };
  }

  /** When the far side's wish allows the next delivery; monotonic, in ms. */
  get notBeforeMs(): number {
    return this.#notBeforeMs;
  }

  status(): SinkPaceStatus {
    return {
      requests: this.#requests,
      eventsMax: this.pieceLimits().eventsMax,
      eventsPerSecondMax: this.#limit ? Math.round(this.#limit.perSecond) : null,
    };
  }

  /** A flight was answered in `tookMs`. `full`: more would have been there to send. */
  answered(events: number, tookMs: number, full: boolean): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#eventsMax = Math.min(this.#options.limits.eventsMax, this.#eventsMax + this.#eventsStep);
    this.#grow(nowMs);
    if (this.#limit) this.#notBeforeMs = nowMs - tookMs + (events / this.#limit.perSecond) * 1000;
    if (full) this.#compare(events / Math.max(0.1, tookMs));
  }

  /** A delivery did not end in time. Answers how many events the next one may have. */
  timedOut(): number {
    this.#fewerRequests();
    this.#eventsStep = Math.max(1, Math.ceil(this.#eventsMax / SIZE_STEPS));
    this.#eventsMax = Math.max(1, Math.floor(this.#eventsMax / 2));
    return this.#eventsMax;
  }

  /** The far side asked for less, at so many events per second. */
  throttled(perSecond: number): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#fewerRequests();
    const at = Math.max(1, Math.min(perSecond, this.#limit?.perSecond ?? perSecond));
    this.#limit = { at, perSecond: Math.max(1, at / 2), grownMs: nowMs };
  }

  #grow(nowMs: number): void {
    const limit = this.#limit;
    if (!limit) return;
    const seconds = (nowMs - limit.grownMs) / 1000;
    limit.perSecond += (limit.at / 2 / RATE_RECOVERY_S) * seconds;
    limit.grownMs = nowMs;
    if (limit.perSecond < 2 * limit.at) return;
    this.#limit = undefined;
    this.#notBeforeMs = 0;
  }

  /** `rate` in events per ms. */
  #compare(rate: number): void {
    this.#samples.push(rate);
    if (this.#samples.length < SAMPLES) return;
    const median = this.#samples.sort((a, b) => a - b)[Math.floor(SAMPLES / 2)] ?? rate;
    this.#samples = [];
    const before = this.#before;
    this.#before = undefined;
    if (before && median < before.rate * GAIN_MIN) {
      this.#requests = before.requests;
      this.#holdFlights = HOLD_FLIGHTS;
      this.#best = before.rate;
      return;
    }
    if (!before && median < this.#best / 2) {
      this.#fewerRequests();
      return;
    }
    this.#best = before ? median : Math.max(this.#best, median);
    this.#holdFlights = Math.max(0, this.#holdFlights - SAMPLES);
    if (this.#holdFlights > 0 || this.#requests >= this.#options.requestsMax) return;
    this.#before = { requests: this.#requests, rate: median };
    this.#requests = Math.min(this.#options.requestsMax, this.#requests * 2);
  }

  #fewerRequests(): void {
    this.#requests = Math.max(1, Math.floor(this.#requests / 2));
    this.#before = undefined;
    this.#samples = [];
    this.#best = 0;
    this.#holdFlights = HOLD_FLIGHTS;
  }
}
