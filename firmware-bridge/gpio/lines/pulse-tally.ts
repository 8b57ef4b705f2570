/**
 * How many pulses there were since a line is watched. Pure.
 *
 * Two count: we the edges that arrive, and the kernel its interrupts. An edge that did not find
 * room in the kernel's queue is missing in the first; those since we last asked, in the second.
 * Invariants: the total never goes back, and holds no pulse twice. Times are monotonic, in ms.
 */

/** The interrupts of a line, between two looks at the clock. */
export interface KernelCount {
  readonly count: number;
  readonly beforeMs: number;
  readonly afterMs: number;
}

export class PulseTally {
  #edges = 0;
  /** Edges that the kernel had counted when it was asked first. */
  #early = 0;
  /** Edges that it had not counted when it was asked last. */
  #late = 0;
  readonly #first: KernelCount | undefined;
  #last: KernelCount | undefined;
  #total = 0;

  /** `first`: what the kernel has counted at the start, where that can be known. */
  constructor(first: KernelCount | undefined) {
    this.#first = first;
    this.#last = first;
  }

  get total(): number {
    const [first, last] = [this.#first, this.#last];
    const byKernel = first && last ? this.#early + last.count - first.count + this.#late : 0;
    this.#total = Math.max(this.#total, this.#edges, byKernel);
    return this.#total;
  }

  get edges(): number {
    return this.#edges;
  }

  /**
   * How many edges will never arrive, of those until the kernel was asked last. Undefined while
   * that cannot be told: they arrive in their order, so a later one or a pause says that all have.
   */
  missing(hasPaused: boolean): number | undefined {
    const [first, last] = [this.#first, this.#last];
    if (!first || !last || !(this.#late > 0 || hasPaused)) return undefined;
    return Math.max(0, this.#early + last.count - first.count - (this.#edges - this.#late));
  }

  edge(atMs: number): void {
    this.#edges++;
    if (this.#first && atMs <= this.#first.beforeMs) this.#early++;
    else if (this.#last && atMs > this.#last.afterMs) this.#late++;
  }

  asked(count: KernelCount): void {
    if (this.#last === undefined || count.count < this.#last.count) return;
    this.#last = count;
    this.#late = 0;
  }
}
