/** How often it looks whether the log still holds the program up. */
const LOOK_AGAIN_MS = 100;

/** The time that a program had for itself: without that in which it waited for the log. */
export class ProgramTime {
  readonly #nowMs: () => number;
  #startMs: number;
  #heldSinceMs: number | undefined;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#startMs = nowMs();
  }

  async without<T>(work: () => Promise<T>): Promise<T> {
    this.#heldSinceMs = this.#nowMs();
    const result = await work();
    this.#startMs += this.#nowMs() - this.#heldSinceMs;
    this.#heldSinceMs = undefined;
    return result;
  }

  /** Resolves after `limitMs` of it; never, once the signal aborts. */
  async isOver(limitMs: number, signal: AbortSignal): Promise<void> {
    if (limitMs === Number.POSITIVE_INFINITY) return await new Promise(() => {});
    for (;;) {
      const isHeld = this.#heldSinceMs !== undefined;
      const leftMs = limitMs - ((this.#heldSinceMs ?? this.#nowMs()) - this.#startMs);
      if (leftMs <= 0 && !isHeld) return;
      await sleep(isHeld ? Math.max(leftMs, LOOK_AGAIN_MS) : leftMs, signal);
      if (signal.aborted) return await new Promise(() => {});
    }
  }
}

/** Resolves after `delayMs`, or at once when the signal aborts. */
export async function sleep(delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', wake); // else each pause leaves a listener behind
      resolve();
    };
    const timer = setTimeout(wake, Math.max(0, delayMs));
    signal.addEventListener('abort', wake, { once: true });
  });
}
