import type { Batch, HubEvent, Lane } from '../core/event.ts';
import type { Block, EventLog } from '../log/log.ts';

export interface BatchLimits {
  readonly eventsMax: number;
  /** Payload bytes. */
  readonly bytesMax: number;
}

/** A run of one lane: what goes to the sink, and what it settles besides. */
export interface Run extends Batch {
  /** `[from, to)` is settled when the batch is. */
  readonly from: number;
  readonly to: number;
  /** Events in the run that the sink does not want. */
  readonly filtered: number;
  /** Events that are gone: dropped, or damaged. */
  readonly lost: number;
  readonly full: boolean;
}

/** A run while it is being cut. */
interface Cut {
  readonly events: HubEvent[];
  to: number;
  lost: number;
  bytes: number;
}

const EMPTY = { events: [], filtered: 0, lost: 0, full: false };

function bytesOf({ events }: Batch): number {
  return events.reduce((sum, { payload }) => sum + payload.length, 0);
}

/** Bytes read from the log at a time. Holds a few batches of small events. */
const READ_BYTES = 1024 * 1024;

/** With a filter that lets nothing through, the cursor still moves on every so many events. */
const SETTLED_AT_ONCE_MAX = 100_000;

/**
 * Cuts batches out of one lane for one sink. Blocks that were read are kept until they are used up,
 * because a block is usually larger than a batch: `from` only ever grows.
 */
export class Batcher {
  readonly #log: EventLog;
  readonly #lane: Lane;
  readonly #wanted: (topic: string) => boolean;
  readonly #limits: BatchLimits;
  #blocks: Block[] = [];

  constructor(
    log: EventLog,
    lane: Lane,
    wanted: (topic: string) => boolean,
    limits: BatchLimits,
  ) {
    this.#log = log;
    this.#lane = lane;
    this.#wanted = wanted;
    this.#limits = limits;
  }

  /** The run that begins at `from`, or undefined at the tail. */
  async next(from: number): Promise<Run | undefined> {
    const run = await this.extend({ ...EMPTY, lane: this.#lane, from, to: from });
    return run.to === from ? undefined : run;
  }

  /** The same run with what has come since it was cut. */
  async extend(run: Run): Promise<Run> {
    const cut: Cut = { events: [...run.events], to: run.to, lost: run.lost, bytes: bytesOf(run) };
    let full = run.full;
    while (!full && cut.to - run.from < SETTLED_AT_ONCE_MAX) {
      const block = await this.#blockAt(cut.to);
      if (block === undefined) break;
      const next = block === 'gone' ? this.#log.range(this.#lane).tail : block.firstOffset;
      if (next > cut.to) {
        if (cut.events.length > 0) break; // a gap ends a run: a batch is contiguous
        cut.lost += next - cut.to;
        cut.to = next;
      }
      if (block !== 'gone') full = this.#fill(cut, block);
    }
    const filtered = cut.to - run.from - cut.lost - cut.events.length;
    return { lane: run.lane, from: run.from, ...cut, filtered, full };
  }

  /** Takes what fits from `block`; true when the batch is full. */
  #fill(cut: Cut, block: Block): boolean {
    const { eventsMax, bytesMax } = this.#limits;
    const wantedTopics = block.topics.map(this.#wanted);
    for (let index = cut.to - block.firstOffset; index < block.count; index++) {
      if (wantedTopics[block.topicIndexAt(index)]) {
        const event = block.eventAt(index);
        const fits = cut.events.length === 0 || cut.bytes + event.payload.length <= bytesMax;
        if (!fits || cut.events.length >= eventsMax) return true;
        cut.bytes += event.payload.length;
        cut.events.push(event);
      }
      cut.to++;
    }
    return cut.events.length >= eventsMax;
  }

  /** The block that holds `offset` or the first one after it; `gone` when none is readable. */
  async #blockAt(offset: number): Promise<Block | 'gone' | undefined> {
    const held = this.#take(offset);
    if (held) return held;
    const { tail } = this.#log.range(this.#lane);
    if (offset >= tail) return undefined;
    this.#blocks = [...(await this.#log.read(this.#lane, offset, READ_BYTES))];
    return this.#take(offset) ?? 'gone';
  }

  #take(offset: number): Block | undefined {
    while (this.#blocks[0] && this.#blocks[0].firstOffset + this.#blocks[0].count <= offset) {
      this.#blocks.shift();
    }
    return this.#blocks[0];
  }
}
