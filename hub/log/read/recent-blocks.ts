import type { Lane } from '../../core/event.ts';
import { type EventTimes, StoredBlock } from '../block/block-body.ts';
import type { CommittedBlock } from '../commit/group-commit.ts';

/**
 * Readers that keep up read what was written a moment ago, several of them the same: these blocks
 * are kept as they are in memory. 4 MiB are about 30,000 events of 100 bytes.
 */
const BYTES_MAX = 4 * 1024 * 1024;

export class RecentBlocks {
  readonly #blocks = new Map<string, CommittedBlock | StoredBlock>();
  readonly #times: EventTimes;
  #bytes = 0;

  constructor(times: EventTimes) {
    this.#times = times;
  }

  add(block: CommittedBlock): void {
    this.#blocks.set(`${block.header.lane}/${block.header.firstOffset}`, block);
    this.#bytes += block.body.length;
    for (const [key, oldest] of this.#blocks) {
      if (this.#bytes <= BYTES_MAX) return;
      this.#blocks.delete(key);
      this.#bytes -= oldest instanceof StoredBlock ? oldest.bodyBytes : oldest.body.length;
    }
  }

  /** It has been replaced. */
  forget(lane: Lane, firstOffset: number): void {
    const key = `${lane}/${firstOffset}`;
    const kept = this.#blocks.get(key);
    if (!kept) return;
    this.#blocks.delete(key);
    this.#bytes -= kept instanceof StoredBlock ? kept.bodyBytes : kept.body.length;
  }

  /** The block that begins at `firstOffset`, if it is still here. */
  get(lane: Lane, firstOffset: number): StoredBlock | undefined {
    const key = `${lane}/${firstOffset}`;
    const kept = this.#blocks.get(key);
    if (!kept || kept instanceof StoredBlock) return kept;
    const block = new StoredBlock(kept.header, kept.body, this.#times);
    this.#blocks.set(key, block); // keeps its place in the order
    return block;
  }
}
