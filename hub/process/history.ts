/**
 * The readings of one metric of one device over time, from the log.
 *
 * Invariants:
 * - only blocks in which the range can lie are read (the log finds times by block headers), each
 *   once, and of those only events whose topic can hold the metric are decoded;
 * - what fits into the budget is read whole; else blocks that are spread evenly over the time of
 *   the range, then more beside them, until the budget is used up, and the answer says so;
 * - the newest events are always all read.
 */
import { LANES, type Lane } from '../core/event.ts';
import { endOf } from '../core/span.ts';
import type { History } from '../core/status.ts';
import type { EventLog } from '../log/log.ts';
import type { Decoder } from './decode/decoder.ts';
import type { HistoryQuery } from './history-buckets.ts';
import { HistoryReader, READ_US, type Stretch } from './history-reader.ts';

export type { HistoryQuery } from './history-buckets.ts';

/** What one waits for a chart: 0.5 s here and about 4 s on a Pi 3. */
const BUDGET_US = 500_000;
/** So much of it at most to find places everywhere, the rest to read on there. */
const SPREAD_SHARE = 0.7;
/**
 * The log is sought by arrival, readings have their own time: devices that are up to ten minutes
 * off or late are still found. More would make every query read more.
 */
const LATE_MS = 600_000;
/** Of each lane, read whatever the budget: the present value is at the right edge of the chart. */
const NEWEST_EVENTS = 2_000;
/** Looked at to learn what a block holds, and so whether everything fits into the budget. */
const PROBES = 8;
/** As many places as a chart has pixels to show them; more would take longer to find. */
const PLACES_MAX = 500;
/** A place in quiet times beside busy ones takes several looks to find. */
const LOOKS_PER_PLACE = 3;
const READ_BYTES = 1_048_576;
/** A small event: so that what is read of a short stretch does not go far beyond its end. */
const EVENT_BYTES = 48;
/** When sampling: about a hundred small events, or one block. */
const SAMPLE_BYTES = 4_096;

/** What lies unread between two stretches. */
interface Gap {
  readonly before: Stretch;
  readonly after: Pick<Stretch, 'from' | 'firstMs'>;
  readonly depth: number;
}

/** One query on its way through the log. */
class HistoryScan {
  readonly #log: EventLog;
  readonly #query: HistoryQuery;
  readonly #budgetUs: number;
  readonly #reader: HistoryReader;
  #totalEvents = 0;

  constructor(log: EventLog, query: HistoryQuery, reader: HistoryReader, budgetUs: number) {
    this.#log = log;
    this.#query = query;
    this.#reader = reader;
    this.#budgetUs = budgetUs;
  }

  async run(): Promise<History> {
    let lanes: Stretch[][] = [];
    for (const lane of LANES) lanes.push(await this.#probe(lane));
    lanes = lanes.filter((stretches) => stretches.length > 0);
    const isWhole = this.#wholeUs(lanes.flat()) <= this.#budgetUs;
    if (!isWhole) lanes = await this.#spreadAll(lanes);
    const stretches = lanes.flat();
    if (isWhole) for (const stretch of stretches) await this.#readWhole(stretch);
    else await this.#sample(stretches);
    const { device, metric, fromMs, toMs } = this.#query;
    const { unit, buckets, readEvents } = this.#reader;
    return {
      device,
      metric,
      ...(unit === undefined ? {} : { unit }),
      fromMs,
      toMs,
      points: buckets.points(),
      sampled: stretches.some(isOpen),
      readEvents,
      totalEvents: this.#totalEvents,
    };
  }

  /** The blocks of the range in a lane, as stretches of about equal length; the last is read. */
  async #probe(lane: Lane): Promise<Stretch[]> {
    const start = await this.#log.seek(lane, this.#query.fromMs - LATE_MS);
    const end = await this.#endOffset(lane);
    if (end <= start) return [];
    this.#totalEvents += end - start;
    const newestFrom = Math.max(start, end - NEWEST_EVENTS);
    const newest = await this.#reader.begin(lane, newestFrom, end);
    if (newest) await this.#readWhole(newest);
    const stretches = newest ? [newest] : [];
    const probedEnd = newest?.from ?? newestFrom;
    for (let probe = PROBES - 1; probe >= 0; probe--) {
      const offset = start + Math.floor(((probedEnd - start) * probe) / PROBES);
      const next = stretches[0]?.from ?? end;
      if (offset >= next) continue;
      const stretch = await this.#reader.begin(lane, offset, next);
      if (stretch) stretches.unshift(stretch);
    }
    return stretches;
  }

  /** Behind the block in which the end of the range falls. */
  async #endOffset(lane: Lane): Promise<number> {
    const lastMs = this.#query.toMs + LATE_MS;
    const offset = await this.#log.seek(lane, lastMs);
    const [block] = await this.#log.read(lane, offset, 1);
    return block === undefined || block.firstReceivedMs > lastMs ? offset : endOf(block);
  }

  /** The cost in all when everything is read. */
  #wholeUs(stretches: readonly Stretch[]): number {
    const unread = stretches.reduce((sum, { next, end }) => sum + end - next, 0);
    const { usedUs } = this.#reader;
    return usedUs + this.#reader.estimateUs(unread) + stretches.length * READ_US;
  }

  async #readWhole(stretch: Stretch): Promise<void> {
    while (isOpen(stretch)) {
      const bytes = (stretch.end - stretch.next) * EVENT_BYTES;
      await this.#reader.readOn(stretch, Math.min(READ_BYTES, Math.max(SAMPLE_BYTES, bytes)));
    }
  }

  async #spreadAll(lanes: readonly Stretch[][]): Promise<Stretch[][]> {
    const spread: Stretch[][] = [];
    for (const [index, stretches] of lanes.entries()) {
      const left = this.#budgetUs * SPREAD_SHARE - this.#reader.usedUs;
      const limitUs = this.#reader.usedUs + left / (lanes.length - index);
      spread.push(await this.#spread(stretches, limitUs));
    }
    return spread;
  }

  /** Begins stretches everywhere in the time of the range, the widest gaps first. */
  async #spread(stretches: readonly Stretch[], limitUs: number): Promise<Stretch[]> {
    const all = [...stretches];
    const gaps = stretches.flatMap((before, index): Gap[] => {
      const after = stretches[index + 1];
      return after ? [{ before, after, depth: 0 }] : [];
    });
    let looks = LOOKS_PER_PLACE * this.#places;
    for (let gap = gaps.shift(); gap && looks > 0; gap = gaps.shift()) {
      const offset = this.#placeIn(gap);
      if (offset === undefined) continue;
      if (this.#reader.usedUs >= limitUs) break;
      looks--;
      const { before, after, depth } = gap;
      const found = await this.#reader.begin(before.lane, offset, after.from);
      if (found) {
        before.end = Math.min(before.end, found.from);
        all.push(found);
        gaps.push({ before: found, after, depth: depth + 1 });
      }
      const end = found ?? { from: offset, firstMs: after.firstMs };
      gaps.push({ before, after: end, depth: depth + 1 });
    }
    return all.sort((a, b) => a.from - b.from);
  }

  get #places(): number {
    return Math.min(this.#query.points, PLACES_MAX);
  }

  /** Where to look for the middle of a gap; undefined when it has no place of its own. */
  #placeIn({ before, after, depth }: Gap): number | undefined {
    const unread = after.from - before.next;
    if (unread <= 0) return undefined;
    const { fromMs, toMs } = this.#query;
    const placeMs = (toMs - fromMs) / this.#places;
    const placeOf = (timeMs: number) => Math.floor((timeMs - fromMs) / placeMs);
    const first = Math.max(0, placeOf(before.lastMs) + 1);
    const last = Math.min(this.#places, placeOf(after.firstMs)) - 1;
    if (first > last) return undefined;
    const middleMs = fromMs + (Math.floor((first + last) / 2) + 0.5) * placeMs;
    // by proportion, and by halves in turn: rates vary
    const share = (middleMs - before.lastMs) / (after.firstMs - before.lastMs);
    return before.next + Math.floor(unread * (depth % 2 === 0 ? share : 0.5));
  }

  /** Reads on in all stretches, as far as the budget allows. */
  async #sample(stretches: readonly Stretch[]): Promise<void> {
    for (let round = 0; ; round++) {
      const open = stretches.filter(isOpen);
      if (open.length === 0) return; // it cost less than was thought, and all has been read
      const without = open.filter(({ readings }) => readings === 0);
      // a metric that is rare shows in more places when those without are looked at more
      const turn = round % 2 === 1 && without.length > 0 ? without : open;
      const shareUs = (this.#budgetUs - this.#reader.usedUs) / turn.length / 2;
      if (!(shareUs > 2 * READ_US)) return;
      for (const stretch of turn) {
        const readings = stretch.readings;
        const endUs = this.#reader.usedUs + shareUs;
        while (isOpen(stretch) && this.#reader.usedUs < endUs) {
          await this.#reader.readOn(stretch, SAMPLE_BYTES);
          if (turn === without && stretch.readings > readings) break;
        }
      }
    }
  }
}

function isOpen({ next, end }: Stretch): boolean {
  return next < end;
}

/**
 * Answers a query. `fromMs < toMs` and `points` of at least 1 are the caller's to check. `budgetUs`
 * is what reading may cost, as history-reader.ts counts it.
 *
 * @throws the signal's reason when it aborts; HubError of the log when it cannot be read.
 */
export function history(
  log: EventLog,
  decoder: Decoder,
  query: HistoryQuery,
  signal: AbortSignal,
  budgetUs = BUDGET_US,
): Promise<History> {
  const reader = new HistoryReader(log, decoder, query, signal);
  return new HistoryScan(log, query, reader, budgetUs).run();
}
