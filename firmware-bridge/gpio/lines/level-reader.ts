import { Bell } from './bell.ts';
import { HandOver } from './hand-over.ts';
import type { LinePort, LineReader } from './line-reader.ts';

/** A level: of an input, or the state of an output. Told when it has changed, and at intervals. */
export class LevelReader implements LineReader {
  readonly #metric: string;
  readonly #intervalMs: number;
  readonly #bell = new Bell();
  readonly #handOver = new HandOver();
  /** Undefined while nobody knows it. */
  #level: { readonly active: boolean; readonly atMs: number } | undefined;
  /** What the hub was told last; undefined: it must be told anew. */
  #told: boolean | undefined;

  constructor(metric: string, intervalMs: number) {
    this.#metric = metric;
    this.#intervalMs = intervalMs;
  }

  began(active: boolean, atMs: number): void {
    this.#told = undefined;
    this.edge(active, atMs);
    this.#bell.ring();
  }

  edge(active: boolean, atMs: number): void {
    if (this.#level?.active !== active) this.#level = { active, atMs };
  }

  broke(): void {
    this.#level = undefined;
  }

  settled(): void {
    if (this.#level?.active !== this.#told) this.#bell.ring();
  }

  async run(port: LinePort, signal: AbortSignal): Promise<void> {
    let dueMs = port.nowMs;
    for (;;) {
      const level = this.#level;
      const isDue = port.nowMs >= dueMs || level?.active !== this.#told;
      if (level === undefined || !isDue)
        await this.#bell.wait(level === undefined ? Infinity : dueMs - port.nowMs, signal);
      if (signal.aborted) return;
      if (level === undefined || !isDue) continue;
      // a change has the time of its edge; a level that is only told again is one of now
      const atMs = level.active === this.#told ? port.nowMs : level.atMs;
      this.#told = level.active;
      const values = { [this.#metric]: level.active };
      if (!(await this.#handOver.give(() => port.tell(values, atMs), signal))) return;
      dueMs = port.nowMs + this.#intervalMs;
    }
  }
}
