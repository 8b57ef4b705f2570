import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * Intake answers publishers in about 2 ms; computing that holds the event loop longer would show.
 */
const SLICE_MS = 4;
/**
 * Decoding 32 small payloads takes under 0.1 ms even on a Pi; looking at the clock is then free ...
 */
const EVENTS_PER_LOOK = 32;
/** ... and 16 KiB is what JSON.parse takes about 0.2 ms for. */
const BYTES_PER_LOOK = 16_384;

/** Cuts long computing into slices, between which the event loop gets its turn. */
export class Slice {
  readonly #monotonicMs: () => number;
  #endMs: number;
  #events = 0;
  #bytes = 0;

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
    this.#endMs = monotonicMs() + SLICE_MS;
  }

  /** To be called after each event; true when it is time to let others work, then `restart`. */
  spent(payloadBytes: number): boolean {
    this.#bytes += payloadBytes;
    if (++this.#events < EVENTS_PER_LOOK && this.#bytes < BYTES_PER_LOOK) return false;
    this.#events = 0;
    this.#bytes = 0;
    return this.#monotonicMs() >= this.#endMs;
  }

  restart(): void {
    this.#endMs = this.#monotonicMs() + SLICE_MS;
  }

  /** Lets everything that waits have its turn, then starts anew. */
  async yield(): Promise<void> {
    await nextTurn();
    this.restart();
  }
}
