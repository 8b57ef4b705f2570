import type { Edges } from '../fields.ts';
import type { EdgeLoss } from './line-reader.ts';

export const TOO_FAST = 'they came faster than they could be fetched from the kernel';

/**
 * Counts edges that were lost. gpiomon does not print the sequence numbers of the kernel; but where
 * both edges are watched they alternate, and two of a kind have one between them that nobody saw.
 */
export class LossCount {
  readonly #alternate: boolean;
  #isCounted = false;
  #last: boolean | undefined;
  #loss: EdgeLoss | undefined;

  constructor(edges: Edges) {
    this.#alternate = edges === 'both';
  }

  get any(): boolean {
    return this.#loss !== undefined;
  }

  /** `isCounted`: the kernel tells exactly how many there were. */
  began(active: boolean, isCounted: boolean): void {
    this.#last = active;
    this.#isCounted = isCounted;
  }

  edge(active: boolean, atMs: number): void {
    if (this.#alternate && !this.#isCounted && active === this.#last) this.lost(1, atMs, TOO_FAST);
    this.#last = active;
  }

  lost(count: number, atMs: number, reason: string): void {
    const before = this.#loss;
    const total = (before?.count ?? 0) + count;
    this.#loss = { count: total, fromMs: before?.fromMs ?? atMs, toMs: atMs, reason };
  }

  /** What is to be told, once. */
  take(): EdgeLoss | undefined {
    const loss = this.#loss;
    this.#loss = undefined;
    return loss;
  }
}
