import { LANES, type Lane } from '../core/event.ts';
import type { LostCounts } from '../core/lost-counts.ts';
import { cursorKey } from './keys.ts';
import { openRecord, sealRecord } from './record.ts';
import type { Storage, WriteOperation } from './storage/storage.ts';

/**
 * What a sink has settled in a lane.
 *
 * Invariant, per sink and lane:
 * `offset - start = delivered + filtered + deadLettered + thinned + the sum of lost`, where `start`
 * is where the sink began. Nothing leaves the hub without being in one of the five.
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
  /** Reached the sink only as a part of aggregates, see `thin`. */
  readonly thinned: number;
  /** Gone before the sink had them, by reason. */
  readonly lost: LostCounts;
}

export function cursorAt(offset: number): CursorState {
  const counts = { offset, delivered: 0, filtered: 0, deadLettered: 0, thinned: 0, lost: {} };
  return { ...counts, start: offset, confirmed: counts };
}

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

function countsOf({ offset, delivered, filtered, deadLettered, thinned, lost }: CursorCounts) {
  return { offset, delivered, filtered, deadLettered, thinned, lost };
}

function advanced(counts: CursorCounts, offset: number): CursorCounts {
  const delivered = counts.delivered + offset - counts.offset;
  return { ...countsOf(counts), offset, delivered };
}

/**
 * The cursors of the configured sinks. They ride with the next group commit; alone they are written
 * without an fsync, because an old cursor after a crash costs duplicates, never a loss.
 */
export class Cursors {
  readonly #states = new Map<string, Map<Lane, CursorState>>();
  readonly #changed = new Map<string, Set<Lane>>();
  readonly #claims = new Set<OpenClaim>();

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

  /** Every sink had taken what lies below `head`: a cursor before it is one that was lost since. */
  catchUp(lane: Lane, head: number): void {
    for (const [sink, lanes] of this.#states) {
      const state = lanes.get(lane);
      if (!state || state.confirmed.offset >= head) continue;
      const counts = state.offset < head ? advanced(state, head) : countsOf(state);
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
    for (const lanes of this.#states.values()) seen = Math.max(seen, lanes.get(lane)?.offset ?? 0);
    return seen;
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
      if (inside(state.offset) || inside(state.confirmed.offset)) return true;
      if (state.confirmed.offset <= from && state.offset >= to) return true; // may go back
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
