/**
 * How much a counter has grown of late: what people see should be over when its cause is. The
 * minute that is under way and the one before it, so it says nothing sooner than after a minute.
 */
const WINDOW_MS = 60_000;

export class RecentCount {
  #windowStartMs = Number.NEGATIVE_INFINITY;
  #atStart = 0;
  #atStartBefore = 0;

  /** `total`: the counter now. `nowMs` is monotonic. */
  grownBy(total: number, nowMs: number): number {
    const windows = Math.floor((nowMs - this.#windowStartMs) / WINDOW_MS);
    if (windows >= 1) {
      this.#atStartBefore = windows === 1 ? this.#atStart : total;
      if (this.#windowStartMs === Number.NEGATIVE_INFINITY) this.#atStartBefore = 0;
      this.#atStart = total;
      this.#windowStartMs = nowMs;
    }
    return total - this.#atStartBefore;
  }
}
