import type { Lane, LossReason, Message } from '../../core/event.ts';
import { metaKey } from '../keys.ts';
import { openRecord, sealRecord } from '../record.ts';
import type { Storage, WriteOperation } from '../storage/storage.ts';

export const LOSS_TOPIC = 'holdfast/loss';
const LOSSES_KEY = metaKey('losses');
/** Separate ranges named in one report: more are counted, and said to be more. */
const RANGES_MAX = 64;

/** Where events that are gone had been. Times are those of arrival, null when not known. */
export interface LostRange {
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly fromMs: number | null;
  readonly toMs: number | null;
}

interface Span {
  readonly lane: Lane;
  readonly reason: LossReason;
  /** Set when only this sink goes without; others may have had the events. */
  readonly sink?: string;
  events: number;
  ranges: LostRange[];
  /** There were more ranges than are named. */
  more: boolean;
}

interface Ledger {
  readonly totals: Record<string, number>;
  /** Lost, but no event says so yet: a restart reports them. */
  readonly unreported: readonly Span[];
}

function keyOf({ lane, reason, sink }: Pick<Span, 'lane' | 'reason' | 'sink'>): string {
  return sink === undefined ? `${lane}/${reason}` : `${lane}/${reason}/${sink}`;
}

function earliest(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.min(a, b);
}

function latest(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.max(a, b);
}

/** Adds a range; one that follows the last one makes it longer. */
function addRange(span: Span, range: LostRange): void {
  const last = span.ranges.at(-1);
  if (last && last.lastOffset + 1 === range.firstOffset) {
    span.ranges[span.ranges.length - 1] = {
      firstOffset: last.firstOffset,
      lastOffset: range.lastOffset,
      fromMs: last.fromMs,
      toMs: latest(last.toMs, range.toMs),
    };
  } else if (span.ranges.length < RANGES_MAX) span.ranges.push(range);
  else span.more = true;
}

/**
 * The loss ledger: nothing is dropped silently. It is kept on disk; what is new since the last
 * report becomes one event per lane and reason (and sink, when it concerns only one), which is
 * forwarded like any other.
 */
export class Losses {
  #totals: Record<string, number> = {};
  #spans = new Map<string, Span>();
  #changed = false;

  /**
   * `marked` are the totals of the high-water mark: they are newer when the end of the log is lost.
   * Not so for what is corrupt, which is then found, and counted, again.
   */
  async load(storage: Storage, marked: Readonly<Record<string, number>> = {}): Promise<void> {
    const saved = openRecord<Ledger>(await storage.get(LOSSES_KEY));
    this.#totals = saved?.totals ?? {};
    for (const [key, events] of Object.entries(marked)) {
      if (key.endsWith('/corrupt')) continue;
      this.#totals[key] = Math.max(events, this.#totals[key] ?? 0);
    }
    for (const span of saved?.unreported ?? []) this.#spans.set(keyOf(span), span);
  }

  /** By `lane/reason`, since the log was created. */
  get totals(): Readonly<Record<string, number>> {
    return this.#totals;
  }

  /** `range` is null for events that were refused before they had an offset. */
  record(lane: Lane, reason: LossReason, events: number, range: LostRange | null): void {
    const key = `${lane}/${reason}`;
    this.#totals[key] = (this.#totals[key] ?? 0) + events;
    this.#changed = true;
    this.#report({ lane, reason }, events, range);
  }

  /**
   * Takes note of what one sink goes without although the log had it. It is reported as a loss; the
   * count is in the sink's own ledger, and not in the totals here, which know no sinks.
   */
  recordFor(sink: string, lane: Lane, reason: LossReason, events: number, range: LostRange): void {
    this.#changed = true;
    this.#report({ lane, reason, sink }, events, range);
  }

  #report(
    of: Pick<Span, 'lane' | 'reason' | 'sink'>,
    events: number,
    range: LostRange | null,
  ): void {
    const key = keyOf(of);
    const span = this.#spans.get(key) ?? { ...of, events: 0, ranges: [], more: false };
    span.events += events;
    if (range) addRange(span, range);
    this.#spans.set(key, span);
  }

  get total(): number {
    return Object.values(this.#totals).reduce((sum, events) => sum + events, 0);
  }

  /** Totals since the log was created. */
  *entries(): Iterable<{ lane: string; reason: string; events: number }> {
    for (const [key, events] of Object.entries(this.#totals)) {
      const [lane = '', reason = ''] = key.split('/');
      yield { lane, reason, events };
    }
  }

  takeOperations(): WriteOperation[] {
    if (!this.#changed) return [];
    this.#changed = false;
    const ledger: Ledger = { totals: this.#totals, unreported: [...this.#spans.values()] };
    return [{ type: 'put', key: LOSSES_KEY, value: sealRecord(ledger) }];
  }

  /**
   * What was lost since the last call, as messages for the log. At most lanes x reasons of them,
   * for the log and for every sink.
   */
  takeReports(): Message[] {
    const reports = [...this.#spans.values()].map(reportOf);
    this.#changed ||= reports.length > 0;
    this.#spans.clear();
    return reports;
  }
}

function isoTime(timeMs: number | null): string | null {
  const date = new Date(timeMs ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

/** The payload of `dev.holdfast.loss.v1`. */
function reportOf({ lane, reason, sink, events, ranges, more }: Span): Message {
  let [fromMs, toMs]: (number | null)[] = [null, null];
  for (const range of ranges) {
    fromMs = earliest(fromMs ?? null, range.fromMs);
    toMs = latest(toMs ?? null, range.toMs);
  }
  const report = {
    lane,
    reason,
    ...(sink !== undefined && { sink }),
    events,
    firstOffset: ranges[0]?.firstOffset ?? null,
    lastOffset: ranges.at(-1)?.lastOffset ?? null,
    fromTime: isoTime(fromMs ?? null),
    toTime: isoTime(toMs ?? null),
    ranges: ranges.map(({ firstOffset, lastOffset }) => ({ firstOffset, lastOffset })),
    ...(more && { more }),
  };
  const payload = Buffer.from(JSON.stringify(report));
  return { topic: LOSS_TOPIC, payload, source: 'hub', kind: 'loss' };
}
