import { describeError, HubError } from '../core/errors.ts';
import type { Lane } from '../core/event.ts';
import { StoredBlock } from './block-body.ts';
import { type BlockHeader, readBody, readHeader } from './block-format.ts';
import { blockRange, offsetOfKey } from './keys.ts';
import { headerOf, type LaneState } from './lane-state.ts';
import type { RecentBlocks } from './recent-blocks.ts';
import type { Entry, Storage } from './storage.ts';

export interface ReaderOptions {
  readonly storage: Storage;
  readonly recent: RecentBlocks;
  /** A block that is damaged or missing. Readers get the ones after it. */
  damaged(state: LaneState, firstOffset: number, problem: string): void;
}

/**
 * Reading blocks back. LevelDB does not check for us: every block is checked against its checksum
 * and its key, and a damaged one is reported and left out, never handed on. A caller sees that by
 * the gap between the offset it asked for and the first one it gets.
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
    let expected: number | undefined;
    for await (const entry of this.#options.storage.entries(blockRange(lane, from, tail))) {
      const block = await this.#decode(state, entry);
      const missing = block && expected !== undefined && block.firstOffset !== expected;
      if (missing) this.#options.damaged(state, expected ?? 0, 'it is missing');
      expected = block && block.firstOffset + block.count;
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
      const header = await this.#lastReadable(state.lane, low, middle + 1);
      if (!header) low = middle + 1;
      else if (header.lastReceivedMs < receivedMs) {
        low = Math.max(header.firstOffset + header.count, middle + 1);
      } else high = header.firstOffset;
    }
    return Math.max(low, state.head);
  }

  /** The first offset of the block in which `offset` lies: itself for sequential readers. */
  async #blockHolding({ lane, head }: LaneState, offset: number): Promise<number> {
    const header = await this.#lastReadable(lane, head, offset + 1);
    // a block that ends before `offset` is not the one: what it was in is gone, or damaged
    const holds = header && header.firstOffset + header.count > offset;
    return holds ? header.firstOffset : offset;
  }

  /** The last block with `from <= first offset < to` that is not damaged. */
  async #lastReadable(lane: Lane, from: number, to: number): Promise<BlockHeader | undefined> {
    for (let end = to; ; ) {
      const entry = await this.#options.storage.last(blockRange(lane, from, end));
      if (!entry) return undefined;
      end = offsetOfKey(entry[0]);
      const header = headerOf(lane, end, entry[1]);
      if (header) return header; // a damaged one is reported when it is read for its events
    }
  }

  async #decode(state: LaneState, [key, value]: Entry): Promise<StoredBlock | undefined> {
    const firstOffset = offsetOfKey(key);
    try {
      const header = readHeader(state.lane, firstOffset, value);
      return new StoredBlock(header, await readBody(header, value));
    } catch (error) {
      if (!(error instanceof HubError)) throw error;
      this.#options.damaged(state, firstOffset, describeError(error));
      return undefined;
    }
  }
}
