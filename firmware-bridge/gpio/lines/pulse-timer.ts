/**
 * Frequency and period of pulses from their times, which is exact at every interval; counting
 * within a gate is not. Pure: times in ms, on one monotonic clock.
 */
export type Pace =
  | { readonly is: 'pulses'; readonly hz: number; readonly periodMs: number }
  /** None for twice as long as a period, or none at all. */
  | { readonly is: 'still' }
  /** One pulse has no frequency. */
  | { readonly is: 'unknown' };

/** A signal that has been silent for so many of its periods has stopped. */
const PERIODS_SILENT_MAX = 2;

export class PulseTimer {
  /** The pulse that the next ones are measured from. */
  #sinceMs: number | undefined;
  #lastMs = 0;
  #pulses = 0;
  #pace: Pace = { is: 'still' };

  pulse(atMs: number): void {
    if (this.#sinceMs === undefined) this.#sinceMs = atMs;
    else this.#pulses++;
    this.#lastMs = atMs;
  }

  /** The pace since the last call; that of the time before while a slow signal may still go on. */
  take(nowMs: number): Pace {
    if (this.#sinceMs === undefined) return { is: 'still' };
    const spanMs = this.#lastMs - this.#sinceMs;
    if (this.#pulses > 0 && spanMs > 0) {
      const periodMs = spanMs / this.#pulses;
      this.#pace = { is: 'pulses', hz: 1_000 / periodMs, periodMs };
      this.#sinceMs = this.#lastMs;
      this.#pulses = 0;
      return this.#pace;
    }
    const silentMs = nowMs - this.#lastMs;
    if (this.#pace.is === 'unknown') return this.#stop();
    if (this.#pace.is === 'still') {
      this.#pace = { is: 'unknown' };
      return this.#pace;
    }
    return silentMs < PERIODS_SILENT_MAX * this.#pace.periodMs ? this.#pace : this.#stop();
  }

  /** What was missed is no silence: the next pulse begins anew. */
  forget(): void {
    this.#stop();
  }

  #stop(): Pace {
    // the pause is no period: the next pulse is measured from itself
    this.#sinceMs = undefined;
    this.#pulses = 0;
    this.#pace = { is: 'still' };
    return this.#pace;
  }
}
