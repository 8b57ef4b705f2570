/**
 * Hands one thing after the other to a log that may be full. A wait that an abort cut short goes
 * on: the next thing waits for it, so that a line that comes and goes while the log is full does
 * not leave one in the memory at each time.
 */
export class HandOver {
  #pending: Promise<unknown> = Promise.resolve();

  /** Resolves with whether it is durable: false when the signal aborted before. */
  async give(work: () => Promise<void>, signal: AbortSignal): Promise<boolean> {
    if (!(await this.#unlessAborted(this.#pending, signal))) return false;
    const given = work();
    this.#pending = given.catch(() => {});
    return this.#unlessAborted(given, signal);
  }

  async #unlessAborted(work: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    let stop = () => {};
    const aborted = new Promise<false>((resolve) => {
      stop = () => resolve(false);
      signal.addEventListener('abort', stop, { once: true });
    });
    try {
      return await Promise.race([work.then(() => true), aborted]);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
}
