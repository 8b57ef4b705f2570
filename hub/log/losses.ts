import type { Lane, LossReason, Message } from '../core/event.ts';
import { metaKey } from './keys.ts';
import { openRecord, sealRecord } from './record.ts';
import type { Storage, WriteOperation } from './storage.ts';

export const LOSS_TOPIC = 'holdfast/loss';
const LOSSES_KEY = metaKey('losses');

interface Span {
  readonly lane: Lane;
  readonly reason: LossReason;
  events: number;
  firstOffset: number | null;
  lastOffset: number | null;
}

interface Ledger {
  readonly totals: Record<string, number>;
  /** Lost, but no event says so yet: a restart reports them. */
  readonly unreported: readonly Span[];
}

/**
 * The loss ledger: nothing is dropped silently. It is kept on disk; what is new since the last
 * report becomes one event per lane and reason, which is forwarded like any other.
 */
export class Losses {
  #totals: Record<string, number> = {};
  #spans = new Map<string, Span>();
  #changed = false;

  async load(storage: Storage): Promise<void> {
    const saved = openRecord<Ledger>(await storage.get(LOSSES_KEY));
    if (!saved) return;
    this.#totals = saved.totals;
    this.#spans = new Map(saved.unreported.map((span) => [`${span.lane}/${span.reason}`, span]));
  }

  /** `firstOffset` is null for events that were refused before they had one. */
  record(lane: Lane, reason: LossReason, events: number, firstOffset: number | null): void {
    const key = `${lane}/${reason}`;
    this.#totals[key] = (this.#totals[key] ?? 0) + events;
    this.#changed = true;
    const span = this.#spans.get(key) ?? { lane, reason, events: 0, firstOffset, lastOffset: null };
    span.events += events;
    if (firstOffset !== null) span.lastOffset = firstOffset + events - 1;
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
   * What was lost since the last call, as messages for the log. At most lanes x reasons of
   * them.
   */
  takeReports(): Message[] {
    const reports = [...this.#spans.values()].map(
      (span): Message => ({
        topic: LOSS_TOPIC,
        payload: Buffer.from(JSON.stringify(span)),
        source: 'hub',
        kind: 'loss',
      }),
    );
    this.#changed ||= reports.length > 0;
    this.#spans.clear();
    return reports;
  }
}
