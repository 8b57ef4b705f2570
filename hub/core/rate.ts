/** Events per second over about the last `WINDOW_MS`, decaying, without keeping the events. */
const WINDOW_MS = 10_000;

export class RateMeter {
  readonly #nowMs: () => number;
  readonly #windowMs: number;
  #level = 0;
  #updatedMs: number;
  readonly #startedMs: number;

  /** `nowMs` is a monotonic clock. */
  constructor(nowMs: () => number, windowMs = WINDOW_MS) {
    this.#nowMs = nowMs;
    this.#windowMs = windowMs;
    this.#updatedMs = nowMs();
    this.#startedMs = this.#updatedMs;
  }

  add(count: number): void {
    this.#decay();
    this.#level += count;
  }

  perSecond(): number {
    this.#decay();
    // a meter younger than its window has not seen enough to have decayed into balance
    const ageMs = Math.max(this.#updatedMs - this.#startedMs, 1_000);
    const seenShare = 1 - Math.exp(-ageMs / this.#windowMs);
    return this.#level / ((this.#windowMs / 1000) * seenShare);
  }

  #decay(): void {
    const now = this.#nowMs();
    this.#level *= Math.exp(-(now - this.#updatedMs) / this.#windowMs);
    this.#updatedMs = now;
  }
}
