import { HubError } from '../core/errors.ts';
import type { Lane } from '../core/event.ts';
import { type ReplayState, replayEnded } from '../core/status.ts';
import { numberOfKey, replayKey, replayRange } from './keys.ts';
import { openRecord, sealRecord } from './record.ts';
import type { Storage, WriteOperation } from './storage/storage.ts';

/** Where a replay is, and what became of what it has passed. */
export interface ReplayProgress {
  /** The next offset to look at. */
  readonly next: Readonly<Record<Lane, number>>;
  readonly replayed: number;
  readonly refused: number;
  readonly missing: number;
  readonly thinned: number;
  readonly filtered: number;
}

/**
 * A replay as it is kept.
 *
 * Invariant: the sum of `next - from` over the lanes = replayed + refused + missing + thinned +
 * filtered, in `progress` and in `confirmed`.
 */
export interface ReplayRecord {
  /** Counts up per sink, from 1. */
  readonly id: number;
  readonly state: ReplayState;
  readonly detail?: string;
  /** Arrival, in ms since 1970: from `fromMs`, before `toMs`. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly requestedMs: number;
  readonly endedMs: number | null;
  /** Offsets of the range, by lane: `[from, to)`. */
  readonly from: Readonly<Record<Lane, number>>;
  readonly to: Readonly<Record<Lane, number>>;
  readonly progress: ReplayProgress;
  /**
   * What the far side has for good, see `CursorState.confirmed`: a replay goes back to it when the
   * far side forgot.
   */
  readonly confirmed: ReplayProgress;
}

/**
 * The replays of the configured sinks, and what they need of the log. Like cursors, their progress
 * rides with the next commit: a lost one costs duplicates.
 */
export class ReplayRecords {
  readonly #bySink = new Map<string, Map<number, ReplayRecord>>();
  readonly #lastIds = new Map<string, number>();
  readonly #changed = new Map<string, Set<number>>();

  /** Reads the replays of `sink`. A damaged one is forgotten: whoever wants it asks again. */
  async load(storage: Storage, sink: string): Promise<void> {
    const records = new Map<number, ReplayRecord>();
    this.#bySink.set(sink, records);
    try {
      for await (const [key, value] of storage.entries(replayRange(sink))) {
        const id = numberOfKey(key);
        const record = openRecord<ReplayRecord>(value);
        this.#lastIds.set(sink, id);
        if (record) records.set(id, record);
        else this.#mark(sink, id);
      }
    } catch (error) {
      // the rest cannot be read: forgotten too
      if (!(error instanceof HubError) || error.code !== 'LOG_CORRUPT') throw error;
    }
  }

  /** In the order of their numbers. */
  of(sink: string): readonly ReplayRecord[] {
    return [...(this.#bySink.get(sink)?.values() ?? [])];
  }

  get(sink: string, id: number): ReplayRecord | undefined {
    return this.#bySink.get(sink)?.get(id);
  }

  /** The next number: none is used twice. */
  nextId(sink: string): number {
    const id = (this.#lastIds.get(sink) ?? 0) + 1;
    this.#lastIds.set(sink, id);
    return id;
  }

  set(sink: string, record: ReplayRecord): void {
    const records = this.#bySink.get(sink) ?? new Map<number, ReplayRecord>();
    this.#bySink.set(sink, records.set(record.id, record));
    this.#mark(sink, record.id);
  }

  delete(sink: string, id: number): void {
    this.#bySink.get(sink)?.delete(id);
    this.#mark(sink, id);
  }

  /** No replay needs what is below; Infinity when none needs anything. */
  floor(lane: Lane): number {
    let floor = Number.POSITIVE_INFINITY;
    for (const records of this.#bySink.values()) {
      for (const record of records.values()) {
        if (replayEnded(record.state)) continue;
        const next = record.confirmed.next[lane];
        if (next < record.to[lane]) floor = Math.min(floor, next);
      }
    }
    return floor;
  }

  /** Whether a replay that has not ended is, may go back to, or ends in the middle of a range. */
  inUse(lane: Lane, from: number, to: number): boolean {
    const inside = (offset: number) => offset > from && offset < to;
    for (const records of this.#bySink.values()) {
      for (const { state, progress, confirmed, to: end } of records.values()) {
        if (replayEnded(state)) continue;
        const [next, back] = [progress.next[lane], confirmed.next[lane]];
        if (inside(next) || inside(back) || inside(end[lane])) return true;
        if (back <= from && next >= to && back < next) return true;
      }
    }
    return false;
  }

  get hasChanges(): boolean {
    return this.#changed.size > 0;
  }

  /** The changes since the last call, to be written. */
  takeOperations(): WriteOperation[] {
    const operations: WriteOperation[] = [];
    for (const [sink, ids] of this.#changed) {
      for (const id of ids) operations.push(this.operation(sink, id));
    }
    this.#changed.clear();
    return operations;
  }

  /** Writes the record as it is now. */
  operation(sink: string, id: number): WriteOperation {
    const record = this.get(sink, id);
    const key = replayKey(sink, id);
    return record ? { type: 'put', key, value: sealRecord(record) } : { type: 'del', key };
  }

  #mark(sink: string, id: number): void {
    const ids = this.#changed.get(sink) ?? new Set();
    this.#changed.set(sink, ids.add(id));
  }
}
