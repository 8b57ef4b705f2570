/**
 * A link that is back is noticed by the first success, not by everyone's own timer: a sink that
 * delivers after a failure wakes the others that wait for the same host.
 */
export class Recovery {
  readonly #waiting = new Map<string, Set<() => void>>();

  /** Calls `wake` when something else reaches `host`; until the returned function is called. */
  wait(host: string, wake: () => void): () => void {
    const waiting = this.#waiting.get(host) ?? new Set();
    this.#waiting.set(host, waiting.add(wake));
    return () => {
      waiting.delete(wake);
      if (waiting.size === 0) this.#waiting.delete(host);
    };
  }

  reached(host: string): void {
    for (const wake of this.#waiting.get(host) ?? []) wake();
  }
}
