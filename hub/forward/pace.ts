/**
 * How much is sent at once: found out from the far side's answers.
 *
 * - requests side by side: many where that is faster than one, back to one where it is not, half as
 *   many when answers become half as fast, or fail;
 * - the size of one: half when two in a row did not end in time, then slowly more;
 * - events per second: unlimited until the far side asks for less; then half of what it was,
 *   growing steadily until it is twice that.
 */
import type { Clock } from '../core/clock.ts';
import type { SinkPaceStatus } from '../core/status.ts';
import type { PieceLimits } from './flight.ts';

/** Cut from the log at once: 40,000 events are some 15 MB in memory. */
const FLIGHT_EVENTS_MAX = 40_000;
const FLIGHT_BYTES_MAX = 8 * 1024 * 1024;
/** Devices do not divide into equal parts: the largest should still be one delivery. */
const EVENLY = 0.8;
/** A request that was answered finds the next one ready while others are under way. */
const FLIGHTS_MAX = 2;
/** What is compared is the better of so many: a pause of this machine is not the far side's. */
const SAMPLES = 2;
/** Where an answer takes less, the way is not what limits: more requests are not even tried. */
const LONG_WAY_MS = 150;
/** More requests have to be worth it: less gain than this is noise. */
const GAIN_MIN = 1.2;
/** What was once fast is forgotten within some ten comparisons. */
const BEST_FADES = 0.9;
/** Comparisons until it is tried again whether more is faster: the link may have changed. */
const HOLD_COMPARISONS = 60;
/** The steps in which the size grows again: this part of what did not pass. */
const SIZE_STEPS = 16;
/** One slow answer is an accident; two in a row are the size. */
const TIMEOUTS_MIN = 2;
/** So much of the rate that was too much comes back in a second. */
const RATE_STEP = 1 / 20;
/** Refusals within this time are one wish. */
const THROTTLE_INTERVAL_MS = 2_000;

export interface PaceOptions {
  /** Of one delivery. */
  readonly limits: PieceLimits;
  /** Deliveries side by side at most. */
  readonly requestsMax: number;
  readonly clock: Clock;
}

/** What the far side asked for less of. Rates in events per second. */
interface Limit {
  /** What had been taken before. */
  readonly peak: number;
  readonly askedMs: number;
  perSecond: number;
  grownMs: number;
}

export class Pace {
  readonly requestsMax: number;
  readonly #options: PaceOptions;
  #requests = 1;
  /** With one request, while more are tried. In events per ms. */
  #alone: number | undefined;
  #best = 0;
  #samples: number[] = [];
  #hold = 0;
  #filled = false;
  #sample = { sinceMs: 0, events: 0, whole: false };
  #eventsMax: number;
  #eventsStep = 0;
  /** In a row. */
  #timeouts = 0;
  #limit: Limit | undefined;
  #notBeforeMs = 0;

  constructor(options: PaceOptions) {
    this.#options = options;
    this.requestsMax = options.requestsMax;
    this.#eventsMax = options.limits.eventsMax;
  }

  get requests(): number {
    return this.#requests;
  }

  /** Of one delivery. */
  pieceLimits(): PieceLimits {
    return { eventsMax: this.#eventsMax, bytesMax: this.#options.limits.bytesMax };
  }

  /** Of what is cut from the log at once. */
  flightLimits(): PieceLimits {
    const { eventsMax, bytesMax } = this.pieceLimits();
    const several = this.#requests * EVENLY;
    return {
      eventsMax: Math.max(eventsMax, Math.min(Math.floor(several * eventsMax), FLIGHT_EVENTS_MAX)),
      bytesMax: Math.max(bytesMax, Math.min(Math.floor(several * bytesMax), FLIGHT_BYTES_MAX)),
    };
  }

  /** Of a queue, on the way at once. */
  get flightsMax(): number {
    return this.#requests === 1 ? 1 : FLIGHTS_MAX;
  }

  /** When the far side's wish allows the next delivery; monotonic, in ms. */
  get notBeforeMs(): number {
    return this.#notBeforeMs;
  }

  status(): SinkPaceStatus {
    return {
      requests: this.#requests,
      eventsMax: this.#eventsMax,
      eventsPerSecondMax: this.#limit ? Math.round(this.#limit.perSecond) : null,
    };
  }

  /** From now on something is on its way. */
  begin(): void {
    this.#filled = false;
    this.#sampleAnew();
  }

  /** Whether as much is on its way as may be: only then does the time tell of the far side. */
  filled(isFilled: boolean): void {
    this.#filled = isFilled;
    if (!isFilled) this.#sample.whole = false;
  }

  /** Nothing more is sent for so long. */
  rest(ms: number): void {
    if (ms <= 0) return;
    this.#notBeforeMs = Math.max(this.#notBeforeMs, this.#options.clock.monotonicMs() + ms);
  }

  launched(events: number): void {
    if (!this.#limit) return;
    const fromMs = Math.max(this.#notBeforeMs, this.#options.clock.monotonicMs());
    this.#notBeforeMs = fromMs + (events / this.#limit.perSecond) * 1000;
  }

  /** So many events of one delivery were answered for. */
  answered(events: number): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (events > 0) this.#timeouts = 0;
    this.#eventsMax = Math.min(this.#options.limits.eventsMax, this.#eventsMax + this.#eventsStep);
    this.#grow(nowMs);
    const { sinceMs, whole } = this.#sample;
    this.#sample.events += events;
    // answers to requests side by side come in flocks: one alone would seem infinitely fast
    if (this.#sample.events < this.flightsMax * this.flightLimits().eventsMax) return;
    if (whole) this.#compare(this.#sample.events, Math.max(0.1, nowMs - sinceMs));
    this.#sampleAnew();
  }

  /**
   * A delivery did not end in time. Answers how many events the next one may have. One alone may be
   * an accident; two in a row without an answer between them were too large, or too fast.
   */
  timedOut(): number {
    this.#timeouts++;
    if (this.#timeouts < TIMEOUTS_MIN) return this.#eventsMax;
    this.#fewerRequests();
    this.#eventsStep = Math.max(1, Math.ceil(this.#eventsMax / SIZE_STEPS));
    this.#eventsMax = Math.max(1, Math.floor(this.#eventsMax / 2));
    return this.#eventsMax;
  }

  /** The far side asked for less, when so many events per second were taken. */
  throttled(perSecond: number): void {
    const nowMs = this.#options.clock.monotonicMs();
    const limit = this.#limit;
    if (limit && nowMs - limit.askedMs < THROTTLE_INTERVAL_MS) return;
    this.#fewerRequests();
    const peak = Math.max(1, limit?.peak ?? perSecond);
    const half = Math.max(peak * RATE_STEP, (limit?.perSecond ?? peak) / 2);
    this.#limit = { peak, perSecond: half, grownMs: nowMs, askedMs: nowMs };
  }

  #sampleAnew(): void {
    this.#sample = {
      sinceMs: this.#options.clock.monotonicMs(),
      events: 0,
      whole: this.#filled || this.#requests === 1,
    };
  }

  #grow(nowMs: number): void {
    const limit = this.#limit;
    if (!limit) return;
    limit.perSecond += (limit.peak * RATE_STEP * (nowMs - limit.grownMs)) / 1000;
    limit.grownMs = nowMs;
    if (limit.perSecond < 2 * limit.peak) return;
    this.#limit = undefined;
    this.#notBeforeMs = 0;
  }

  #compare(events: number, tookMs: number): void {
    this.#samples.push(events / tookMs);
    const isFar = tookMs > LONG_WAY_MS;
    if (!(isFar && this.#requests === 1) && this.#samples.length < SAMPLES) return;
    const better = Math.max(...this.#samples);
    this.#samples = [];
    if (this.#alone !== undefined) {
      const alone = this.#alone;
      this.#alone = undefined;
      this.#hold = HOLD_COMPARISONS;
      this.#best = better;
      if (better < alone * GAIN_MIN) this.#requests = 1;
      return;
    }
    if (better < this.#best / 2) {
      this.#fewerRequests();
      return;
    }
    this.#best = Math.max(BEST_FADES * this.#best, better);
    this.#hold--;
    if (this.#hold > 0 || !isFar || this.#requests === this.requestsMax) return;
    if (this.#requests === 1) this.#alone = better;
    this.#requests = this.requestsMax;
    this.#best = 0;
  }

  #fewerRequests(): void {
    this.#requests = Math.max(1, Math.floor(this.#requests / 2));
    this.#alone = undefined;
    this.#samples = [];
    this.#best = 0;
    this.#hold = HOLD_COMPARISONS;
  }
}
