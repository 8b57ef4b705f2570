import type { Batch, HubEvent, Lane } from '../core/event.ts';
import { endOf } from '../core/span.ts';
import type { Block, EventLog } from '../log/log.ts';
import type { PieceLimits } from './flight.ts';

/** What a batcher reads. */
export type ReadableLog = Pick<EventLog, 'range' | 'read'>;

/** A run of one lane: what goes to the sink, and what it settles besides. */
export interface Run extends Batch {
  /** `[from, to)` is settled when the batch is. */
  readonly from: number;
  readonly to: number;
  /** Events in the run that the sink does not want. */
  readonly filtered: number;
  /** Events that were dropped to make room before this sink had them. */
  readonly dropped: number;
  /** Events whose block is damaged. */
  readonly corrupt: number;
  /** Events of which only aggregates are left. */
  readonly thinned: number;
  readonly full: boolean;
}

/** A run while it is being cut. */
interface Cut {
  readonly events: HubEvent[];
  to: number;
  dropped: number;
  corrupt: number;
  thinned: number;
  bytes: number;
}

const EMPTY = { events: [], filtered: 0, dropped: 0, corrupt: 0, thinned: 0, full: false };

function bytesOf({ events }: Batch): number {
  return events.reduce((sum, { payload }) => sum + payload.length, 0);
}

/** Bytes read from the log at a time. Holds a few batches of small events. */
const READ_BYTES = 1024 * 1024;

/** With a filter that lets nothing through, the cursor still moves on every so many events. */
const SETTLED_AT_ONCE_MAX = 100_000;

/**
 * Cuts batches out of one lane for one sink. Blocks that were read are kept until they are used up,
 * because a block is usually larger than a batch. Asking again for an earlier `from` is allowed: it
 * costs another read.
 */
export class Batcher {
  readonly #log: ReadableLog;
  readonly #lane: Lane;
  readonly #wanted: (topic: string) => boolean;
  readonly #holds: (block: Block) => boolean;
  #blocks: Block[] = [];
  /** Blocks before it have been given up. */
  #position = 0;

  /** `holds` says which blocks are not to be sent yet, nor what comes after them. */
  constructor(
    log: ReadableLog,
    lane: Lane,
    wanted: (topic: string) => boolean,
    holds: (block: Block) => boolean = () => false,
  ) {
    this.#log = log;
    this.#lane = lane;
    this.#wanted = wanted;
    this.#holds = holds;
  }

  /** The run that begins at `from`, or undefined at the tail. */
  async next(from: number, limits: PieceLimits): Promise<Run | undefined> {
    const run = await this.extend({ ...EMPTY, lane: this.#lane, from, to: from }, limits);
    return run.to === from ? undefined : run;
  }

  /** The same run with what has come since it was cut. */
  async extend(run: Run, limits: PieceLimits): Promise<Run> {
    const { to, dropped, corrupt, thinned } = run;
    const bytes = bytesOf(run);
    const cut: Cut = { events: [...run.events], to, dropped, corrupt, thinned, bytes };
    let full = run.full;
    while (!full && cut.to - run.from < SETTLED_AT_ONCE_MAX) {
      const { tail } = this.#log.range(this.#lane); // before the read: what comes later is not gone
      if (cut.to >= tail) break;
      const block = await this.#blockAt(cut.to);
      if (block && this.#holds(block)) break;
      const next = block?.firstOffset ?? tail;
      if (next > cut.to) {
        if (cut.events.length > 0) break; // a gap ends a run: a batch is contiguous
        this.#skip(cut, next);
      }
      if (block) full = this.#fill(cut, block, limits);
    }
    const { bytes: _counted, ...found } = cut;
    const gone = cut.dropped + cut.corrupt + cut.thinned;
    const filtered = cut.to - run.from - gone - cut.events.length;
    return { lane: run.lane, from: run.from, ...found, filtered, full };
  }

  /** Passes over what cannot be read: gone from the log, or in it and damaged. */
  #skip(cut: Cut, next: number): void {
    const { head } = this.#log.range(this.#lane);
    const dropped = Math.max(0, Math.min(next, head) - cut.to);
    cut.dropped += dropped;
    cut.corrupt += next - cut.to - dropped;
    cut.to = next;
  }

  /** Takes what fits from `block`; true when the batch is full. */
  #fill(cut: Cut, block: Block, { eventsMax, bytesMax }: PieceLimits): boolean {
    const wantedTopics = block.topics.map(this.#wanted);
    for (let index = block.indexFrom(cut.to); index < block.count; index++) {
      if (wantedTopics[block.topicIndexAt(index)]) {
        const bytes = block.payloadBytesAt(index);
        const fits = cut.events.length === 0 || cut.bytes + bytes <= bytesMax;
        if (!fits || cut.events.length >= eventsMax) return true;
        const event = block.eventAt(index);
        cut.bytes += bytes;
        cut.events.push(event);
        cut.thinned += event.offset - cut.to;
      }
      cut.to = block.offsetAt(index) + 1;
    }
    return cut.events.length >= eventsMax;
  }

  /** The block that holds `offset` or the first one after it; undefined when none is readable. */
  async #blockAt(offset: number): Promise<Block | undefined> {
    const held = this.#take(offset);
    if (held) return held;
    this.#blocks = [...(await this.#log.read(this.#lane, offset, READ_BYTES))];
    return this.#take(offset);
  }

  #take(offset: number): Block | undefined {
    if (offset < this.#position) this.#blocks = []; // else what was given up would count as lost
    this.#position = offset;
    while (this.#blocks[0] && endOf(this.#blocks[0]) <= offset) {
      this.#blocks.shift();
    }
    return this.#blocks[0];
  }
}
