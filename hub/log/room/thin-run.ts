import type { Lane } from '../../core/event.ts';
import { endOf } from '../../core/span.ts';
import { type EventTimes, StoredBlock } from '../block/block-body.ts';
import { type BlockHeader, readBody } from '../block/block-format.ts';
import { offsetOfKey } from '../keys.ts';
import { headerOf, type LaneState } from '../lane-state.ts';
import type { Blocks } from '../read/blocks.ts';

/**
 * A run is decoded and held as objects while it is aggregated: about 10 MB at the most with its
 * bytes. Longer runs would save a little more, because intervals end where runs end.
 */
const RUN_EVENTS_MAX = 8_192;
const RUN_BYTES_MAX = 2 * 1024 * 1024;
/** A trickle makes a block of each event; deleting so many in one write takes some milliseconds. */
const RUN_BLOCKS_MAX = 1_024;
/** What a header can say is twice as much: 24 days in ms, and as many offsets. */
const RUN_SPAN_MAX = 0x7fff_ffff;
const RUN_DURATION_MAX_MS = 0x7fff_ffff;
/** Blocks that are thinned enough are only looked at; after so much of them others have a turn. */
const PASSED_BYTES_MAX = 8 * 1024 * 1024;

/** Consecutive blocks of one boot, `[from, to)` of a lane. */
export interface Run {
  readonly state: LaneState;
  readonly blocks: readonly StoredBlock[];
  readonly from: number;
  readonly to: number;
}

/** What may be thinned now. */
export interface Limits {
  /** Blocks of this interval, or a longer one, are left as they are. */
  readonly intervalMs: number;
  /** Blocks that end beyond so many bytes of the lane are too new. */
  readonly endBytesMax: number;
}

/** Where the monotonic clock stood at the last event. */
export function lastMonotonicMs(header: BlockHeader): number {
  return header.firstMonotonicMs + header.lastReceivedMs - header.firstReceivedMs;
}

/** The blocks of a run so far. */
class Found {
  readonly blocks: StoredBlock[] = [];
  events = 0;
  /** Of their bodies. */
  bytes = 0;

  get first(): BlockHeader | undefined {
    return this.blocks[0]?.header;
  }

  get last(): BlockHeader | undefined {
    return this.blocks.at(-1)?.header;
  }

  add(block: StoredBlock): void {
    this.blocks.push(block);
    this.events += block.count;
    this.bytes += block.bodyBytes;
  }
}

/** Whether somebody depends on what lies in `[from, to)` as it is. */
type InUse = (lane: Lane, from: number, to: number) => boolean;

export class RunFinder {
  readonly #blocks: Blocks;
  readonly #times: EventTimes;
  readonly #inUse: InUse;

  constructor(blocks: Blocks, times: EventTimes, inUse: InUse) {
    this.#blocks = blocks;
    this.#times = times;
    this.#inUse = inUse;
  }

  /**
   * The next run from `offset` on, if there is one, and where to go on behind what was looked at.
   * `next` is undefined when nothing from `offset` on may be thinned. Errors: those of the storage.
   */
  async find(
    state: LaneState,
    offset: number,
    limits: Limits,
  ): Promise<{ readonly run: Run | undefined; readonly next: number | undefined }> {
    const { lane, tail } = state;
    const found = new Found();
    let next: number | undefined;
    let passedBytes = 0;
    for await (const [key, value] of this.#blocks.entries(lane, offset, tail)) {
      const header = headerOf(lane, offsetOfKey(key), value);
      if (header && header.bytesBefore + header.replacedBytes > limits.endBytesMax) break;
      const wanted = header !== undefined && this.#wanted(header, limits);
      if (wanted && this.#fits(found, header)) {
        found.add(new StoredBlock(header, await readBody(header, value), this.#times));
      } else if (found.first || passedBytes >= PASSED_BYTES_MAX) break;
      else passedBytes += value.length;
      next = header ? endOf(header) : offsetOfKey(key) + 1; // readers report what is damaged
    }
    if (!found.first || next === undefined) return { run: undefined, next };
    const { blocks, first } = found;
    return { run: { state, blocks, from: first.firstOffset, to: next }, next };
  }

  #wanted(header: BlockHeader, { intervalMs }: Limits): boolean {
    if (header.intervalMs >= intervalMs) return false;
    return !this.#inUse(header.lane, header.firstOffset, endOf(header));
  }

  /** A block that is larger than a run should be is a run of its own. */
  #fits(found: Found, header: BlockHeader): boolean {
    const { first, last } = found;
    if (!first || !last) return true;
    return (
      header.firstOffset === endOf(last) &&
      header.bootId === first.bootId &&
      header.clockSynced === first.clockSynced &&
      found.blocks.length < RUN_BLOCKS_MAX &&
      found.events + header.count <= RUN_EVENTS_MAX &&
      found.bytes + header.storedBytes <= RUN_BYTES_MAX &&
      endOf(header) - first.firstOffset <= RUN_SPAN_MAX &&
      lastMonotonicMs(header) - first.firstMonotonicMs <= RUN_DURATION_MAX_MS &&
      !this.#inUse(header.lane, first.firstOffset, endOf(header))
    );
  }
}

/** The stored bytes of a run, and those whose place it takes. */
export function bytesOf(blocks: readonly StoredBlock[]) {
  let storedBytes = 0;
  let replacedBytes = 0;
  for (const { header } of blocks) {
    storedBytes += header.storedBytes;
    replacedBytes += header.replacedBytes;
  }
  return { storedBytes, replacedBytes };
}
