import { LANES, type Lane } from '../core/event.ts';
import { cursorKey } from './keys.ts';
import { openRecord, sealRecord } from './record.ts';
import type { Storage, WriteOperation } from './storage.ts';

/**
 * What a sink has settled in a lane.
 *
 * Invariant, per sink and lane: `offset - start = delivered + filtered + deadLettered + lost`,
 * where `start` is where the sink began. Nothing leaves the hub without being in one of the four.
 */
export interface CursorState extends CursorCounts {
  readonly start: number;
  /**
   * Where the far side is known to have made everything durable: below it the log may trim, and to
   * it the cursor goes back when the far side forgot. Equal to the cursor unless the sink has a
   * confirm window.
   */
  readonly confirmed: CursorCounts;
  /** The far side's instance that holds what lies between `confirmed` and `offset`. */
  readonly instance?: string;
}

export interface CursorCounts {
  /** Everything below is settled; the next event to look at. */
  readonly offset: number;
  readonly delivered: number;
  readonly filtered: number;
  readonly deadLettered: number;
  readonly lost: number;
}

export function cursorAt(offset: number): CursorState {
  const counts = { offset, delivered: 0, filtered: 0, deadLettered: 0, lost: 0 };
  return { ...counts, start: offset, confirmed: counts };
}

/**
 * The cursors of the configured sinks. They ride with the next group commit; alone they are written
 * without an fsync, because an old cursor after a crash costs duplicates, never a loss.
 */
export class Cursors {
  readonly #states = new Map<string, Map<Lane, CursorState>>();
  readonly #changed = new Map<string, Set<Lane>>();

  /**
   * Reads the cursors of `sink`; `fallback` makes one for a lane in which it has none, or only a
   * `damaged` one.
   */
  async load(
    storage: Storage,
    sink: string,
    fallback: (lane: Lane, damaged: boolean) => CursorState,
  ): Promise<void> {
    const lanes = new Map<Lane, CursorState>();
    this.#states.set(sink, lanes);
    for (const lane of LANES) {
      const saved = await storage.get(cursorKey(sink, lane));
      const state = openRecord<CursorState>(saved);
      lanes.set(lane, state ?? fallback(lane, saved !== undefined));
      if (!state) this.#mark(sink, lane);
    }
  }

  get(sink: string, lane: Lane): CursorState {
    const state = this.#states.get(sink)?.get(lane);
    if (!state) throw new Error(`no cursor for sink ${sink}`);
    return state;
  }

  set(sink: string, lane: Lane, state: CursorState): void {
    this.#states.get(sink)?.set(lane, state);
    this.#mark(sink, lane);
  }

  /** Every sink has settled what is below, for good. The tail when there is no sink. */
  floor(lane: Lane, tail: number): number {
    let floor = tail;
    for (const lanes of this.#states.values()) {
      floor = Math.min(floor, lanes.get(lane)?.confirmed.offset ?? 0);
    }
    return floor;
  }

  /** The offset up to which some sink has seen the lane. */
  seen(lane: Lane): number {
    let seen = 0;
    for (const lanes of this.#states.values()) seen = Math.max(seen, lanes.get(lane)?.offset ?? 0);
    return seen;
  }

  get hasChanges(): boolean {
    return this.#changed.size > 0;
  }

  /** The changes since the last call, to be written. */
  takeOperations(): WriteOperation[] {
    const operations: WriteOperation[] = [];
    for (const [sink, lanes] of this.#changed) {
      for (const lane of lanes) operations.push(this.operation(sink, lane));
    }
    this.#changed.clear();
    return operations;
  }

  operation(sink: string, lane: Lane): WriteOperation {
    return { type: 'put', key: cursorKey(sink, lane), value: sealRecord(this.get(sink, lane)) };
  }

  #mark(sink: string, lane: Lane): void {
    const lanes = this.#changed.get(sink) ?? new Set();
    lanes.add(lane);
    this.#changed.set(sink, lanes);
  }
}
