import type { Lane } from '../core/event.ts';
import { blockKey, blockRange, LOST_RANGE, laneOfLostKey, lostKey, offsetOfKey } from './keys.ts';
import type { LaneState } from './lane-state.ts';
import type { Losses } from './losses.ts';
import type { Storage, WriteOperation } from './storage.ts';
import type { Writer } from './writer.ts';

/**
 * Bytes of damaged blocks are kept for somebody who wants to look, but not without end: of later
 * ones only the place is kept. A block is at most about 1 MiB, unless one message is larger.
 */
const KEPT_BLOCKS_MAX = 16;

export interface DamageOptions {
  readonly storage: Storage;
  readonly writer: Writer;
  readonly losses: Losses;
  riders(): WriteOperation[];
  /** Once for each place. */
  found(lane: Lane, firstOffset: number, problem: string): void;
}

/**
 * Blocks that cannot be read. Each is reported and counted once, as lost with the reason `corrupt`,
 * and its bytes are moved to lost+found, in one write; from then on it is a known gap.
 */
export class Damage {
  readonly #options: DamageOptions;
  readonly #known = new Map<Lane, Set<number>>();
  #kept = 0;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: DamageOptions) {
    this.#options = options;
  }

  async load(): Promise<void> {
    for await (const [key, value] of this.#options.storage.entries(LOST_RANGE)) {
      this.#knownIn(laneOfLostKey(key)).add(offsetOfKey(key));
      if (value.length > 0) this.#kept++;
    }
  }

  /** Sets aside the block that should begin at `firstOffset`, in the background. */
  report(state: LaneState, firstOffset: number, problem: string): void {
    const known = this.#knownIn(state.lane);
    if (known.has(firstOffset)) return;
    known.add(firstOffset);
    this.#options.found(state.lane, firstOffset, problem);
    // one after another: how many events one has lost depends on where the next one begins
    this.#turn = this.#turn
      .then(() => this.#setAside(state, firstOffset))
      .catch(() => void known.delete(firstOffset)); // the card cannot be read now: met again later
  }

  /** Resolves when everything reported so far has been set aside. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  async #setAside(state: LaneState, firstOffset: number): Promise<void> {
    const { storage, writer, losses, riders } = this.#options;
    const { lane } = state;
    const key = blockKey(lane, firstOffset);
    const bytes = await storage.get(key);
    const events = (await this.#nextPlace(state, firstOffset)) - firstOffset;
    const keep = bytes !== undefined && this.#kept < KEPT_BLOCKS_MAX;
    if (keep) this.#kept++;
    await writer.write(
      () => {
        losses.record(lane, 'corrupt', events, firstOffset);
        const value = keep ? bytes : Buffer.alloc(0);
        return [
          { type: 'put', key: lostKey(lane, firstOffset), value },
          { type: 'del', key },
          ...riders(),
        ];
      },
      { sync: false },
    );
  }

  /** Where the next block begins, or the next place that is known to be damaged, or the tail. */
  async #nextPlace({ lane, tail }: LaneState, after: number): Promise<number> {
    let next = tail;
    for (const place of this.#knownIn(lane)) if (place > after) next = Math.min(next, place);
    for await (const [key] of this.#options.storage.entries(blockRange(lane, after + 1, next))) {
      return offsetOfKey(key);
    }
    return next;
  }

  #knownIn(lane: Lane): Set<number> {
    const known = this.#known.get(lane) ?? new Set();
    this.#known.set(lane, known);
    return known;
  }
}
