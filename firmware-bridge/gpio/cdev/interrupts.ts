/** What the kernel itself has counted: /proc/interrupts. */
import { readFile } from 'node:fs/promises';
import type { Clock } from '../../../hub/core/clock.ts';
import type { KernelCount } from '../lines/pulse-tally.ts';

/** Several counters may ask at the same time. */
const FRESH_MS = 20;

export type InterruptSource = () => Promise<string>;

export const procInterrupts: InterruptSource = () => readFile('/proc/interrupts', 'utf8');

/**
 * Interrupts of the lines that `consumer` watches, by offset: ` 55:  12  0  pinctrl-bcm2835  17
 * Edge  holdfast-1a2b3c4d`. Of none at all when these are not exactly `offsets`: then the chip
 * numbers its interrupts in another way than its lines, and a row may be of another line.
 */
export function interruptsIn(
  text: string,
  consumer: string,
  offsets: readonly number[],
): ReadonlyMap<number, number> {
  const rows = text.split('\n').flatMap((line) => {
    if (!line.endsWith(consumer)) return [];
    const [, numbers, offset, name] =
      /^\s*\d+:((?:\s+\d+)+)\s+\S.*?\s(\d+)\s+(?:(?:Edge|Level|None)\s+)?(\S.*)$/.exec(line) ?? [];
    if (numbers === undefined || name !== consumer) return [];
    return [{ offset: Number(offset), counts: numbers.trim().split(/\s+/).map(Number) }];
  });
  const found = new Map(
    rows.map(({ offset, counts }) => [offset, counts.reduce((sum, one) => sum + one, 0)]),
  );
  const isExact = rows.length === offsets.length && offsets.every((offset) => found.has(offset));
  return isExact ? found : new Map();
}

export interface InterruptsOptions {
  readonly source: InterruptSource;
  /** Of one watch alone: others may have lines with the same numbers on other chips. */
  readonly consumer: string;
  readonly offsets: readonly number[];
  readonly clock: Clock;
}

/** What the kernel has counted of the lines of one watch. */
export class Interrupts {
  readonly #options: InterruptsOptions;
  /** The heading: a processor that comes or goes takes its share of the counts with it. */
  #processors: string | undefined;
  #asked: { readonly atMs: number; readonly counts: Promise<Counts | undefined> } | undefined;

  constructor(options: InterruptsOptions) {
    this.#options = options;
  }

  /** Undefined when the kernel does not say. */
  async of(offset: number): Promise<KernelCount | undefined> {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#asked === undefined || nowMs - this.#asked.atMs > FRESH_MS)
      this.#asked = { atMs: nowMs, counts: this.#ask() };
    const counts = await this.#asked.counts;
    const count = counts?.byOffset.get(offset);
    if (counts === undefined || count === undefined) return undefined;
    return { count, beforeMs: counts.beforeMs, afterMs: counts.afterMs };
  }

  async #ask(): Promise<Counts | undefined> {
    const { source, consumer, offsets, clock } = this.#options;
    const beforeMs = clock.monotonicMs();
    const text = await source().catch(() => undefined);
    const afterMs = clock.monotonicMs();
    if (text === undefined) return undefined;
    const processors = text.slice(0, text.indexOf('\n')).trim();
    this.#processors ??= processors;
    if (processors !== this.#processors) return undefined;
    return { byOffset: interruptsIn(text, consumer, offsets), beforeMs, afterMs };
  }
}

interface Counts {
  readonly byOffset: ReadonlyMap<number, number>;
  readonly beforeMs: number;
  readonly afterMs: number;
}
