/** What a timer can hold (24 days). A longer wait would end at once, and again, and again. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** One waiter, woken by whoever has news, or by time. A wake-up before the wait is not lost. */
export class Wakeup {
  #woken = false;
  #resolve: (() => void) | undefined;

  wake(): void {
    this.#woken = true;
    this.#resolve?.();
  }

  async wait(timeoutMs: number): Promise<void> {
    if (!this.#woken) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(timeoutMs, TIMER_MS_MAX));
        this.#resolve = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#resolve = undefined;
    }
    this.#woken = false;
  }
}
