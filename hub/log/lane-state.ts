import assert from 'node:assert';
import type { Lane } from '../core/event.ts';
import { type BlockHeader, readHeader } from './block-format.ts';
import { blockKey, blockRange, metaKey, offsetOfKey } from './keys.ts';
import type { Storage, WriteOperation } from './storage.ts';

/**
 * Where a lane begins and ends, in offsets and in bytes ever written. Kept by arithmetic: opening
 * reads the first and the last block, never what is between them.
 *
 * Invariants: head <= tail; headBytes <= tailBytes; offsets below `tail` are never given again, also
 * when every block has been trimmed (the saved positions remember the tail).
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

  async load(storage: Storage): Promise<void> {
    const saved = await storage.get(metaKey(`lane-${this.lane}`));
    if (saved) {
      const [head, tail, headBytes, tailBytes] = JSON.parse(saved.toString());
      Object.assign(this, { head, tail, headBytes, tailBytes });
    }
    const last = await storage.last(blockRange(this.lane, this.head, Number.MAX_SAFE_INTEGER));
    if (last) {
      const header = readHeader(this.lane, offsetOfKey(last[0]), last[1]);
      this.tail = Math.max(this.tail, header.firstOffset + header.count);
      this.tailBytes = Math.max(this.tailBytes, header.bytesBefore + header.storedBytes);
    }
    assert(this.head <= this.tail, `lane ${this.lane} begins after its end`);
  }

  /** The header of the oldest block kept. Undefined when the lane is empty. */
  async oldest(storage: Storage): Promise<BlockHeader | undefined> {
    if (this.head === this.tail) return undefined;
    if (this.headHeader?.firstOffset !== this.head) {
      const head = this.head;
      const block = await storage.get(blockKey(this.lane, head));
      this.headHeader = block && readHeader(this.lane, head, block);
    }
    return this.headHeader;
  }

  appended(header: BlockHeader): void {
    assert.equal(header.firstOffset, this.tail);
    this.tail += header.count;
    this.tailBytes += header.storedBytes;
  }

  trimmed(header: BlockHeader): void {
    assert.equal(header.firstOffset, this.head);
    this.head += header.count;
    this.headBytes = header.bytesBefore + header.storedBytes;
    this.headHeader = undefined;
  }

  /** Goes into the same write as the deletions. */
  saveOperation(): WriteOperation {
    const positions = [this.head, this.tail, this.headBytes, this.tailBytes];
    return {
      type: 'put',
      key: metaKey(`lane-${this.lane}`),
      value: Buffer.from(JSON.stringify(positions)),
    };
  }
}
