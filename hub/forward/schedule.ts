/** Time and chance, injected so that tests can own them. */
export interface Schedule {
  /** Monotonic. */
  nowMs(): number;
  /** In [0, 1). */
  random(): number;
  /** Does `work` once, later; until the returned function is called. */
  after(delayMs: number, work: () => void): () => void;
}

/** The machine's own. Its timers keep no process alive: whoever waits has one that does. */
export const SYSTEM_SCHEDULE: Schedule = {
  nowMs: () => performance.now(),
  random: Math.random,
  after(delayMs, work) {
    const timer = setTimeout(work, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
