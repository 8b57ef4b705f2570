import { LANES, type Lane, type LossReason } from '../../core/event.ts';
import { endOf } from '../../core/span.ts';
import type { BlockHeader } from '../block/block-format.ts';
import type { Writer } from '../commit/writer.ts';
import type { Cursors } from '../cursors.ts';
import type { DamagedRange } from '../damage/damage.ts';
import { blockKey, blockRange, offsetOfKey } from '../keys.ts';
import { headerOf, type LaneState, savedBytesOf } from '../lane-state.ts';
import type { LostRange } from '../ledger/losses.ts';
import type { Blocks } from '../read/blocks.ts';
import type { ReplayRecords } from '../replay-records.ts';
import type { Storage, WriteOperation } from '../storage/storage.ts';
import type { Boots } from '../time/boots.ts';

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
  readonly blocks: Blocks;
  readonly writer: Writer;
  readonly cursors: Cursors;
  readonly replays: ReplayRecords;
  readonly boots: Boots;
  readonly ageMaxMs: number;
  /** Whether room will be needed soon, so that settled events go before their age. */
  nearlyFull(freedBytes: number): boolean;
  /** Whether room must be made now with events of `lane` that a sink has not settled. */
  mustDrop(lane: Lane, freedBytes: number): boolean;
  lost(lane: Lane, reason: LossReason, events: number, range: LostRange): void;
  /** There is no readable block at the head. Set aside and counted by whoever is told. */
  damaged(lane: Lane, range: DamagedRange): void;
  riders(): WriteOperation[];
  /** Makes room by thinning, before something has to be given up. */
  thin(): Promise<void>;
}

/** What can be trimmed at once: a block, or a gap where one was. */
interface Segment {
  readonly from: number;
  readonly to: number;
  /** Bytes of the lane up to its end. */
  readonly endBytes: number;
  /** What its header says that thinning had saved. */
  readonly savedBytes: number;
  readonly header: BlockHeader | undefined;
}

/**
 * Deletes whole blocks from the head of a lane: what every sink has settled and is older than the
 * retention; under pressure what every sink has settled, whatever its age; and with `drop_oldest`
 * what is oldest, counted as lost. Heads, counts and deletions are one write.
 */
export class Trimmer {
  readonly #options: TrimmerOptions;
  #uncompactedBytes = 0;
  /** Where deleted keys may lie beyond the head of a lane. */
  readonly #thinnedTo = new Map<Lane, number>();

  constructor(options: TrimmerOptions) {
    this.#options = options;
  }

  /** Trimmed, but still on the disk. */
  get uncompactedBytes(): number {
    return this.#uncompactedBytes;
  }

  /** `lanes` in the order in which they give way. */
  async trim(lanes: readonly LaneState[]): Promise<void> {
    for (const state of lanes) await this.#trimLane(state, false);
    await this.#options.thin();
    for (const state of lanes) await this.#trimLane(state, true);
    if (this.#uncompactedBytes >= COMPACT_AFTER_BYTES) await this.compact(lanes);
  }

  /** What lay before `to` has been replaced by something `freedBytes` smaller. */
  thinned(lane: Lane, to: number, freedBytes: number): void {
    this.#uncompactedBytes += freedBytes;
    this.#thinnedTo.set(lane, Math.max(to, this.#thinnedTo.get(lane) ?? 0));
  }

  /** Gives the space of what was trimmed or thinned back to the disk. */
  async compact(lanes: readonly LaneState[]): Promise<void> {
    this.#uncompactedBytes = 0;
    for (const { lane, head } of lanes) {
      const to = Math.max(head, this.#thinnedTo.get(lane) ?? 0);
      await this.#options.storage.compact(blockRange(lane, 0, to));
    }
    this.#thinnedTo.clear();
  }

  async #trimLane(state: LaneState, force: boolean): Promise<void> {
    for (let more = true; more; ) {
      const segments: Segment[] = [];
      let freedBytes = 0;
      let savedBytes = 0;
      while (segments.length < BLOCKS_PER_WRITE) {
        const segment = await this.#segmentAt(state, segments.at(-1)?.to ?? state.head);
        if (!segment || !this.#removable(segment, state, force, freedBytes)) break;
        segments.push(segment);
        savedBytes += segment.savedBytes;
        freedBytes = segment.endBytes - state.headBytes - savedBytes;
      }
      more = segments.length === BLOCKS_PER_WRITE;
      if (segments.length > 0) await this.#remove(segments, state);
    }
  }

  async #remove(segments: readonly Segment[], state: LaneState): Promise<void> {
    const { writer, riders } = this.#options;
    let freedBytes = 0;
    const error = await writer.write(
      () => {
        const before = state.bytes;
        for (const segment of segments) {
          if (segment.header) this.#countLost(segment, segment.header, state);
          state.trimmed(segment.to, segment.endBytes, segment.savedBytes);
        }
        freedBytes = Math.max(0, before - state.bytes);
        const deletions = segments.map(
          ({ from }): WriteOperation => ({ type: 'del', key: blockKey(state.lane, from) }),
        );
        return [...deletions, state.saveOperation(), ...riders()];
      },
      { sync: false },
    );
    if (error) throw error;
    this.#uncompactedBytes += freedBytes;
  }

  async #segmentAt(state: LaneState, from: number): Promise<Segment | undefined> {
    const { lane, tail } = state;
    if (from >= tail) return undefined;
    const { blocks } = this.#options;
    const header =
      from === state.head ? await state.oldest(blocks) : await this.#headerAt(lane, from);
    if (header) {
      const endBytes = header.bytesBefore + header.replacedBytes;
      return { from, to: endOf(header), endBytes, savedBytes: savedBytesOf(header), header };
    }
    for await (const [key, block] of blocks.entries(lane, from + 1, tail)) {
      const to = offsetOfKey(key);
      const next = headerOf(lane, to, block);
      return this.#gap(state, from, to, next?.bytesBefore ?? state.headBytes, next);
    }
    return this.#gap(state, from, tail, state.tailBytes, undefined);
  }

  #gap(
    { lane }: LaneState,
    from: number,
    to: number,
    endBytes: number,
    next: BlockHeader | undefined,
  ): Segment {
    const toMs = next ? this.#options.boots.firstMs(next) : null;
    this.#options.damaged(lane, { from, to, fromMs: null, toMs });
    return { from, to, endBytes, savedBytes: 0, header: undefined };
  }

  async #headerAt(lane: Lane, offset: number): Promise<BlockHeader | undefined> {
    const block = await this.#options.blocks.get(lane, offset);
    return block && headerOf(lane, offset, block);
  }

  #removable(segment: Segment, state: LaneState, force: boolean, freedBytes: number): boolean {
    const { boots, cursors, replays, nearlyFull, mustDrop, ageMaxMs } = this.#options;
    if (force) return mustDrop(state.lane, freedBytes);
    if (segment.to > cursors.floor(state.lane, state.tail)) return false;
    if (!segment.header) return true;
    if (nearlyFull(freedBytes)) return true; // a replay gives way to what arrives
    return segment.to <= replays.floor(state.lane) && boots.blockAgeMs(segment.header) > ageMaxMs;
  }

  /** What was damaged has been counted as that; so only blocks that could be read count here. */
  #countLost({ from, to }: Segment, header: BlockHeader, state: LaneState): void {
    const { boots, cursors } = this.#options;
    const times = { fromMs: boots.firstMs(header), toMs: boots.lastMs(header) };
    for (const lost of cursors.unsettledIn(state.lane, from, to)) {
      const range = { firstOffset: lost.from, lastOffset: lost.to - 1, ...times };
      this.#options.lost(state.lane, 'full', lost.to - lost.from, range);
    }
  }
}

/** Lanes in the order in which they give way when room is needed. */
export const GIVING_WAY: readonly Lane[] = [...LANES].reverse();
