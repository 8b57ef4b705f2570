/** As much as one looks at while writing a plugin; a loop that prints fills no card with it. */
const LINES_MAX = 100;
const PERIOD_MS = 10_000;

/** Lets a number of lines through in a time, and says how many it has held back. */
export class LineBudget {
  readonly #nowMs: () => number;
  #sinceMs = Number.NEGATIVE_INFINITY;
  #lines = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** How many lines were held back before this one; undefined when it is held back too. */
  take(): number | undefined {
    const nowMs = this.#nowMs();
    let heldBack = 0;
    if (nowMs - this.#sinceMs >= PERIOD_MS) {
      heldBack = Math.max(0, this.#lines - LINES_MAX);
      this.#sinceMs = nowMs;
      this.#lines = 0;
    }
    this.#lines++;
    return this.#lines > LINES_MAX ? undefined : heldBack;
  }
}
