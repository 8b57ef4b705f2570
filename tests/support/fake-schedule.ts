import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Schedule } from '../../hub/forward/schedule.ts';
import { FakeClock } from './fake-clock.ts';

interface Timer {
  readonly atMs: number;
  readonly work: () => void;
}

/** Timers on a fake clock: they run when a test lets time pass. */
export class FakeSchedule implements Schedule {
  readonly clock: FakeClock;
  /** What `random` answers. */
  chance = 0;
  readonly #timers = new Set<Timer>();

  constructor(clock = new FakeClock()) {
    this.clock = clock;
  }

  nowMs(): number {
    return this.clock.monotonicMs();
  }

  random(): number {
    return this.chance;
  }

  after(delayMs: number, work: () => void): () => void {
    const timer = { atMs: this.nowMs() + delayMs, work };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers that have not run. */
  get waiting(): number {
    return this.#timers.size;
  }

  /** Lets `ms` pass, timer by timer, and what is awaited go on between them. */
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs() + ms;
    for (;;) {
      await nextTurn();
      const [next] = [...this.#timers].sort((a, b) => a.atMs - b.atMs);
      if (!next || next.atMs > endMs) break;
      this.clock.advance(Math.max(0, next.atMs - this.nowMs()));
      this.#timers.delete(next);
      next.work();
    }
    this.clock.advance(endMs - this.nowMs());
    await nextTurn();
  }
}
