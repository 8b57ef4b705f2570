/** Who has run so long ended for a new reason. */
const PROVEN_MS = 60_000;
const DELAY_MIN_MS = 500;
const DELAY_MAX_MS = 30_000;

/** How long to wait before a program that has ended is started again: later and later. */
export class RestartDelay {
  #restarts = 0;

  /** In ms. `livedMs` is how long it ran; `random` is in [0, 1). */
  next(livedMs: number, random: number): number {
    if (livedMs >= PROVEN_MS) this.#restarts = 0;
    const ceilingMs = Math.min(DELAY_MAX_MS, DELAY_MIN_MS * 2 ** this.#restarts++);
    return ceilingMs * (0.5 + random / 2);
  }
}
