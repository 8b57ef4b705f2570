import type { Reading } from '../core/event.ts';
import type { HistoryPoint } from '../core/status.ts';

export interface HistoryQuery {
  readonly device: string;
  readonly metric: string;
  /** Of the readings' own time, in ms since 1970: from `fromMs`, before `toMs`. */
  readonly fromMs: number;
  readonly toMs: number;
  /** At most so many buckets. */
  readonly points: number;
}

/** Min, max, mean and count per bucket; a bucket without readings gives no point. */
export class Buckets {
  readonly #query: HistoryQuery;
  readonly #widthMs: number;
  readonly #min: Float64Array;
  readonly #max: Float64Array;
  readonly #sum: Float64Array;
  readonly #count: Float64Array;

  constructor(query: HistoryQuery) {
    this.#query = query;
    this.#widthMs = (query.toMs - query.fromMs) / query.points;
    this.#min = new Float64Array(query.points).fill(Number.POSITIVE_INFINITY);
    this.#max = new Float64Array(query.points).fill(Number.NEGATIVE_INFINITY);
    this.#sum = new Float64Array(query.points);
    this.#count = new Float64Array(query.points);
  }

  /** Takes a number or a boolean, as 0 and 1. False when it is text, or outside of the query. */
  add({ timeMs, value, aggregate }: Reading): boolean {
    const { fromMs, toMs, points } = this.#query;
    if (typeof value === 'string' || timeMs < fromMs || timeMs >= toMs) return false;
    const mean = Number(value);
    const count = aggregate?.count ?? 1;
    const i = Math.min(points - 1, Math.floor((timeMs - fromMs) / this.#widthMs));
    this.#min[i] = Math.min(this.#min[i] ?? mean, aggregate?.min ?? mean);
    this.#max[i] = Math.max(this.#max[i] ?? mean, aggregate?.max ?? mean);
    this.#sum[i] = (this.#sum[i] ?? 0) + mean * count;
    this.#count[i] = (this.#count[i] ?? 0) + count;
    return true;
  }

  points(): HistoryPoint[] {
    const points: HistoryPoint[] = [];
    for (const [i, count] of this.#count.entries()) {
      const min = this.#min[i];
      const max = this.#max[i];
      const sum = this.#sum[i];
      if (count === 0 || min === undefined || max === undefined || sum === undefined) continue;
      const timeMs = Math.round(this.#query.fromMs + i * this.#widthMs);
      // A sum of huge values overflows, and rounding can push a mean past what it is the mean of.
      const mean = Math.min(
        max,
        Math.max(min, Number.isFinite(sum) ? sum / count : (min + max) / 2),
      );
      points.push({ timeMs, min, max, mean, count });
    }
    return points;
  }
}
