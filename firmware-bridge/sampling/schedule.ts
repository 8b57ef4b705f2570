/**
 * Who is asked next. Pure: times are given. Invariants:
 * - a group that is late is asked once, however many of its intervals have passed: what was missed
 *   is counted, never made up for; and it keeps its beat, so cycles do not drift;
 * - sources that answer come first. Those that do not get at most a fifth of the time of what they
 *   share, so that waiting for dead ones does not cost the others their interval; but each gets
 *   its try when it has waited for long, even where there is never a free moment.
 */
import type { SourceHealth } from './source-health.ts';

/** Who is asked for values: a slave on a bus, a sensor. */
export interface Source {
  readonly health: SourceHealth;
}

/** What of one source is read together: that with the same interval. */
export interface Group<S extends Source> {
  readonly source: S;
  readonly intervalMs: number;
}

export type Next<S extends Source, G extends Group<S>> =
  | { readonly is: 'poll'; readonly group: G }
  | { readonly is: 'retry'; readonly source: S }
  | { readonly is: 'wait'; readonly delayMs: number };

/** Of the time that a failed try took, how often that the next one has to wait. */
const PAUSE_PER_TRY = 4;
const OVERDUE_MS = 30_000;
/** Nobody is due: a command, a source that is back or a new one may change that. */
const WAIT_MS_MAX = 1_000;

export class Schedule<S extends Source, G extends Group<S>> {
  readonly #dueMs = new Map<G, number>();
  #nextTryMs = Number.NEGATIVE_INFINITY;
  #missed = 0;

  constructor(groups: readonly G[], nowMs: number) {
    for (const group of groups) this.add(group, nowMs);
  }

  /** It is due at once. */
  add(group: G, nowMs: number): void {
    this.#dueMs.set(group, nowMs);
  }

  remove(group: G): void {
    this.#dueMs.delete(group);
  }

  /** Cycles of sources that answer, for which there was no time. */
  get missed(): number {
    return this.#missed;
  }

  next(nowMs: number): Next<S, G> {
    const retry = this.#retry(nowMs);
    const mayTry = nowMs >= this.#nextTryMs;
    if (retry !== undefined && mayTry && nowMs - retry.atMs >= OVERDUE_MS)
      return { is: 'retry', source: retry.source };
    const first = this.#firstDue();
    if (first !== undefined && first.dueMs <= nowMs) {
      this.#take(first.group, first.dueMs, nowMs);
      return { is: 'poll', group: first.group };
    }
    const retryMs = retry === undefined ? Infinity : Math.max(retry.atMs, this.#nextTryMs);
    if (retry !== undefined && retryMs <= nowMs) return { is: 'retry', source: retry.source };
    const untilMs = Math.min(first?.dueMs ?? Infinity, retryMs, nowMs + WAIT_MS_MAX);
    return { is: 'wait', delayMs: Math.max(1, untilMs - nowMs) };
  }

  /** Tells what a try took. A source that is back is read at once. */
  retried(source: S, back: boolean, tookMs: number, nowMs: number): void {
    this.#nextTryMs = nowMs + (back ? 0 : PAUSE_PER_TRY * tookMs);
    if (back) this.readAtOnce(source, nowMs);
  }

  readAtOnce(source: S, nowMs: number): void {
    for (const group of this.#dueMs.keys())
      if (group.source === source) this.#dueMs.set(group, nowMs);
  }

  /** It was read just now, although it was not due: it goes on with its beat. */
  wasRead(source: S, nowMs: number): void {
    for (const [group, dueMs] of this.#dueMs) {
      const late = nowMs - dueMs;
      if (group.source !== source || late < 0) continue;
      const beats = Math.floor(late / group.intervalMs) + 1;
      this.#dueMs.set(group, dueMs + beats * group.intervalMs);
    }
  }

  #firstDue(): { group: G; dueMs: number } | undefined {
    let first: { group: G; dueMs: number } | undefined;
    for (const [group, dueMs] of this.#dueMs)
      if (group.source.health.state.is === 'answering' && dueMs < (first?.dueMs ?? Infinity))
        first = { group, dueMs };
    return first;
  }

  #take(group: G, dueMs: number, nowMs: number): void {
    const missed = Math.floor((nowMs - dueMs) / group.intervalMs);
    this.#missed += missed;
    this.#dueMs.set(group, dueMs + (missed + 1) * group.intervalMs);
  }

  #retry(nowMs: number): { source: S; atMs: number } | undefined {
    let first: { source: S; atMs: number } | undefined;
    for (const { source } of this.#dueMs.keys()) {
      const { state } = source.health;
      if (state.is !== 'failing') continue;
      const atMs = state.retryAtMs;
      if (first === undefined || atMs < first.atMs) first = { source, atMs };
    }
    return first === undefined || first.atMs > nowMs + WAIT_MS_MAX ? undefined : first;
  }
}
