/** What the kernel itself has counted: /proc/interrupts. */
import { readFile } from 'node:fs/promises';
import type { Clock } from '../../hub/core/clock.ts';
import type { KernelCount } from './pulse-tally.ts';

/** Several counters may ask at the same time. */
const FRESH_MS = 20;

export type InterruptSource = () => Promise<string>;

export const procInterrupts: InterruptSource = () => readFile('/proc/interrupts', 'utf8');

/**
 * Interrupts of the lines that `consumer` watches, by offset: ` 55:  12  0  pinctrl-bcm2835  17
 * Edge  holdfast`. Not those of an offset that two chips have.
 */
export function interruptsIn(text: string, consumer: string): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  const twice = new Set<number>();
  for (const line of text.split('\n')) {
    if (!line.endsWith(consumer)) continue;
    const [, numbers, offsetText, name] =
      /^\s*\d+:((?:\s+\d+)+)\s+\S.*?\s(\d+)\s+(?:(?:Edge|Level|None)\s+)?(\S.*)$/.exec(line) ?? [];
    if (numbers === undefined || name !== consumer) continue;
    const offset = Number(offsetText);
    if (counts.has(offset)) twice.add(offset);
    const sum = numbers
      .trim()
      .split(/\s+/)
      .reduce((total, one) => total + Number(one), 0);
    counts.set(offset, sum);
  }
  for (const offset of twice) counts.delete(offset);
  return counts;
}

export class Interrupts {
  readonly #source: InterruptSource;
  readonly #consumer: string;
  readonly #clock: Clock;
  #asked: { readonly atMs: number; readonly counts: Promise<Counts | undefined> } | undefined;

  constructor(source: InterruptSource, consumer: string, clock: Clock) {
    this.#source = source;
    this.#consumer = consumer;
    this.#clock = clock;
  }

  /** Undefined when the kernel does not say. */
  async of(offset: number): Promise<KernelCount | undefined> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#asked === undefined || nowMs - this.#asked.atMs > FRESH_MS)
      this.#asked = { atMs: nowMs, counts: this.#ask() };
    const counts = await this.#asked.counts;
    const count = counts?.byOffset.get(offset);
    if (counts === undefined || count === undefined) return undefined;
    return { count, beforeMs: counts.beforeMs, afterMs: counts.afterMs };
  }

  async #ask(): Promise<Counts | undefined> {
    const beforeMs = this.#clock.monotonicMs();
    const text = await this.#source().catch(() => undefined);
    const afterMs = this.#clock.monotonicMs();
    if (text === undefined) return undefined;
    return { byOffset: interruptsIn(text, this.#consumer), beforeMs, afterMs };
  }
}

interface Counts {
  readonly byOffset: ReadonlyMap<number, number>;
  readonly beforeMs: number;
  readonly afterMs: number;
}
