import type { Message } from '../../core/event.ts';
import type { Losses } from './losses.ts';

/** A loss report is an event itself: not more than one per lane and reason in this time. */
const INTERVAL_MIN_MS = 10_000;
/** What goes on for days would fill the log with reports: they become rarer, down to this. */
const INTERVAL_MAX_MS = 3_600_000;

/** When what is new in the loss ledger becomes events. Nothing is left out, only told later. */
export class LossReports {
  readonly #losses: Losses;
  #reportedMs: number | undefined;
  #intervalMs = INTERVAL_MIN_MS;

  constructor(losses: Losses) {
    this.#losses = losses;
  }

  /** The reports that are due. Each one waits longer than the last, until losses have stopped. */
  due(nowMs: number): Message[] {
    const sinceMs = nowMs - (this.#reportedMs ?? Number.NEGATIVE_INFINITY);
    if (sinceMs < this.#intervalMs) return [];
    const reports = this.#losses.takeReports();
    if (reports.length > 0) {
      if (this.#reportedMs !== undefined) {
        this.#intervalMs = Math.min(this.#intervalMs * 2, INTERVAL_MAX_MS);
      }
      this.#reportedMs = nowMs;
    } else if (sinceMs >= 2 * this.#intervalMs) this.#intervalMs = INTERVAL_MIN_MS;
    return reports;
  }
}
