import { LANES, type Lane } from '../core/event.ts';
import { endOf } from '../core/span.ts';
import type { Claim } from '../log/cursors.ts';
import type { DurableLog } from '../log/durable-log.ts';
import type { Block } from '../log/log.ts';
import type { ReadableLog } from './batcher.ts';

interface Held {
  readonly claim: Claim;
  reading: number;
  /** The end of what was read. */
  to: number;
}

/**
 * The log for one reader that settles what it reads: `thin` leaves alone what it holds, from where
 * it has settled to the end of what it has read. So no event reaches a far side once as itself and
 * once as a part of an aggregate.
 */
export class ClaimedLog implements ReadableLog {
  readonly #log: DurableLog;
  readonly #held: ReadonlyMap<Lane, Held>;

  /** Everything before `from` is settled by the reader. */
  constructor(log: DurableLog, from: (lane: Lane) => number) {
    this.#log = log;
    this.#held = new Map(
      LANES.map((lane) => {
        return [lane, { claim: log.cursors.claim(lane, () => from(lane)), reading: 0, to: 0 }];
      }),
    );
  }

  range(lane: Lane) {
    return this.#log.range(lane);
  }

  async read(lane: Lane, offset: number, bytesMax: number): Promise<readonly Block[]> {
    const held = this.#held.get(lane);
    if (!held) return [];
    held.reading++;
    held.claim.reach(Number.POSITIVE_INFINITY);
    try {
      const blocks = await this.#log.read(lane, offset, bytesMax);
      const last = blocks.at(-1);
      if (last) held.to = Math.max(held.to, endOf(last));
      return blocks;
    } finally {
      held.reading--;
      if (held.reading === 0) held.claim.reach(held.to);
    }
  }

  /** What was read is of no use any more. */
  forget(): void {
    for (const held of this.#held.values()) {
      held.to = 0;
      if (held.reading === 0) held.claim.reach(0);
    }
  }
}
