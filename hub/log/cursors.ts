import { LANES, type Lane } from '../core/event.ts';
import {
  advanced,
  type CursorState,
  countsOf,
  edgesOf,
  gapsIn,
  livePosition,
  type OffsetRange,
} from './cursor-state.ts';
import { cursorKey } from './keys.ts';
import { openRecord, sealRecord } from './record.ts';
import type { Storage, WriteOperation } from './storage/storage.ts';

/**
 * What a reader holds in memory of a lane, so that `thin` leaves it alone: blocks read before and
 * aggregates read after would tell of the same events.
 */
export interface Claim {
  /** It may hold anything before `to` that it has not settled. */
  reach(to: number): void;
  release(): void;
}

interface OpenClaim {
  readonly lane: Lane;
  /** Everything below has been settled by the reader. */
  from(): number;
  to: number;
}

/**
 * The cursors of the configured sinks. They ride with the next group commit; alone they are written
 * without an fsync, because an old cursor after a crash costs duplicates, never a loss.
 */
export class Cursors {
  readonly #states = new Map<string, Map<Lane, CursorState>>();
  readonly #changed = new Map<string, Set<Lane>>();
  readonly #claims = new Set<OpenClaim>();
  readonly #new = new Set<string>();

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
      const known = state && {
        ...state,
        ...countsOf(state),
        confirmed: countsOf(state.confirmed),
      };
      lanes.set(lane, known ?? fallback(lane, saved !== undefined));
      if (!state) this.#mark(sink, lane);
      if (saved === undefined) this.#new.add(cursorKey(sink, lane).toString());
    }
  }

  /** Whether the sink had no place in the lane when the log was opened. */
  isNew(sink: string, lane: Lane): boolean {
    return this.#new.has(cursorKey(sink, lane).toString());
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

  /** Every sink had taken what lies below `head`: a cursor before it is one that was lost since. */
  catchUp(lane: Lane, head: number): void {
    for (const [sink, lanes] of this.#states) {
      const state = lanes.get(lane);
      if (!state || state.confirmed.offset >= head) continue;
      const counts = advanced(state, head);
      const { start, instance } = state;
      const confirmed = advanced(state.confirmed, head);
      this.set(sink, lane, { ...counts, start, confirmed, ...(instance && { instance }) });
    }
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
    for (const lanes of this.#states.values()) {
      const state = lanes.get(lane);
      if (state) seen = Math.max(seen, livePosition(state));
    }
    return seen;
  }

  /** The parts of `[from, to)` that some sink has not settled for good, ascending. */
  unsettledIn(lane: Lane, from: number, to: number): OffsetRange[] {
    const gaps = [...this.#states.values()].flatMap((lanes) => {
      const state = lanes.get(lane);
      return state ? gapsIn(state.confirmed, from, to) : [];
    });
    const joined: OffsetRange[] = [];
    for (const gap of gaps.sort((a, b) => a.from - b.from)) {
      const last = joined.at(-1);
      if (!last || gap.from > last.to) joined.push(gap);
      else joined[joined.length - 1] = { from: last.from, to: Math.max(last.to, gap.to) };
    }
    return joined;
  }

  /** For one reader of a lane: empty until it reaches for something. */
  claim(lane: Lane, from: () => number): Claim {
    const claim: OpenClaim = { lane, from, to: 0 };
    this.#claims.add(claim);
    return {
      reach: (to) => {
        claim.to = to;
      },
      release: () => this.#claims.delete(claim),
    };
  }

  /**
   * Whether somebody depends on what lies in `[from, to)` as it is: a reader that holds a part of
   * it, or a sink that has settled a part of it and not the rest.
   */
  inUse(lane: Lane, from: number, to: number): boolean {
    for (const claim of this.#claims) {
      if (claim.lane === lane && claim.from() < to && from < claim.to) return true;
    }
    const inside = (offset: number) => offset > from && offset < to;
    for (const lanes of this.#states.values()) {
      const state = lanes.get(lane);
      if (!state) continue;
      if (edgesOf(state).some(inside) || edgesOf(state.confirmed).some(inside)) return true;
      const settled = gapsIn(state, from, to).length === 0;
      if (settled && gapsIn(state.confirmed, from, to).length > 0) return true; // may go back
    }
    return false;
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
