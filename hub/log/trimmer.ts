import type { Clock } from '../core/clock.ts';
import type { Lane } from '../core/event.ts';
import type { BlockHeader } from './block-format.ts';
import type { Cursors } from './cursors.ts';
import { blockKey, blockRange } from './keys.ts';
import type { LaneState } from './lane-state.ts';
import type { LossReason } from './losses.ts';
import type { Storage, WriteOperation } from './storage.ts';

/** Blocks deleted in one write: bounds the memory and the time of a pass. */
const BLOCKS_PER_WRITE = 256;
/**
 * LevelDB gives space back when it compacts what was deleted. On its own it may wait long: after this
 * much has been trimmed it is asked to. 64 MiB is little beside the smallest sensible capacity.
 */
const COMPACT_AFTER_BYTES = 64 * 1024 * 1024;

export interface TrimmerOptions {
  readonly storage: Storage;
  readonly cursors: Cursors;
  readonly clock: Clock;
  readonly ageMaxMs: number;
  /** Whether room will be needed soon, so that settled events go before their age. */
  nearlyFull(): boolean;
  /** Whether room must be made now with events that a sink has not settled. */
  mustDrop(): boolean;
  lost(lane: Lane, reason: LossReason, events: number, firstOffset: number): void;
  riders(): WriteOperation[];
}

/**
 * Deletes whole blocks from the head of a lane: what every sink has settled and is older than the
 * retention; under pressure what every sink has settled, whatever its age; and with `drop_oldest`
 * what is oldest, counted as lost. Heads and deletions are one write.
 */
export class Trimmer {
  readonly #options: TrimmerOptions;
  #trimmedBytes = 0;

  constructor(options: TrimmerOptions) {
    this.#options = options;
  }

  /** `lanes` in the order in which they give way. */
  async trim(lanes: readonly LaneState[]): Promise<void> {
    for (const state of lanes) await this.#trimLane(state, false);
    for (const state of lanes) await this.#trimLane(state, true);
  }

  async #trimLane(state: LaneState, force: boolean): Promise<void> {
    const { storage } = this.#options;
    for (let more = true; more; ) {
      const operations: WriteOperation[] = [];
      const before = state.headBytes;
      more = false;
      while (operations.length < BLOCKS_PER_WRITE) {
        const header = await state.oldest(storage);
        if (!header || !this.#removable(header, state, force)) break;
        if (force) this.#countLost(header, state);
        operations.push({ type: 'del', key: blockKey(state.lane, header.firstOffset) });
        state.trimmed(header);
        more = operations.length === BLOCKS_PER_WRITE;
      }
      if (operations.length === 0) return;
      operations.push(state.saveOperation(), ...this.#options.riders());
      await storage.write(operations, { sync: false });
      await this.#compactSometimes(state, state.headBytes - before);
    }
  }

  #removable(header: BlockHeader, state: LaneState, force: boolean): boolean {
    const { cursors, nearlyFull, mustDrop } = this.#options;
    if (force) return mustDrop();
    const end = header.firstOffset + header.count;
    if (end > cursors.floor(state.lane, state.tail)) return false;
    return nearlyFull() || this.#ageMs(header) > this.#options.ageMaxMs;
  }

  /** Never from a raw wall clock: a Pi without network may believe it is 1970, or 2106. */
  #ageMs(header: BlockHeader): number {
    const { clock } = this.#options;
    const lastDeltaMs = header.lastReceivedMs - header.firstReceivedMs;
    if (header.bootId === clock.bootId) {
      return clock.monotonicMs() - header.firstMonotonicMs - lastDeltaMs;
    }
    return clock.synced() ? clock.wallMs() - header.lastReceivedMs : 0;
  }

  #countLost(header: BlockHeader, state: LaneState): void {
    const floor = this.#options.cursors.floor(state.lane, state.tail);
    const first = Math.max(header.firstOffset, floor);
    const events = header.firstOffset + header.count - first;
    if (events > 0) this.#options.lost(state.lane, 'full', events, first);
  }

  async #compactSometimes(state: LaneState, bytes: number): Promise<void> {
    this.#trimmedBytes += bytes;
    if (this.#trimmedBytes < COMPACT_AFTER_BYTES) return;
    this.#trimmedBytes = 0;
    await this.#options.storage.compact(blockRange(state.lane, 0, state.head));
  }
}
