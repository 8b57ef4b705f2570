import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Lane } from '../core/event.ts';
import { endOf } from '../core/span.ts';
import type { Block, EventLog } from '../log/log.ts';
import type { Decoder } from './decode/decoder.ts';
import { Buckets, type HistoryQuery } from './history-buckets.ts';
import { Slice } from './slice.ts';

/** What reading costs, in µs on a PC; on a Pi 3 it is about eight times that. */
export const READ_US = 100;
const BLOCK_US = 15;
const PASSED_EVENT_US = 0.3;
const DECODED_EVENT_US = 1;

/** Blocks that follow each other in a lane: read up to `next`, `end` excluded. */
export interface Stretch {
  readonly lane: Lane;
  /** Where it begins, and when. */
  readonly from: number;
  readonly firstMs: number;
  /** When the last event came that was read. */
  lastMs: number;
  next: number;
  end: number;
  /** Readings found in it. */
  readings: number;
}

/** Reads stretches of the log, puts what it finds into buckets, and keeps account of the cost. */
export class HistoryReader {
  readonly #log: EventLog;
  readonly #decoder: Decoder;
  readonly #query: HistoryQuery;
  readonly #signal: AbortSignal;
  readonly #slice = new Slice(() => performance.now());
  readonly buckets: Buckets;
  unit: string | undefined;
  /** Offsets that were looked at. */
  readEvents = 0;
  #reads = 0;
  #scannedUs = 0;

  constructor(log: EventLog, decoder: Decoder, query: HistoryQuery, signal: AbortSignal) {
    this.#log = log;
    this.#decoder = decoder;
    this.#query = query;
    this.#signal = signal;
    this.buckets = new Buckets(query);
  }

  get usedUs(): number {
    return this.#reads * READ_US + this.#scannedUs;
  }

  /** What reading `events` more would cost, judged by what was read so far. */
  estimateUs(events: number): number {
    return this.readEvents > 0 ? (events * this.#scannedUs) / this.readEvents : 0;
  }

  /**
   * Reads the block that holds `offset`, or the first one after it: the beginning of a stretch up
   * to `end`. Undefined when there is none before `end`.
   */
  async begin(lane: Lane, offset: number, end: number): Promise<Stretch | undefined> {
    const [block] = await this.#blocks(lane, offset, 1);
    if (!block || block.firstOffset >= end) return undefined;
    const { firstOffset: from, firstReceivedMs: firstMs, lastReceivedMs: lastMs } = block;
    const stretch: Stretch = { lane, from, firstMs, lastMs, next: from, end, readings: 0 };
    await this.#scan(block, stretch);
    return stretch;
  }

  /** Reads on, about `bytesMax` of it, at least a block. */
  async readOn(stretch: Stretch, bytesMax: number): Promise<void> {
    const { lane, next, end } = stretch;
    const blocks = await this.#blocks(lane, next, bytesMax);
    for (const block of blocks) {
      if (block.firstOffset >= end) break;
      await this.#scan(block, stretch);
    }
    const last = blocks.at(-1);
    if (!last || last.firstOffset >= end) stretch.next = end; // nothing readable is left in it
    await nextTurn(); // a log that answers from memory would never let go of the event loop
    this.#slice.restart();
  }

  #blocks(lane: Lane, offset: number, bytesMax: number): Promise<readonly Block[]> {
    this.#signal.throwIfAborted();
    this.#reads++;
    return this.#log.read(lane, offset, bytesMax);
  }

  async #scan(block: Block, stretch: Stretch): Promise<void> {
    const { device, metric } = this.#query;
    const first = block.indexFrom(stretch.next);
    const to = Math.min(endOf(block), stretch.end);
    const end = to < endOf(block) ? block.indexFrom(to) : block.count;
    const wanted = block.topics.map((topic) => this.#decoder.mayYield(topic, device, metric));
    if (wanted.includes(true)) {
      for (let i = first; i < end; i++) {
        if (wanted[block.topicIndexAt(i)] === true) await this.#decode(block, i, stretch);
      }
    }
    this.#scannedUs += BLOCK_US + PASSED_EVENT_US * (end - first);
    this.readEvents += to - Math.max(stretch.next, block.firstOffset);
    stretch.lastMs = block.lastReceivedMs;
    stretch.next = to;
  }

  async #decode(block: Block, index: number, stretch: Stretch): Promise<void> {
    const { device, metric } = this.#query;
    const event = block.eventAt(index);
    this.#scannedUs += DECODED_EVENT_US;
    for (const reading of this.#decoder(event).readings) {
      if (reading.device !== device || reading.metric !== metric) continue;
      if (typeof reading.value !== 'string') this.unit ??= reading.unit;
      if (this.buckets.add(reading)) stretch.readings++;
    }
    if (!this.#slice.spent(event.payload.length)) return;
    await this.#slice.yield();
    this.#signal.throwIfAborted();
  }
}
