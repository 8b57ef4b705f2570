import { describeError, HubError } from '../core/errors.ts';
import type { Lane } from '../core/event.ts';
import { StoredBlock } from './block-body.ts';
import { type BlockHeader, readBody, readHeader } from './block-format.ts';
import { blockKey, blockRange, offsetOfKey } from './keys.ts';
import type { LaneState } from './lane-state.ts';
import type { RecentBlocks } from './recent-blocks.ts';
import type { Entry, Storage } from './storage.ts';

export interface ReaderOptions {
  readonly storage: Storage;
  readonly recent: RecentBlocks;
  /** A block that is there but damaged. Readers get the ones after it. */
  damaged(lane: Lane, firstOffset: number, problem: string): void;
}

/**
 * Reading blocks back. LevelDB does not check for us: every block is checked against its checksum and
 * its key, and a damaged one is reported and left out, never handed on. A caller sees that by the
 * gap between the offset it asked for and the first one it gets.
 */
export class LogReader {
  readonly #options: ReaderOptions;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  async read(state: LaneState, offset: number, bytesMax: number): Promise<StoredBlock[]> {
    const { tail, lane } = state;
    let next = Math.max(offset, state.head);
    const blocks: StoredBlock[] = [];
    let bytes = 0;
    while (next < tail && bytes < bytesMax) {
      const block = this.#options.recent.get(lane, next);
      if (!block) break;
      blocks.push(block);
      bytes += block.bodyBytes;
      next = block.firstOffset + block.count;
    }
    if (next >= tail || bytes >= bytesMax) return blocks;
    const from = blocks.length > 0 ? next : await this.#blockHolding(state, next);
    for await (const entry of this.#options.storage.entries(blockRange(lane, from, tail))) {
      const block = await this.#decode(lane, entry);
      if (!block) continue;
      blocks.push(block);
      bytes += block.bodyBytes;
      if (bytes >= bytesMax) break;
    }
    return blocks;
  }

  /** Finds a time by halving: about 20 blocks are looked at, whatever the size of the log. */
  async seek(state: LaneState, receivedMs: number): Promise<number> {
    let low = state.head;
    let high = state.tail;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const first = await this.#blockHolding(state, middle);
      const header = await this.#header(state.lane, first);
      const end = header ? header.firstOffset + header.count : middle + 1;
      if (header && header.lastReceivedMs < receivedMs) low = Math.max(end, middle + 1);
      else high = Math.min(first, middle);
    }
    return Math.max(low, state.head);
  }

  /** The first offset of the block in which `offset` lies: itself for sequential readers. */
  async #blockHolding(state: LaneState, offset: number): Promise<number> {
    const range = blockRange(state.lane, state.head, offset + 1);
    const entry = await this.#options.storage.last(range);
    if (!entry) return offset;
    const firstOffset = offsetOfKey(entry[0]);
    const header = this.#check(state.lane, firstOffset, entry[1]);
    // a block that ends before `offset` is not the one: what it was in is gone
    return header && header.firstOffset + header.count <= offset ? offset : firstOffset;
  }

  async #header(lane: Lane, firstOffset: number) {
    const value = await this.#options.storage.get(blockKey(lane, firstOffset));
    return value && this.#check(lane, firstOffset, value);
  }

  #check(lane: Lane, firstOffset: number, value: Buffer): BlockHeader | undefined {
    try {
      return readHeader(lane, firstOffset, value);
    } catch {
      return undefined; // reported when it is read for its events
    }
  }

  async #decode(lane: Lane, [key, value]: Entry): Promise<StoredBlock | undefined> {
    const firstOffset = offsetOfKey(key);
    try {
      const header = readHeader(lane, firstOffset, value);
      return new StoredBlock(header, await readBody(header, value));
    } catch (error) {
      if (!(error instanceof HubError)) throw error;
      this.#options.damaged(lane, firstOffset, describeError(error));
      return undefined;
    }
  }
}
