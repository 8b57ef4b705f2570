import { setImmediate as nextTurn } from 'node:timers/promises';
import { LANES, type Lane } from '../core/event.ts';
import type { History, HistoryPoint } from '../core/status.ts';
import type { Block, EventLog } from '../log/log.ts';
import type { Decoder } from './decode/decoder.ts';
import { Slice } from './slice.ts';

export interface HistoryQuery {
  readonly device: string;
  readonly metric: string;
  /** Of the readings' own time, in ms since 1970: from `fromMs`, before `toMs`. */
  readonly fromMs: number;
  readonly toMs: number;
  /** At most so many buckets. */
  readonly points: number;
}

/** Decoding so many takes 0.5 s here and about 3 s on a Pi 3: what one waits for a chart. */
const DECODED_EVENTS_MAX = 500_000;
/** Events of other topics cost only the reading of their blocks, about a tenth. */
const PASSED_EVENTS_MAX = 5_000_000;
/**
 * The log is sought by arrival, readings have their own time: devices that are up to ten minutes
 * off
 * or late are still found. More would make every query read more.
 */
const LATE_MS = 600_000;
/**
 * The log reads forwards; going back in windows lets the newest part win when there is too much.
 */
const WINDOW_EVENTS = 20_000;
const READ_BYTES = 1_048_576;

/** Min, max, mean and count per bucket; a bucket without readings gives no point. */
class Buckets {
  readonly #query: HistoryQuery;
  readonly #widthMs: number;
  readonly #min: Float64Array;
  readonly #max: Float64Array;
  readonly #sum: Float64Array;
  readonly #count: Float64Array;

  constructor(query: HistoryQuery) {
    this.#query = query;
    this.#widthMs = (query.toMs - query.fromMs) / query.points;
    this.#min = new Float64Array(query.points).fill(Number.POSITIVE_INFINITY);
    this.#max = new Float64Array(query.points).fill(Number.NEGATIVE_INFINITY);
    this.#sum = new Float64Array(query.points);
    this.#count = new Float64Array(query.points);
  }

  add(timeMs: number, value: number): void {
    const { fromMs, toMs, points } = this.#query;
    if (timeMs < fromMs || timeMs >= toMs) return;
    const i = Math.min(points - 1, Math.floor((timeMs - fromMs) / this.#widthMs));
    this.#min[i] = Math.min(this.#min[i] ?? value, value);
    this.#max[i] = Math.max(this.#max[i] ?? value, value);
    this.#sum[i] = (this.#sum[i] ?? 0) + value;
    this.#count[i] = (this.#count[i] ?? 0) + 1;
  }

  points(): HistoryPoint[] {
    const points: HistoryPoint[] = [];
    for (const [i, count] of this.#count.entries()) {
      const min = this.#min[i];
      const max = this.#max[i];
      const sum = this.#sum[i];
      if (count === 0 || min === undefined || max === undefined || sum === undefined) continue;
      const timeMs = Math.round(this.#query.fromMs + i * this.#widthMs);
      // A sum of huge values overflows, and rounding can push a mean past what it is the mean of.
      const mean = Math.min(
        max,
        Math.max(min, Number.isFinite(sum) ? sum / count : (min + max) / 2),
      );
      points.push({ timeMs, min, max, mean, count });
    }
    return points;
  }
}

/** One query on its way through the log, newest events first. */
class HistoryScan {
  readonly #log: EventLog;
  readonly #decoder: Decoder;
  readonly #query: HistoryQuery;
  readonly #signal: AbortSignal;
  readonly #slice = new Slice(() => performance.now());
  readonly #buckets: Buckets;
  #unit: string | undefined;
  #decoded = 0;
  #passed = 0;
  #truncated = false;

  constructor(log: EventLog, decoder: Decoder, query: HistoryQuery, signal: AbortSignal) {
    this.#log = log;
    this.#decoder = decoder;
    this.#query = query;
    this.#signal = signal;
    this.#buckets = new Buckets(query);
  }

  async run(): Promise<History> {
    for (const lane of LANES) await this.#scanLane(lane);
    const { device, metric, fromMs, toMs } = this.#query;
    return {
      device,
      metric,
      ...(this.#unit === undefined ? {} : { unit: this.#unit }),
      fromMs,
      toMs,
      points: this.#buckets.points(),
      truncated: this.#truncated,
    };
  }

  async #scanLane(lane: Lane): Promise<void> {
    const start = await this.#log.seek(lane, this.#query.fromMs - LATE_MS);
    const end = await this.#endOffset(lane);
    for (let windowEnd = end; windowEnd > start; windowEnd -= WINDOW_EVENTS) {
      if (this.#decoded >= DECODED_EVENTS_MAX || this.#passed >= PASSED_EVENTS_MAX) {
        this.#truncated = true;
        return;
      }
      await this.#scanWindow(lane, Math.max(start, windowEnd - WINDOW_EVENTS), windowEnd);
    }
  }

  /** Behind the block in which the end of the range falls. */
  async #endOffset(lane: Lane): Promise<number> {
    const lastMs = this.#query.toMs + LATE_MS;
    const offset = await this.#log.seek(lane, lastMs);
    const [block] = await this.#log.read(lane, offset, 1);
    if (block === undefined || block.firstReceivedMs > lastMs) return offset;
    return block.firstOffset + block.count;
  }

  async #scanWindow(lane: Lane, from: number, to: number): Promise<void> {
    for (let next = from; next < to; ) {
      this.#signal.throwIfAborted();
      const blocks = await this.#log.read(lane, next, READ_BYTES);
      const last = blocks.at(-1);
      if (last === undefined) return;
      for (const block of blocks)
        if (block.firstOffset < to) await this.#scanBlock(block, next, to);
      next = last.firstOffset + last.count;
      await nextTurn(); // a log that answers from memory would never let go of the event loop
      this.#slice.restart();
    }
  }

  async #scanBlock(block: Block, from: number, to: number): Promise<void> {
    const { device, metric } = this.#query;
    const first = Math.max(0, from - block.firstOffset);
    const end = Math.min(block.count, to - block.firstOffset);
    this.#passed += Math.max(0, end - first);
    const wanted = block.topics.map((topic) => this.#decoder.mayYield(topic, device, metric));
    if (!wanted.includes(true)) return;
    for (let i = first; i < end; i++) {
      if (wanted[block.topicIndexAt(i)] !== true) continue;
      const event = block.eventAt(i);
      this.#decoded++;
      for (const reading of this.#decoder(event).readings) {
        if (reading.device !== device || reading.metric !== metric) continue;
        if (typeof reading.value === 'string') continue;
        this.#unit ??= reading.unit;
        this.#buckets.add(reading.timeMs, Number(reading.value));
      }
      if (this.#slice.spent(event.payload.length)) {
        await this.#slice.yield();
        this.#signal.throwIfAborted();
      }
    }
  }
}

/**
 * The readings of one metric of one device over time, from the log. `fromMs < toMs` and `points` of
 * at least 1 are the caller's to check.
 *
 * @throws the signal's reason when it aborts; HubError of the log when it cannot be read.
 */
export function history(
  log: EventLog,
  decoder: Decoder,
  query: HistoryQuery,
  signal: AbortSignal,
): Promise<History> {
  return new HistoryScan(log, decoder, query, signal).run();
}
