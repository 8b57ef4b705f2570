import assert from 'node:assert';
import { HubError } from '../core/errors.ts';
import type { Lane } from '../core/event.ts';
import { endOf } from '../core/span.ts';
import { type BlockHeader, EVENTS_MAX, readHeader } from './block/block-format.ts';
import { metaKey, offsetOfKey } from './keys.ts';
import type { MarkedLane } from './mark.ts';
import type { Blocks } from './read/blocks.ts';
import { openRecord, sealRecord } from './record.ts';
import type { Storage, WriteOperation } from './storage/storage.ts';

type Positions = readonly [
  head: number,
  tail: number,
  headBytes: number,
  tailBytes: number,
  savedBytes?: number,
];

/**
 * The header of a stored block, or undefined when it is damaged: for those who need not say
 * why.
 */
export function headerOf(lane: Lane, offset: number, block: Buffer): BlockHeader | undefined {
  try {
    return readHeader(lane, offset, block);
  } catch (error) {
    if (error instanceof HubError) return undefined;
    throw error;
  }
}

/** What a block takes less than those that it stands for. */
export function savedBytesOf({ replacedBytes, storedBytes }: BlockHeader): number {
  return replacedBytes - storedBytes;
}

/**
 * Where a lane begins and ends, in offsets and in bytes ever written. Kept by arithmetic: opening
 * reads the first and the last block, never what is between them.
 *
 * Invariants: head <= tail; headBytes <= tailBytes; offsets below `tail` are never given again,
 * also when every block has been trimmed or the last one is damaged (each commit saves the
 * positions).
 */
export class LaneState {
  readonly lane: Lane;
  head = 0;
  tail = 0;
  headBytes = 0;
  tailBytes = 0;
  /** What the thinned blocks of the lane are smaller than those that they replaced. */
  savedBytes = 0;
  /** The record is older than the high-water mark: the newest part of all state is lost. */
  recordIsOld = false;
  /** The header of the block at the head, once read. */
  headHeader: BlockHeader | undefined;
  /** The header of the last block when the lane was loaded. */
  lastLoaded: BlockHeader | undefined;
  /** Counts what makes a header of the head that is being read a thing of the past. */
  #changes = 0;

  constructor(lane: Lane) {
    this.lane = lane;
  }

  get bytes(): number {
    return this.tailBytes - this.headBytes - this.savedBytes;
  }

  get events(): number {
    return this.tail - this.head;
  }

  /**
   * Reads the positions, and takes the high-water mark into account. Answers where the blocks that
   * can be read end: what lies between there and the tail is lost.
   */
  async load(storage: Storage, blocks: Blocks, marked?: MarkedLane): Promise<number> {
    const saved = openRecord<Positions>(await storage.get(metaKey(`lane-${this.lane}`)));
    if (saved) [this.head, this.tail, this.headBytes, this.tailBytes, this.savedBytes = 0] = saved;
    else if (!marked) await this.#findHead(blocks);
    if (marked) this.#mark(marked, saved?.[1] ?? 0);
    const last = await blocks.last(this.lane, this.head, Number.MAX_SAFE_INTEGER);
    if (!last) return this.head;
    const firstOffset = offsetOfKey(last[0]);
    const header = headerOf(this.lane, firstOffset, last[1]);
    this.lastLoaded = header;
    if (header) {
      const end = endOf(header);
      this.#extend(end, header.bytesBefore + header.replacedBytes);
      return end;
    }
    // how many events it held is known only from the positions; without them, no more than this
    this.#extend(saved || marked ? firstOffset + 1 : firstOffset + EVENTS_MAX, this.tailBytes);
    return firstOffset;
  }

  /** Positions that a cursor has seen are never given again, even when the blocks are gone. */
  seen(offset: number): void {
    this.#extend(offset, this.tailBytes);
  }

  /**
   * The header of the oldest block kept. Undefined when the lane is empty or begins with
   * damage.
   */
  async oldest(blocks: Blocks): Promise<BlockHeader | undefined> {
    if (this.head === this.tail) return undefined;
    if (this.headHeader?.firstOffset !== this.head) {
      const { head } = this;
      const changes = this.#changes;
      const block = await blocks.get(this.lane, head);
      const header = block && headerOf(this.lane, head, block);
      if (changes !== this.#changes) return this.headHeader; // trimmed or thinned meanwhile
      this.headHeader = header;
    }
    return this.headHeader;
  }

  /** What the high-water mark remembers. */
  get positions(): MarkedLane {
    const { head, tail, headBytes, tailBytes, savedBytes } = this;
    return { head, tail, headBytes, tailBytes, savedBytes };
  }

  appended(header: BlockHeader): void {
    assert.equal(header.firstOffset, this.tail);
    this.tail += header.count;
    this.tailBytes += header.storedBytes;
  }

  /**
   * Everything before `head` is given up; `headBytes` were written before it. `savedBytes`: what
   * the thinned blocks among it had saved.
   */
  trimmed(head: number, headBytes: number, savedBytes = 0): void {
    assert(head >= this.head && head <= this.tail);
    this.head = head;
    this.headBytes = Math.min(Math.max(headBytes, this.headBytes), this.tailBytes);
    this.headHeader = undefined;
    this.#changes++;
    this.#save(this.savedBytes - savedBytes);
  }

  /** `header` has taken the place of blocks, among which those already thinned had `savedBytes`. */
  thinned(header: BlockHeader, savedBytes: number): void {
    if (header.firstOffset === this.head) this.headHeader = header;
    this.#changes++;
    this.#save(this.savedBytes - savedBytes + savedBytesOf(header));
  }

  /** Goes into the same write as the deletions, or as the block that is `appended` by it. */
  saveOperation(appended?: BlockHeader): WriteOperation {
    const tail = this.tail + (appended?.count ?? 0);
    const tailBytes = this.tailBytes + (appended?.storedBytes ?? 0);
    const positions: Positions = [this.head, tail, this.headBytes, tailBytes, this.savedBytes];
    return { type: 'put', key: metaKey(`lane-${this.lane}`), value: sealRecord(positions) };
  }

  #extend(tail: number, tailBytes: number): void {
    this.tail = Math.max(this.tail, tail, this.head);
    this.tailBytes = Math.max(this.tailBytes, tailBytes, this.headBytes);
  }

  /**
   * Positions never go back: an older record may have come to light again. The mark's head counts
   * only then: a trim is not synced, so after a power cut the mark may know of one that never was.
   */
  #mark(marked: MarkedLane, savedTail: number): void {
    this.recordIsOld = savedTail < marked.tail;
    if (this.recordIsOld) {
      this.head = Math.max(this.head, marked.head);
      this.headBytes = Math.max(this.headBytes, marked.headBytes);
      // the smaller one never makes the lane look emptier than it is
      this.savedBytes = Math.min(this.savedBytes, marked.savedBytes ?? 0);
    }
    this.#extend(marked.tail, marked.tailBytes);
  }

  /** Never less than nothing, nor more than there is: after damage the sums may be off. */
  #save(savedBytes: number): void {
    this.savedBytes = Math.min(Math.max(savedBytes, 0), this.tailBytes - this.headBytes);
  }

  /** Without saved positions the lane begins with its first block. */
  async #findHead(blocks: Blocks): Promise<void> {
    for await (const [key, block] of blocks.entries(this.lane, 0, Number.MAX_SAFE_INTEGER)) {
      this.head = offsetOfKey(key);
      this.headBytes = headerOf(this.lane, this.head, block)?.bytesBefore ?? 0;
      return;
    }
  }
}
