import type { Lane, Message } from '../core/event.ts';
import { metaKey } from './keys.ts';
import type { Storage, WriteOperation } from './storage.ts';

/** Why an accepted event was given up. */
export const LOSS_REASONS = ['full', 'age', 'poison', 'corrupt', 'rate'] as const;
export type LossReason = (typeof LOSS_REASONS)[number];

export const LOSS_TOPIC = 'holdfast/loss';
const LOSSES_KEY = metaKey('losses');

interface Span {
  readonly lane: Lane;
  readonly reason: LossReason;
  events: number;
  firstOffset: number | null;
  lastOffset: number | null;
}

/**
 * The loss ledger: nothing is dropped silently. Totals are kept on disk; what is new since the last
 * report becomes one event per lane and reason, which is forwarded like any other.
 */
export class Losses {
  #totals: Record<string, number> = {};
  #spans = new Map<string, Span>();
  #changed = false;

  async load(storage: Storage): Promise<void> {
    const saved = await storage.get(LOSSES_KEY);
    if (saved) this.#totals = JSON.parse(saved.toString());
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
    return [{ type: 'put', key: LOSSES_KEY, value: Buffer.from(JSON.stringify(this.#totals)) }];
  }

  /** What was lost since the last call, as messages for the log. At most lanes x reasons of them. */
  takeReports(): Message[] {
    const reports = [...this.#spans.values()].map(
      (span): Message => ({
        topic: LOSS_TOPIC,
        payload: Buffer.from(JSON.stringify(span)),
        source: 'hub',
        kind: 'loss',
      }),
    );
    this.#spans.clear();
    return reports;
  }
}
