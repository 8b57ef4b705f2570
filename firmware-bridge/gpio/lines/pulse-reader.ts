/** Frequency and period, told at intervals. */

import type { InputFields } from '../fields.ts';
import { Bell } from './bell.ts';
import { HandOver } from './hand-over.ts';
import type { LinePort, LineReader, Values } from './line-reader.ts';
import { type Pace, PulseTimer } from './pulse-timer.ts';

/** An interrupt takes a microsecond more or less: further digits are noise. */
const DIGITS = 6;

export class PulseReader implements LineReader {
  readonly #fields: Extract<InputFields, { mode: 'frequency' | 'period' }>;
  readonly #timer = new PulseTimer();
  readonly #handOver = new HandOver();
  #isWatched = false;

  constructor(fields: Extract<InputFields, { mode: 'frequency' | 'period' }>) {
    this.#fields = fields;
  }

  began(): void {
    this.#timer.forget();
    this.#isWatched = true;
  }

  edge(_active: boolean, atMs: number): void {
    this.#timer.pulse(atMs);
  }

  broke(): void {
    this.#isWatched = false;
  }

  settled(): void {}

  async run(port: LinePort, signal: AbortSignal): Promise<void> {
    for await (const nowMs of beats(this.#fields.interval, port, signal)) {
      if (!this.#isWatched) continue;
      const values = this.#values(this.#timer.take(nowMs));
      if (values && !(await this.#handOver.give(() => port.tell(values, nowMs), signal))) return;
    }
  }

  #values(pace: Pace): Values | undefined {
    const { mode, metric } = this.#fields;
    if (pace.is === 'pulses')
      return { [metric]: rounded(mode === 'frequency' ? pace.hz : pace.periodMs) };
    return pace.is === 'still' && mode === 'frequency' ? { [metric]: 0 } : undefined;
  }
}

export function rounded(value: number): number {
  return Number(value.toPrecision(DIGITS));
}

/**
 * The times at which something is due, until the signal aborts. A consumer that is late misses
 * beats; it does not get them all at once.
 */
export async function* beats(
  intervalMs: number,
  port: Pick<LinePort, 'nowMs'>,
  signal: AbortSignal,
): AsyncGenerator<number, void, undefined> {
  const bell = new Bell();
  let dueMs = port.nowMs + intervalMs;
  for (;;) {
    await bell.wait(dueMs - port.nowMs, signal);
    if (signal.aborted) return;
    const { nowMs } = port;
    if (nowMs < dueMs) continue; // a timer may ring a little early
    yield nowMs;
    dueMs += intervalMs * Math.max(1, Math.ceil((port.nowMs - dueMs) / intervalMs));
  }
}
