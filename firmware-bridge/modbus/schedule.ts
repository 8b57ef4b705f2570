/**
 * Who is asked next. Pure: times are given. Invariants:
 * - a group that is late is asked once, however many of its intervals have passed: what was missed
 *   is counted, never made up for;
 * - slaves that answer come first. Those that do not get at most a fifth of the time of the line,
 *   so that waiting for dead ones does not cost the others their interval; but each gets its try
 *   when it has waited for long, even on a line that is never free.
 */
import type { Read } from './read-plan.ts';
import type { SlaveLink } from './slave-link.ts';

/** Registers of one slave that are read together: those with the same interval. */
export interface Group {
  readonly link: SlaveLink;
  readonly intervalMs: number;
  /** Changes when the slave refuses a read that spans several registers. */
  reads: readonly Read[];
}

export type Next =
  | { readonly is: 'poll'; readonly group: Group }
  | { readonly is: 'retry'; readonly link: SlaveLink }
  | { readonly is: 'wait'; readonly delayMs: number };

/** Of the time that a failed try took, how often that the next one has to wait. */
const PAUSE_PER_TRY = 4;
const OVERDUE_MS = 30_000;
/** Nobody is due: a command or a slave that a command has brought back may change that. */
const WAIT_MS_MAX = 1_000;

export class Schedule {
  readonly #groups: readonly Group[];
  readonly #links: readonly SlaveLink[];
  readonly #dueMs = new Map<Group, number>();
  #nextTryMs = Number.NEGATIVE_INFINITY;
  #missed = 0;

  constructor(groups: readonly Group[], nowMs: number) {
    this.#groups = groups;
    this.#links = [...new Set(groups.map(({ link }) => link))];
    for (const group of groups) this.#dueMs.set(group, nowMs);
  }

  /** Cycles of slaves that answer, for which there was no time. */
  get missed(): number {
    return this.#missed;
  }

  next(nowMs: number): Next {
    const retry = this.#retry(nowMs);
    const mayTry = nowMs >= this.#nextTryMs;
    if (retry !== undefined && mayTry && nowMs - retry.atMs >= OVERDUE_MS)
      return { is: 'retry', link: retry.link };
    const first = this.#firstDue();
    if (first !== undefined && first.dueMs <= nowMs) {
      this.#take(first.group, first.dueMs, nowMs);
      return { is: 'poll', group: first.group };
    }
    const retryMs = retry === undefined ? Infinity : Math.max(retry.atMs, this.#nextTryMs);
    if (retry !== undefined && retryMs <= nowMs) return { is: 'retry', link: retry.link };
    const untilMs = Math.min(first?.dueMs ?? Infinity, retryMs, nowMs + WAIT_MS_MAX);
    return { is: 'wait', delayMs: Math.max(1, untilMs - nowMs) };
  }

  /** Tells what a try took. A slave that is back is read at once. */
  retried(link: SlaveLink, back: boolean, tookMs: number, nowMs: number): void {
    this.#nextTryMs = nowMs + (back ? 0 : PAUSE_PER_TRY * tookMs);
    if (back) this.readAtOnce(link, nowMs);
  }

  readAtOnce(link: SlaveLink, nowMs: number): void {
    for (const group of this.#groups) if (group.link === link) this.#dueMs.set(group, nowMs);
  }

  #firstDue(): { group: Group; dueMs: number } | undefined {
    let first: { group: Group; dueMs: number } | undefined;
    for (const [group, dueMs] of this.#dueMs)
      if (group.link.health.state.is === 'answering' && dueMs < (first?.dueMs ?? Infinity))
        first = { group, dueMs };
    return first;
  }

  #take(group: Group, dueMs: number, nowMs: number): void {
    const missed = Math.floor((nowMs - dueMs) / group.intervalMs);
    this.#missed += missed;
    this.#dueMs.set(group, dueMs + (missed + 1) * group.intervalMs);
  }

  #retry(nowMs: number): { link: SlaveLink; atMs: number } | undefined {
    let first: { link: SlaveLink; atMs: number } | undefined;
    for (const link of this.#links) {
      const { state } = link.health;
      if (state.is !== 'failing') continue;
      const atMs = state.retryAtMs;
      if (first === undefined || atMs < first.atMs) first = { link, atMs };
    }
    return first === undefined || first.atMs > nowMs + WAIT_MS_MAX ? undefined : first;
  }
}
