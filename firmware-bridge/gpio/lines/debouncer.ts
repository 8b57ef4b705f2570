/** Injected, so that a test owns the time. */
export interface Timers {
  set(task: () => void, delayMs: number): NodeJS.Timeout;
  clear(timer: NodeJS.Timeout | undefined): void;
}

export const systemTimers: Timers = {
  set: (task, delayMs) => setTimeout(task, delayMs),
  clear: (timer) => clearTimeout(timer),
};

/**
 * Lets a level through after it has stayed for `stableMs`, as the kernel does on the character
 * device. `emit` gets each level that differs from the one before, with the time at which the
 * stay began.
 */
export class Debouncer {
  readonly #stableMs: number;
  readonly #emit: (level: boolean, atMs: number) => void;
  readonly #timers: Timers;
  #settled: boolean;
  #seen: boolean;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    stableMs: number,
    level: boolean,
    emit: (level: boolean, atMs: number) => void,
    timers: Timers = systemTimers,
  ) {
    this.#stableMs = stableMs;
    this.#emit = emit;
    this.#timers = timers;
    this.#settled = level;
    this.#seen = level;
  }

  see(level: boolean, atMs: number): void {
    // the same level again: there was another one between, too short to be seen
    this.#seen = level;
    this.#timers.clear(this.#timer);
    this.#timer = this.#timers.set(() => {
      if (this.#seen === this.#settled) return;
      this.#settled = this.#seen;
      this.#emit(this.#settled, atMs);
    }, this.#stableMs);
  }

  stop(): void {
    this.#timers.clear(this.#timer);
  }
}
