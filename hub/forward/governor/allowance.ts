/** A burst of this long may be saved up. */
const BURST_S = 1;

/**
 * So many units a second, on average. Whoever goes while something is left may take more than that:
 * the next one waits until the debt is paid. So in any time T at most `perSecond * (T + 1 s)` and
 * one batch are taken.
 */
export class Allowance {
  readonly #perSecond: number;
  #left: number;
  #atMs: number;

  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond * BURST_S;
    this.#atMs = nowMs;
  }

  /** When something may be taken: `nowMs`, or later. */
  readyMs(nowMs: number): number {
    this.#refill(nowMs);
    if (this.#left > 0) return nowMs;
    return nowMs + Math.ceil((-this.#left / this.#perSecond) * 1000) + 1; // timers are whole ms
  }

  take(units: number, nowMs: number): void {
    this.#refill(nowMs);
    this.#left -= units;
  }

  #refill(nowMs: number): void {
    const seconds = Math.max(0, nowMs - this.#atMs) / 1000;
    this.#atMs = nowMs;
    this.#left = Math.min(this.#perSecond * BURST_S, this.#left + seconds * this.#perSecond);
  }
}
