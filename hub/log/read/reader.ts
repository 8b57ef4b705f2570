import { HubError } from '../../core/errors.ts';
import type { Lane } from '../../core/event.ts';
import { endOf } from '../../core/span.ts';
import { StoredBlock } from '../block/block-body.ts';
import { type BlockHeader, readBody, readHeader } from '../block/block-format.ts';
import type { DamagedRange } from '../damage/damage.ts';
import { offsetOfKey } from '../keys.ts';
import { headerOf, type LaneState } from '../lane-state.ts';
import type { Entry } from '../storage/storage.ts';
import type { Boots } from '../time/boots.ts';
import type { Blocks } from './blocks.ts';
import type { RecentBlocks } from './recent-blocks.ts';

export interface ReaderOptions {
  readonly blocks: Blocks;
  readonly recent: RecentBlocks;
  readonly boots: Boots;
  /** A range that is damaged or missing. Readers get what is after it. */
  damaged(lane: Lane, range: DamagedRange, problem: string): void;
}

/** Where a reader enters the lane: at a block, or in a gap that begins at `expected`. */
interface Entrance {
  readonly from: number;
  readonly expected: number;
  readonly before: BlockHeader | undefined;
}

/** What is missing between two sound blocks, or behind the last one. */
interface Gap {
  readonly from: number;
  readonly to: number;
  readonly before: BlockHeader | undefined;
  readonly after: BlockHeader | undefined;
  readonly problem: string;
}

const MISSING = 'it is missing';

/**
 * Reading blocks back. LevelDB does not check for us: every block is checked against its checksum
 * and its key and must begin where the one before it ended. What is damaged or missing is reported
 * and left out, never handed on. A caller sees that by the gap between the offset it asked for and
 * the first one it gets.
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
      next = endOf(block);
    }
    if (next >= tail || bytes >= bytesMax) return blocks;
    const entrance =
      blocks.length > 0
        ? { from: next, expected: next, before: blocks.at(-1)?.header }
        : await this.#entrance(state, next);
    for await (const block of this.#sound(state, entrance, tail, this.#whole)) {
      blocks.push(block);
      bytes += block.bodyBytes;
      if (bytes >= bytesMax) break;
    }
    return blocks;
  }

  /**
   * Checks blocks from `offset` on, about `bytesMax` stored bytes of them, without taking them
   * apart. Answers where to go on; `to` when everything up to there has been looked at.
   */
  async check(state: LaneState, offset: number, to: number, bytesMax: number): Promise<number> {
    const entrance = await this.#entrance(state, Math.max(offset, state.head));
    let bytes = 0;
    for await (const { header } of this.#sound(state, entrance, to, headerOnly)) {
      bytes += header.storedBytes;
      if (bytes >= bytesMax) return endOf(header);
    }
    return to;
  }

  /**
   * Finds a time by halving: about 20 blocks are looked at, whatever the size of the log. Corrected
   * times ascend with the offset, across boots too (boot-times.ts says why).
   */
  async seek(state: LaneState, receivedMs: number): Promise<number> {
    let low = state.head;
    let high = state.tail;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const header = await this.#lastReadable(state.lane, low, middle + 1);
      if (!header) low = middle + 1;
      else if (this.#options.boots.lastMs(header) < receivedMs) {
        low = Math.max(endOf(header), middle + 1);
      } else high = header.firstOffset;
    }
    return Math.max(low, state.head);
  }

  /** Errors: LOG_CORRUPT. */
  readonly #whole = async (lane: Lane, [key, value]: Entry): Promise<StoredBlock> => {
    const header = readHeader(lane, offsetOfKey(key), value);
    return new StoredBlock(header, await readBody(header, value), this.#options.boots);
  };

  /** The blocks from `entrance` on that are whole. What lies between them is reported. */
  async *#sound<Found extends { readonly header: BlockHeader }>(
    state: LaneState,
    entrance: Entrance,
    tail: number,
    open: (lane: Lane, entry: Entry) => Promise<Found> | Found,
  ): AsyncGenerator<Found> {
    let { expected, before } = entrance;
    for (let enter: Entrance | undefined = entrance; enter; ) {
      const { from } = enter;
      enter = undefined;
      let problem = MISSING;
      for await (const entry of this.#options.blocks.entries(state.lane, from, tail)) {
        let block: Found;
        try {
          block = await open(state.lane, entry);
        } catch (error) {
          if (!(error instanceof HubError)) throw error;
          problem = error.message;
          continue;
        }
        const { header } = block;
        // a block that begins before the end of the one before it: the same events twice
        if (header.firstOffset < expected) continue;
        if (header.firstOffset > expected) {
          const gap = { from: expected, to: header.firstOffset, before, after: header, problem };
          enter = await this.#gap(state, gap);
          if (enter) break;
        }
        expected = endOf(header);
        before = header;
        problem = MISSING;
        yield block;
      }
      if (!enter && expected < tail) {
        enter = await this.#gap(state, {
          from: expected,
          to: tail,
          before,
          after: undefined,
          problem,
        });
        if (!enter) return;
      }
      expected = enter?.expected ?? expected;
    }
  }

  /**
   * Reports what lies between two blocks. Not when it has been trimmed, or put into another block,
   * while we read: then it answers where to go on.
   */
  async #gap(state: LaneState, gap: Gap): Promise<Entrance | undefined> {
    const { lane } = state;
    const from = Math.max(gap.from, state.head);
    if (from >= gap.to) return undefined;
    const header = await this.#lastReadable(lane, state.head, gap.to);
    if (header && endOf(header) > from) {
      return { from: header.firstOffset, expected: header.firstOffset, before: undefined };
    }
    const { boots } = this.#options;
    const before = gap.before ?? header;
    const fromMs = before ? boots.lastMs(before) : null;
    const toMs = gap.after ? boots.firstMs(gap.after) : null;
    const range = { from, to: gap.to, fromMs, toMs };
    this.#options.damaged(lane, range, gap.problem);
    return undefined;
  }

  /** The block in which `offset` lies: itself for sequential readers. */
  async #entrance({ lane, head }: LaneState, offset: number): Promise<Entrance> {
    const header = await this.#lastReadable(lane, head, offset + 1);
    if (!header) return { from: offset, expected: head, before: undefined };
    const end = endOf(header);
    if (end > offset)
      return { from: header.firstOffset, expected: header.firstOffset, before: undefined };
    // what `offset` was in is gone, or damaged
    return { from: end, expected: end, before: header };
  }

  /** The last block with `from <= first offset < to` that is not damaged. */
  async #lastReadable(lane: Lane, from: number, to: number): Promise<BlockHeader | undefined> {
    for (let end = to; ; ) {
      const entry = await this.#options.blocks.last(lane, from, end);
      if (!entry) return undefined;
      end = offsetOfKey(entry[0]);
      const header = headerOf(lane, end, entry[1]);
      if (header) return header; // a damaged one is reported when it is read for its events
    }
  }
}

/** Errors: LOG_CORRUPT. The checksum in the header covers the body too. */
function headerOnly(lane: Lane, [key, value]: Entry): { readonly header: BlockHeader } {
  return { header: readHeader(lane, offsetOfKey(key), value) };
}
