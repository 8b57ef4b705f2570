import assert from 'node:assert';
import { HubError } from '../core/errors.ts';
import type { Lane } from '../core/event.ts';
import { type BlockHeader, EVENTS_MAX, readHeader } from './block-format.ts';
import { blockKey, blockRange, metaKey, offsetOfKey } from './keys.ts';
import { openRecord, sealRecord } from './record.ts';
import type { Storage, WriteOperation } from './storage.ts';

type Positions = readonly [head: number, tail: number, headBytes: number, tailBytes: number];

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
  /** The header of the block at the head, once read. */
  headHeader: BlockHeader | undefined;

  constructor(lane: Lane) {
    this.lane = lane;
  }

  get bytes(): number {
    return this.tailBytes - this.headBytes;
  }

  get events(): number {
    return this.tail - this.head;
  }

  /** Answers the first offset of the last block when that block is damaged. */
  async load(storage: Storage): Promise<number | undefined> {
    const saved = openRecord<Positions>(await storage.get(metaKey(`lane-${this.lane}`)));
    if (saved) [this.head, this.tail, this.headBytes, this.tailBytes] = saved;
    else await this.#findHead(storage);
    const last = await storage.last(blockRange(this.lane, this.head, Number.MAX_SAFE_INTEGER));
    if (!last) return undefined;
    const firstOffset = offsetOfKey(last[0]);
    const header = headerOf(this.lane, firstOffset, last[1]);
    if (header) {
      this.#extend(header.firstOffset + header.count, header.bytesBefore + header.storedBytes);
      return undefined;
    }
    // how many events it held is known only from the positions; without them, no more than this
    this.#extend(saved ? firstOffset + 1 : firstOffset + EVENTS_MAX, this.tailBytes);
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
  async oldest(storage: Storage): Promise<BlockHeader | undefined> {
    if (this.head === this.tail) return undefined;
    if (this.headHeader?.firstOffset !== this.head) {
      const head = this.head;
      const block = await storage.get(blockKey(this.lane, head));
      const header = block && headerOf(this.lane, head, block);
      if (head !== this.head) return undefined; // trimmed meanwhile
      this.headHeader = header;
    }
    return this.headHeader;
  }

  appended(header: BlockHeader): void {
    assert.equal(header.firstOffset, this.tail);
    this.tail += header.count;
    this.tailBytes += header.storedBytes;
  }

  /** Everything before `head` is given up; `headBytes` were written before it. */
  trimmed(head: number, headBytes: number): void {
    assert(head >= this.head && head <= this.tail);
    this.head = head;
    this.headBytes = Math.min(Math.max(headBytes, this.headBytes), this.tailBytes);
    this.headHeader = undefined;
  }

  /** Goes into the same write as the deletions, or as the block that is `appended` by it. */
  saveOperation(appended?: BlockHeader): WriteOperation {
    const tail = this.tail + (appended?.count ?? 0);
    const tailBytes = this.tailBytes + (appended?.storedBytes ?? 0);
    const positions: Positions = [this.head, tail, this.headBytes, tailBytes];
    return { type: 'put', key: metaKey(`lane-${this.lane}`), value: sealRecord(positions) };
  }

  #extend(tail: number, tailBytes: number): void {
    this.tail = Math.max(this.tail, tail, this.head);
    this.tailBytes = Math.max(this.tailBytes, tailBytes, this.headBytes);
  }

  /** Without saved positions the lane begins with its first block. */
  async #findHead(storage: Storage): Promise<void> {
    const range = blockRange(this.lane, 0, Number.MAX_SAFE_INTEGER);
    for await (const [key, block] of storage.entries(range)) {
      this.head = offsetOfKey(key);
      this.headBytes = headerOf(this.lane, this.head, block)?.bytesBefore ?? 0;
      return;
    }
  }
}
