/**
 * All thermometers of a bus convert at once when its master is told to, so twenty of them take one
 * second, not fifteen. Invariant: a value is taken only soon after the conversion that it is of;
 * the kernel keeps it for as long as nobody reads it.
 */
import { join } from 'node:path';
import type { Clock } from '../../hub/core/clock.ts';
import { writeAttribute } from '../sampling/attribute.ts';
import { systemErrorName } from '../sampling/kernel-problem.ts';

/** Reading one after the other takes some 15 ms each. */
const FRESH_MS = 3_000;
/** With the line end, as the driver compares it. */
const TRIGGER = 'trigger\n';

export type BulkState = 'unknown' | 'possible' | 'denied' | 'absent';

export class BulkConversion {
  readonly #master: string;
  #atMs = Number.NEGATIVE_INFINITY;
  #notRead = new Set<string>();
  #state: BulkState = 'unknown';

  constructor(master: string) {
    this.#master = master;
  }

  get state(): BulkState {
    return this.#state;
  }

  /**
   * After it the value of `sensor` is there, or will be made when it is read. `others`: all that
   * are on the bus.
   */
  async prepare(
    sensor: string,
    others: readonly string[],
    clock: Clock,
    signal: AbortSignal,
  ): Promise<void> {
    if (others.length < 2 || this.#state === 'denied') return;
    const isFresh = clock.monotonicMs() - this.#atMs < FRESH_MS;
    if (isFresh && this.#notRead.delete(sensor)) return;
    const path = join(this.#master, 'therm_bulk_read');
    try {
      await writeAttribute(path, TRIGGER, signal);
      this.#state = 'possible';
      this.#atMs = clock.monotonicMs();
      this.#notRead = new Set(others);
      this.#notRead.delete(sensor);
    } catch (error) {
      // each reading then makes its own conversion, which is slow and no worse
      const name = systemErrorName(error);
      if (name === undefined) throw error;
      this.#state = name === 'ENOENT' ? 'absent' : 'denied';
    }
  }
}
