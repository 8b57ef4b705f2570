/** So many at once, in the order of asking. */
export class Places {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves with what gives the place back; undefined as soon as the signal aborts. */
  take(signal: AbortSignal): Promise<(() => void) | undefined> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve(undefined);
      const enter = () => {
        signal.removeEventListener('abort', leave);
        this.#free -= 1;
        let given = true;
        resolve(() => {
          if (given) this.#giveBack();
          given = false;
        });
      };
      const leave = () => {
        this.#waiting.delete(enter);
        resolve(undefined);
      };
      if (this.#free > 0) return enter();
      this.#waiting.add(enter);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  #giveBack(): void {
    this.#free += 1;
    const [next] = this.#waiting;
    if (next === undefined || this.#free <= 0) return;
    this.#waiting.delete(next);
    next();
  }
}
