import type { Clock } from '../core/clock.ts';
import { LANES, type Lane, type LossReason } from '../core/event.ts';
import type { BlockHeader } from './block-format.ts';
import type { Cursors } from './cursors.ts';
import { blockKey, blockRange, offsetOfKey } from './keys.ts';
import { headerOf, type LaneState } from './lane-state.ts';
import type { Storage, WriteOperation } from './storage.ts';
import type { Writer } from './writer.ts';

/** Blocks deleted in one write: bounds the memory and the time of a pass. */
const BLOCKS_PER_WRITE = 256;
/**
 * LevelDB gives space back when it compacts what was deleted. On its own it may wait long: after
 * this much has been trimmed it is asked to. 64 MiB is little beside the smallest sensible
 * capacity.
 */
const COMPACT_AFTER_BYTES = 64 * 1024 * 1024;

export interface TrimmerOptions {
  readonly storage: Storage;
  readonly writer: Writer;
  readonly cursors: Cursors;
  readonly clock: Clock;
  readonly ageMaxMs: number;
  /** Whether room will be needed soon, so that settled events go before their age. */
  nearlyFull(freedBytes: number): boolean;
  /** Whether room must be made now with events that a sink has not settled. */
  mustDrop(freedBytes: number): boolean;
  lost(lane: Lane, reason: LossReason, events: number, firstOffset: number): void;
  /** There is no readable block at the head. Set aside and counted by whoever is told. */
  damaged(state: LaneState, firstOffset: number): void;
  riders(): WriteOperation[];
}

/** What can be trimmed at once: a block, or a gap where one was. */
interface Segment {
  readonly from: number;
  readonly to: number;
  /** Bytes of the lane up to its end. */
  readonly endBytes: number;
  readonly header: BlockHeader | undefined;
}

/**
 * Deletes whole blocks from the head of a lane: what every sink has settled and is older than the
 * retention; under pressure what every sink has settled, whatever its age; and with `drop_oldest`
 * what is oldest, counted as lost. Heads, counts and deletions are one write.
 */
export class Trimmer {
  readonly #options: TrimmerOptions;
  readonly #startedMs: number;
  #uncompactedBytes = 0;

  constructor(options: TrimmerOptions) {
    this.#options = options;
    this.#startedMs = options.clock.monotonicMs();
  }

  /** Trimmed, but still on the disk. */
  get uncompactedBytes(): number {
    return this.#uncompactedBytes;
  }

  /** `lanes` in the order in which they give way. */
  async trim(lanes: readonly LaneState[]): Promise<void> {
    for (const state of lanes) await this.#trimLane(state, false);
    for (const state of lanes) await this.#trimLane(state, true);
    if (this.#uncompactedBytes >= COMPACT_AFTER_BYTES) await this.compact(lanes);
  }

  /** Gives the space of what was trimmed back to the disk. */
  async compact(lanes: readonly LaneState[]): Promise<void> {
    this.#uncompactedBytes = 0;
    for (const { lane, head } of lanes) {
      await this.#options.storage.compact(blockRange(lane, 0, head));
    }
  }

  async #trimLane(state: LaneState, force: boolean): Promise<void> {
    for (let more = true; more; ) {
      const segments: Segment[] = [];
      let freedBytes = 0;
      while (segments.length < BLOCKS_PER_WRITE) {
        const segment = await this.#segmentAt(state, segments.at(-1)?.to ?? state.head);
        if (!segment || !this.#removable(segment, state, force, freedBytes)) break;
        segments.push(segment);
        freedBytes = segment.endBytes - state.headBytes;
      }
      more = segments.length === BLOCKS_PER_WRITE;
      if (segments.length > 0) await this.#remove(segments, state);
    }
  }

  async #remove(segments: readonly Segment[], state: LaneState): Promise<void> {
    const { writer, riders } = this.#options;
    const before = state.headBytes;
    const error = await writer.write(
      () => {
        for (const segment of segments) {
          if (segment.header) this.#countLost(segment, state);
          state.trimmed(segment.to, segment.endBytes);
        }
        const deletions = segments.map(
          ({ from }): WriteOperation => ({ type: 'del', key: blockKey(state.lane, from) }),
        );
        return [...deletions, state.saveOperation(), ...riders()];
      },
      { sync: false },
    );
    if (error) throw error;
    this.#uncompactedBytes += state.headBytes - before;
  }

  async #segmentAt(state: LaneState, from: number): Promise<Segment | undefined> {
    const { lane, tail } = state;
    if (from >= tail) return undefined;
    const { storage, damaged } = this.#options;
    const header =
      from === state.head ? await state.oldest(storage) : await this.#headerAt(lane, from);
    if (header) {
      const { firstOffset, count, bytesBefore, storedBytes } = header;
      return { from, to: firstOffset + count, endBytes: bytesBefore + storedBytes, header };
    }
    damaged(state, from);
    for await (const [key, block] of storage.entries(blockRange(lane, from + 1, tail))) {
      const to = offsetOfKey(key);
      const endBytes = headerOf(lane, to, block)?.bytesBefore ?? state.headBytes;
      return { from, to, endBytes, header: undefined };
    }
    return { from, to: tail, endBytes: state.tailBytes, header: undefined };
  }

  async #headerAt(lane: Lane, offset: number): Promise<BlockHeader | undefined> {
    const block = await this.#options.storage.get(blockKey(lane, offset));
    return block && headerOf(lane, offset, block);
  }

  #removable(segment: Segment, state: LaneState, force: boolean, freedBytes: number): boolean {
    const { cursors, nearlyFull, mustDrop, ageMaxMs } = this.#options;
    if (force) return mustDrop(freedBytes);
    if (segment.to > cursors.floor(state.lane, state.tail)) return false;
    if (!segment.header) return true;
    return nearlyFull(freedBytes) || this.#ageMs(segment.header) > ageMaxMs;
  }

  /**
   * Never from a raw wall clock: a Pi without network may believe it is 1970, or 2106. Across boots
   * both ends have to be known to be right; an event is at least as old as this run of the hub.
   */
  #ageMs(header: BlockHeader): number {
    const { clock } = this.#options;
    const lastDeltaMs = header.lastReceivedMs - header.firstReceivedMs;
    const now = clock.monotonicMs();
    if (header.bootId === clock.bootId) return now - header.firstMonotonicMs - lastDeltaMs;
    const known = clock.synced() && header.clockSynced;
    return Math.max(now - this.#startedMs, known ? clock.wallMs() - header.lastReceivedMs : 0);
  }

  /** What was damaged has been counted as that; so only blocks that could be read count here. */
  #countLost({ from, to }: Segment, state: LaneState): void {
    const first = Math.max(from, this.#options.cursors.floor(state.lane, state.tail));
    if (to > first) this.#options.lost(state.lane, 'full', to - first, first);
  }
}

/** Lanes in the order in which they give way when room is needed. */
export const GIVING_WAY: readonly Lane[] = [...LANES].reverse();
