/**
 * The replays of one sink: past ranges of the log that it is sent again, beside its live cursor.
 *
 * Invariants:
 * - the sink's cursors and its ledger know nothing of a replay: it has counts of its own;
 * - what the sink has not had yet is not replayed: it comes live;
 * - one replay runs at a time, in the order of the requests; what is asked for and what is
 *   cancelled is durable before the answer;
 * - progress rides with the commits of the log: after a crash a replay goes on where it was, with
 *   duplicates at most;
 * - events are kept from retention while a replay needs them, but not from a log that needs room:
 *   what is gone is counted as missing.
 */
import assert from 'node:assert';
import type { Logger } from 'pino';
import type { Clock } from '../core/clock.ts';
import { LANES, type Lane } from '../core/event.ts';
import { RateMeter } from '../core/rate.ts';
import {
  type ReplayJob,
  type ReplayState,
  replayEnded,
  type SinkReplayStatus,
} from '../core/status.ts';
import type { DurableLog } from '../log/durable-log.ts';
import type { ReplayProgress, ReplayRecord } from '../log/replay-records.ts';
import { Batcher } from './batcher.ts';
import { ClaimedLog } from './claimed-log.ts';
import {
  type Flight,
  flightOf,
  isAllRefused,
  type PieceLimits,
  type Refused,
  sentOf,
} from './flight.ts';
import type { Recorder } from './operations.ts';
import { type ByLane, logUpTo, offsetsOf, partOf, type TimeRange } from './replay-range.ts';

/** Behind the one that runs. Each holds a part of the log back from retention. */
const QUEUED_MAX = 16;
/** Whoever asked has looked at the result by then. */
const ENDED_KEPT_MAX = 16;
/** So many in a row that the far side takes none of: ends the replay, rather than halt the sink. */
const REFUSED_IN_A_ROW_MAX = 100;

export interface ReplaysOptions {
  readonly log: DurableLog;
  readonly sink: string;
  readonly clock: Clock;
  readonly wanted: (topic: string) => boolean;
  readonly batch: PieceLimits;
  /** See SinkSpec: 0 when what is acknowledged is durable. */
  readonly confirmWindowMs: number;
  readonly logger: Logger;
  /** Called when there is something to send. */
  wake(): void;
}

/** What the batchers, the rate and `pending` are about. */
interface Running {
  readonly id: number;
  readonly batchers: ReadonlyMap<Lane, Batcher>;
  readonly rate: RateMeter;
  refusedInARow: number;
  /** A position that is confirmed when the far side lives on for a window. */
  mark: { readonly atMs: number; readonly progress: ReplayProgress } | undefined;
}

export class Replays {
  readonly #options: ReplaysOptions;
  /** Asked for, but not durable yet: not begun. */
  readonly #creating = new Set<number>();
  readonly #claimed: ClaimedLog;
  #running: Running | undefined;
  #replayedEvents = 0;
  /** To be sent next: one at most. */
  pending: Flight[] = [];

  constructor(options: ReplaysOptions) {
    this.#options = options;
    this.#claimed = new ClaimedLog(options.log, (lane) => this.#settledTo(lane));
  }

  /**
   * Takes note of a range to be sent again; resolves when that is durable. Undefined when too many
   * wait already. A range without events has ended at once. Errors: those of the log.
   */
  async request(range: TimeRange, record?: Recorder): Promise<ReplayJob | undefined> {
    const { log, sink, clock, logger, wake } = this.#options;
    if (this.#active().length + this.#creating.size > QUEUED_MAX) return undefined;
    const id = log.replays.nextId(sink);
    this.#creating.add(id);
    try {
      const settledTo = (lane: Lane) => log.cursors.get(sink, lane).offset;
      const replay = newRecord(id, range, await offsetsOf(log, range, settledTo), clock.wallMs());
      log.replays.set(sink, replay);
      const job = this.#jobOf(replay);
      await this.#write(job, record);
      logger.info({ replay: id, ...range, events: job.totalEvents }, 'a replay was requested');
      return job;
    } catch (error) {
      log.replays.delete(sink, id);
      throw error;
    } finally {
      this.#creating.delete(id);
      this.#forgetOld();
      wake();
    }
  }

  /** Ends a replay; resolves when that is durable. Undefined when there is none of that number. */
  async cancel(id: number, record?: Recorder): Promise<ReplayJob | undefined> {
    const replay = this.#options.log.replays.get(this.#options.sink, id);
    if (!replay || this.#creating.has(id)) return undefined;
    if (!replayEnded(replay.state)) {
      this.#end(replay, 'cancelled');
      await this.#write(this.#jobOf(replay), record);
    }
    return this.job(id);
  }

  job(id: number): ReplayJob | undefined {
    const record = this.#options.log.replays.get(this.#options.sink, id);
    return record && this.#jobOf(record);
  }

  /** The ones that run or wait, and the last that have ended. In the order of the requests. */
  jobs(): ReplayJob[] {
    const { log, sink } = this.#options;
    return log.replays.of(sink).map((record) => this.#jobOf(record));
  }

  status(): SinkReplayStatus {
    const [first, ...others] = this.#active();
    const running = first ? this.#jobOf(first) : null;
    return { running, queued: others.length, replayedEvents: this.#replayedEvents };
  }

  /** Whether `prepare` has something to do. */
  get due(): boolean {
    const [record] = this.#active();
    return record !== undefined && !(this.#waitsForConfirmation(record) && isThrough(record));
  }

  /** True when there is something in `pending`. Does a bounded part of the work at a time. */
  async prepare(): Promise<boolean> {
    const record = this.#begun();
    if (!record) return false;
    if (this.pending.length > 0) return true;
    const lane = LANES.find((candidate) => record.progress.next[candidate] < record.to[candidate]);
    if (!lane) {
      if (!this.#waitsForConfirmation(record)) this.#end(record, 'finished');
      return false;
    }
    const run = await this.#running?.batchers
      .get(lane)
      ?.next(record.progress.next[lane], this.#options.batch);
    if (this.#begun()?.id !== record.id || !run) return false; // cancelled meanwhile
    const part = partOf(run, record);
    if (part.events.length > 0) this.pending.push(flightOf(part));
    else this.#advance(record, flightOf(part));
    return this.pending.length > 0;
  }

  /** The far side has answered for the first of `pending`. */
  settle(flight: Flight): void {
    if (this.pending[0] === flight) this.pending.shift();
    const record = this.#begun();
    const running = this.#running;
    if (!record || !running || record.id !== flight.run.replay) return; // cancelled meanwhile
    const { run, refused } = flight;
    const taken = run.events.length - refused.size;
    this.#replayedEvents += taken;
    this.#advance(record, flight);
    const sent = sentOf(refused.values());
    running.refusedInARow = taken > 0 ? 0 : running.refusedInARow + sent;
    this.#endAtTooMany(running.refusedInARow, refused);
  }

  /** A step of the flight is done: a replay of which the far side takes nothing ends. */
  stepped(flight: Flight): void {
    const { run, refused } = flight;
    const running = this.#running;
    if (!running || running.id !== run.replay || !isAllRefused(flight)) return;
    this.#endAtTooMany(running.refusedInARow + sentOf(refused.values()), refused);
  }

  #endAtTooMany(inARow: number, refused: ReadonlyMap<number, Refused>): void {
    const record = this.#begun();
    if (!record || inARow <= REFUSED_IN_A_ROW_MAX) return;
    const [first] = refused.values();
    const detail = `the far side refused ${inARow} events in a row`;
    this.#end({ ...record, detail: `${detail}, for example: ${first?.reason}` }, 'failed');
  }

  /** The far side is the one it was: what it has had for a window is there for good. */
  confirm(): void {
    const running = this.#running;
    const record = this.#begun();
    if (!record || !running || this.#options.confirmWindowMs === 0) return;
    const nowMs = this.#options.clock.monotonicMs();
    const { mark } = running;
    if (mark && nowMs - mark.atMs < this.#options.confirmWindowMs) return;
    running.mark = { atMs: nowMs, progress: record.progress };
    if (mark) this.#set({ ...record, confirmed: mark.progress });
  }

  /** The far side has forgotten what was not confirmed: it is sent once more. */
  rewind(): void {
    this.pending = [];
    this.#running = undefined;
    const [record] = this.#active();
    if (record) this.#set({ ...record, progress: record.confirmed });
  }

  #active(): readonly ReplayRecord[] {
    const records = this.#options.log.replays.of(this.#options.sink);
    return records.filter(({ id, state }) => !replayEnded(state) && !this.#creating.has(id));
  }

  /** The replay whose turn it is. */
  #begun(): ReplayRecord | undefined {
    const [record] = this.#active();
    if (this.#running?.id === record?.id) return record;
    this.pending = [];
    this.#running = record && this.#runningOf(record);
    if (!record || record.state === 'running') return record;
    return this.#set({ ...record, state: 'running' });
  }

  #runningOf({ id, to }: ReplayRecord): Running {
    const { wanted, clock } = this.#options;
    this.#claimed.forget();
    const upTo = logUpTo(this.#claimed, to);
    const batchers = new Map(LANES.map((lane) => [lane, new Batcher(upTo, lane, wanted)]));
    const rate = new RateMeter(() => clock.monotonicMs());
    return { id, batchers, rate, refusedInARow: 0, mark: undefined };
  }

  /** Everything below has been answered for by the replay that runs; all when none does. */
  #settledTo(lane: Lane): number {
    const { log, sink } = this.#options;
    const record = this.#running && log.replays.get(sink, this.#running.id);
    const runs = record && !replayEnded(record.state);
    return runs ? record.progress.next[lane] : Number.POSITIVE_INFINITY;
  }

  #waitsForConfirmation({ progress, confirmed }: ReplayRecord): boolean {
    if (this.#options.confirmWindowMs === 0) return false;
    return LANES.some((lane) => confirmed.next[lane] < progress.next[lane]);
  }

  #advance(record: ReplayRecord, { run, refused }: Flight): ReplayRecord {
    const { progress } = record;
    assert.equal(run.from, progress.next[run.lane], 'a replay goes on where it was');
    const next: ReplayProgress = {
      next: { ...progress.next, [run.lane]: run.to },
      replayed: progress.replayed + run.events.length - refused.size,
      refused: progress.refused + refused.size,
      missing: progress.missing + run.dropped,
      thinned: progress.thinned + run.thinned,
      filtered: progress.filtered + run.filtered,
    };
    this.#running?.rate.add(run.to - run.from);
    const confirmed = this.#options.confirmWindowMs > 0 ? record.confirmed : next;
    const [first] = refused.values();
    const detail = record.detail ?? (first && detailOf(first));
    return this.#set({
      ...record,
      progress: next,
      confirmed,
      ...(detail === undefined ? {} : { detail }),
    });
  }

  #end(record: ReplayRecord, state: ReplayState): void {
    const { clock, logger } = this.#options;
    const ended = this.#set({ ...record, state, endedMs: clock.wallMs() });
    if (this.#running?.id === record.id) {
      this.#running = undefined;
      this.pending = [];
    }
    this.#forgetOld();
    const { next: _offsets, ...counts } = ended.progress;
    logger.info({ replay: record.id, ...counts, detail: record.detail }, `a replay has ${state}`);
  }

  #forgetOld(): void {
    const { log, sink } = this.#options;
    const ended = log.replays.of(sink).filter(({ state }) => replayEnded(state));
    for (const { id } of ended.slice(0, -ENDED_KEPT_MAX)) log.replays.delete(sink, id);
  }

  #set(record: ReplayRecord): ReplayRecord {
    this.#options.log.replays.set(this.#options.sink, record);
    return record;
  }

  /** With a `record`, the event that tells who asked is in the same write. */
  #write({ id, fromMs, toMs, totalEvents }: ReplayJob, record?: Recorder): Promise<void> {
    const { log, sink } = this.#options;
    const operations = [log.replays.operation(sink, id)];
    if (record) {
      const range = { from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString() };
      return record({ replay: id, ...range, totalEvents }, operations);
    }
    return new Promise((resolve, reject) => {
      log.write(operations, (error) => (error ? reject(error) : resolve()));
    });
  }

  #jobOf(record: ReplayRecord): ReplayJob {
    const { id, state, detail, fromMs, toMs, requestedMs, endedMs, progress } = record;
    const totalEvents = eventsBetween(record.from, record.to);
    const doneEvents = eventsBetween(record.from, progress.next);
    const rate = this.#running?.id === id ? this.#running.rate.perSecond() : 0;
    const ended = replayEnded(state);
    return {
      ...{ id, sink: this.#options.sink, state, fromMs, toMs, requestedMs, endedMs },
      ...(detail === undefined ? {} : { detail }),
      ...{ totalEvents, doneEvents },
      replayedEvents: progress.replayed,
      refusedEvents: progress.refused,
      missingEvents: progress.missing,
      thinnedEvents: progress.thinned,
      filteredEvents: progress.filtered,
      eventsPerSecond: ended ? 0 : rate,
      etaSeconds: !ended && rate > 0 ? (totalEvents - doneEvents) / rate : null,
    };
  }
}

function newRecord(
  id: number,
  { fromMs, toMs }: TimeRange,
  { from, to }: { readonly from: ByLane; readonly to: ByLane },
  requestedMs: number,
): ReplayRecord {
  const counts = { replayed: 0, refused: 0, missing: 0, thinned: 0, filtered: 0 };
  const start: ReplayProgress = { next: from, ...counts };
  const empty = eventsBetween(from, to) === 0;
  return {
    ...{ id, fromMs, toMs, requestedMs, from, to, progress: start, confirmed: start },
    state: empty ? 'finished' : 'queued',
    endedMs: empty ? requestedMs : null,
  };
}

function isThrough({ progress, to }: ReplayRecord): boolean {
  return LANES.every((lane) => progress.next[lane] >= to[lane]);
}

function eventsBetween(from: ByLane, to: ByLane): number {
  return LANES.reduce((sum, lane) => sum + to[lane] - from[lane], 0);
}

function detailOf({ event, reason }: Refused): string {
  return `the first refused: ${event.lane}/${event.offset} of ${event.topic}: ${reason}`;
}
