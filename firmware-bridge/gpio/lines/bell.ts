/** Wakes one loop: what rings while nobody waits is heard by the next wait. */
export class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Until it rings, `delayMs` have passed, or the signal aborts. Infinity: no limit. */
  async wait(delayMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung && !signal.aborted && delayMs > 0)
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', wake);
          this.#wake = undefined;
          resolve();
        };
        const timer = Number.isFinite(delayMs) ? setTimeout(wake, delayMs) : undefined;
        this.#wake = wake;
        signal.addEventListener('abort', wake, { once: true });
      });
    this.#rung = false;
  }
}
