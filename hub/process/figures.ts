import type { LastFigure, NumberFigures } from './aggregate-payload.ts';

/**
 * The sum of so many of the largest numbers must not overflow; a power of two changes no digit.
 * Counts up to 2^53 of values up to 2^1023 leave room with 2^-64.
 */
const SCALE = 2 ** -64;

/** Minimum, mean and maximum of what is added; aggregates combine as if their values were added. */
export class NumberSummary {
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;
  #count = 0;
  #sum = 0;
  /** What the sum has lost to rounding (Neumaier), so that a mean of millions keeps its digits. */
  #lost = 0;

  add({ min, mean, max, count }: NumberFigures): void {
    const term = mean * SCALE * count;
    const sum = this.#sum + term;
    this.#lost +=
      Math.abs(this.#sum) >= Math.abs(term) ? this.#sum - sum + term : term - sum + this.#sum;
    this.#sum = sum;
    this.#count += count;
    this.#min = Math.min(this.#min, min);
    this.#max = Math.max(this.#max, max);
  }

  figures(): NumberFigures {
    const mean = (this.#sum + this.#lost) / this.#count / SCALE;
    return {
      min: this.#min,
      mean: Math.min(this.#max, Math.max(this.#min, mean)), // rounding can push it past its values
      max: this.#max,
      count: this.#count,
    };
  }
}

/** The last value of what has no mean. */
export class LastSummary {
  #last: string | boolean = '';
  #count = 0;

  add({ last, count }: LastFigure): void {
    this.#last = last;
    this.#count += count;
  }

  figures(): LastFigure {
    return { last: this.#last, count: this.#count };
  }
}
