/**
 * Reading hardware can take as long as the hardware takes (a DS18B20 750 ms), or never return, and
 * holds one of the four threads of libuv all the time; the log needs them to write and to sync.
 * Invariants:
 * - two of these threads at most are held by what is slow;
 * - one that does not return for long no longer counts there, so it does not stop the others; but
 *   there are three at most, so one thread always remains for the log.
 */
import { Places } from './places.ts';

export interface BlockingLimits {
  readonly atOnceMax: number;
  readonly threadsHeldMax: number;
  readonly hangsAfterMs: number;
}

const LIMITS: BlockingLimits = {
  atOnceMax: 2,
  threadsHeldMax: 3,
  // slower than any conversion, and than an I2C transfer that the kernel gives up
  hangsAfterMs: 10_000,
};

export class BlockingWork {
  readonly #limits: BlockingLimits;
  readonly #slow: Places;
  readonly #threads: Places;
  readonly #hanging = new Set<{ readonly name: string }>();

  constructor(limits: BlockingLimits = LIMITS) {
    this.#limits = limits;
    this.#slow = new Places(limits.atOnceMax);
    this.#threads = new Places(limits.threadsHeldMax);
  }

  /** What has not returned for long, for people. */
  get hanging(): readonly string[] {
    return [...new Set([...this.#hanging].map(({ name }) => name))];
  }

  /**
   * Runs `work`, which may block a thread for long, when there is one to spare. `name` is how
   * people know it. Rejects when the signal aborts before there is one; what has begun goes on.
   */
  async run<T>(name: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const leaveThread = await this.#threads.take(signal);
    const leaveSlow = leaveThread && (await this.#slow.take(signal));
    if (!leaveThread || !leaveSlow) {
      leaveThread?.();
      throw new Error(`gave up waiting to reach ${name}`);
    }
    const entry = { name };
    const timer = setTimeout(() => {
      this.#hanging.add(entry);
      leaveSlow();
    }, this.#limits.hangsAfterMs);
    timer.unref();
    try {
      return await work();
    } finally {
      clearTimeout(timer);
      this.#hanging.delete(entry);
      leaveSlow();
      leaveThread();
    }
  }
}
