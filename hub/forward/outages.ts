/**
 * The outages of one sink: when its far side took nothing, how long, why, and what had gathered.
 *
 * Invariants:
 * - an outage begins with a failure that is about the link or the far side as a whole, and ends
 *   with the first delivery that is taken; being asked for less (throttling) begins none;
 * - at most one goes on, and it is the last; a failure less than FLAP_MS after its end reopens it;
 * - it goes on over restarts of the hub: those are counted, its beginning stays.
 */
import type { Clock } from '../core/clock.ts';
import { describeError, type ErrorCode, HubError } from '../core/errors.ts';
import { LANES, type Lane, type Message } from '../core/event.ts';
import type { Outage, OutageError } from '../core/status.ts';
import type { Moment, OutageRecord, OutageRecords } from '../log/outage-records.ts';
import type { Schedule } from './schedule.ts';

/** A link that flaps is one trouble. */
const FLAP_MS = 10_000;
/** Shorter ones are in the history, and no event: they are over before anybody has read it. */
const ANNOUNCE_AFTER_MS = 10_000;
/** A link that goes down again and again is told of once a minute: the log is for readings. */
const ANNOUNCE_EVERY_MS = 60_000;
/** Two years of a bad week each; 100 records are 80 kB. */
const KEPT_MAX = 100;
/** Tries are counted in memory and kept so often: a lost count is a small lie. */
const SAVE_EVERY_MS = 60_000;
/** Two lines on a console. */
const ERROR_CHARS_MAX = 200;

const BEGINNERS: ReadonlySet<ErrorCode> = new Set([
  'SINK_DISCONNECTED',
  'SINK_TIMEOUT',
  'SINK_REFUSED',
]);

export interface OutagesOptions {
  readonly sink: string;
  readonly clock: Clock;
  readonly schedule: Schedule;
  readonly records: OutageRecords;
  /** The end of a lane, and up to where the sink has settled all of it. */
  lane(lane: Lane): { readonly tail: number; readonly settled: number; readonly queued: number };
  /** Takes an event for the log. */
  tell(message: Message): void;
}

type Open = OutageRecord & { readonly end: null };

export class Outages {
  readonly #options: OutagesOptions;
  #records: OutageRecord[] = [];
  #begun = 0;
  #downMs = 0;
  /** Since when it has been down, in the life of this process. */
  #downSinceMs: number | undefined;
  #savedMs = 0;
  #announcedMs = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | undefined;

  constructor(options: OutagesOptions) {
    this.#options = options;
  }

  /** Reads what is kept. An outage that went on when the hub stopped goes on. */
  async load(): Promise<void> {
    const { records, clock } = this.#options;
    this.#records = (await records.load()).slice(-KEPT_MAX);
    const open = this.#open();
    if (!open) return;
    const rebooted = open.bootId !== clock.bootId;
    this.#replace({
      ...open,
      hubStarts: open.hubStarts + 1,
      reboots: open.reboots + Number(rebooted),
      bootId: clock.bootId,
    });
    this.#downSinceMs = clock.monotonicMs();
    this.#announceLater(ANNOUNCE_AFTER_MS);
  }

  /** A try has failed. */
  failed(error: unknown): void {
    const what = errorOf(error);
    const open = this.#open();
    if (open) this.#goesOn(open, what);
    else if (BEGINNERS.has(what.code)) this.#begin(what);
  }

  /** The far side has taken something, and it is settled. */
  taken(): void {
    const open = this.#open();
    if (open) this.#end(open);
    this.#lookWhetherDrained();
  }

  /** The far side lets us in. That ends an outage only when there is nothing to be taken. */
  connected(): void {
    if (this.#open() && this.#backlog() === 0) this.taken();
  }

  /** Ends what is under way in here; what is kept stays. */
  stop(): void {
    this.#cancel?.();
    const open = this.#open();
    if (open) this.#options.records.put(open, 'soon');
  }

  current(): Outage | null {
    const open = this.#open();
    return open ? this.#outageOf(open) : null;
  }

  /** The newest first. */
  list(): Outage[] {
    return this.#records.map((record) => this.#outageOf(record)).reverse();
  }

  /** Since the start of the process. One that went on then is not counted, but its time is. */
  counters(): { readonly outages: number; readonly seconds: number } {
    const nowMs = this.#options.clock.monotonicMs();
    const goingOnMs = this.#downSinceMs === undefined ? 0 : nowMs - this.#downSinceMs;
    return { outages: this.#begun, seconds: (this.#downMs + goingOnMs) / 1000 };
  }

  #begin(what: OutageError & { readonly code: ErrorCode }): void {
    const { clock } = this.#options;
    this.#downSinceMs = clock.monotonicMs();
    this.#announceLater(ANNOUNCE_AFTER_MS);
    const last = this.#records.at(-1);
    if (last?.end && this.#isFlap(last.end)) {
      this.#replace({
        ...last,
        end: null,
        interruptions: last.interruptions + 1,
        tries: last.tries + 1,
        lastError: what,
        backlogAtEnd: null,
        drainTo: null,
        drainedAfterMs: null,
      });
      return;
    }
    this.#begun++;
    const record: OutageRecord = {
      id: (last?.id ?? 0) + 1,
      start: this.#now(),
      end: null,
      lengthMs: 0,
      interruptions: 1,
      tries: 1,
      hubStarts: 0,
      reboots: 0,
      bootId: clock.bootId,
      firstError: what,
      lastError: what,
      backlogAtStart: this.#backlog(),
      backlogAtEnd: null,
      drainTo: null,
      drainedAfterMs: null,
      announced: false,
    };
    this.#records.push(record);
    this.#save(record, 'soon');
    for (const old of this.#records.splice(0, this.#records.length - KEPT_MAX)) {
      this.#options.records.delete(old.id);
    }
  }

  #goesOn(open: Open, lastError: OutageError): void {
    const record = { ...open, tries: open.tries + 1, lastError };
    this.#records[this.#records.length - 1] = record;
    if (this.#options.clock.monotonicMs() - this.#savedMs >= SAVE_EVERY_MS) {
      this.#save(record, 'soon');
    }
  }

  #end(open: Open): void {
    const { clock, records } = this.#options;
    this.#cancel?.();
    this.#downMs += clock.monotonicMs() - (this.#downSinceMs ?? clock.monotonicMs());
    this.#downSinceMs = undefined;
    const drainTo = { alarm: 0, normal: 0, bulk: 0 };
    for (const lane of LANES) drainTo[lane] = this.#options.lane(lane).tail;
    const record: OutageRecord = {
      ...open,
      end: this.#now(),
      lengthMs: records.ageMs(open.start),
      backlogAtEnd: this.#backlog(),
      drainTo,
      announced: false,
    };
    this.#replace(record, open.announced ? 'now' : 'soon');
    if (open.announced) this.#tell('ended', record);
  }

  #lookWhetherDrained(): void {
    const last = this.#records.at(-1);
    const { drainTo } = last ?? {};
    if (!last?.end || !drainTo) return;
    if (LANES.some((lane) => this.#options.lane(lane).settled < drainTo[lane])) return;
    const drainedAfterMs = this.#options.records.ageMs(last.end);
    this.#replace({ ...last, drainTo: null, drainedAfterMs });
  }

  #announceLater(delayMs: number): void {
    const { schedule } = this.#options;
    this.#cancel?.();
    this.#cancel = schedule.after(delayMs, () => {
      const open = this.#open();
      if (!open || open.announced) return;
      const waitMs = this.#announcedMs + ANNOUNCE_EVERY_MS - schedule.nowMs();
      if (waitMs > 0) return this.#announceLater(waitMs);
      this.#announcedMs = schedule.nowMs();
      const record = { ...open, announced: true };
      this.#replace(record, 'now');
      this.#tell('began', record);
    });
  }

  #tell(state: 'began' | 'ended', record: OutageRecord): void {
    const { startedMs, endedMs, ...facts } = this.#outageOf(record);
    const fromTime = isoTime(startedMs);
    const toTime = endedMs === null ? null : isoTime(endedMs);
    const payload = Buffer.from(JSON.stringify({ state, fromTime, toTime, ...facts }));
    this.#options.tell({ topic: 'holdfast/outage', payload, source: 'hub', kind: 'outage' });
  }

  #outageOf(record: OutageRecord): Outage {
    const { sink, records } = this.#options;
    const { id, start, end, interruptions, tries, hubStarts, reboots } = record;
    const { firstError, lastError, backlogAtStart, backlogAtEnd, drainedAfterMs } = record;
    const startedMs = records.timeMs(start);
    return {
      sink,
      id,
      startedMs,
      endedMs: end && Math.max(startedMs, records.timeMs(end)),
      lengthMs: end ? record.lengthMs : records.ageMs(start),
      interruptions,
      tries,
      hubStarts,
      reboots,
      firstError,
      lastError,
      backlogAtStart,
      backlogAtEnd,
      drainedAfterMs,
    };
  }

  #open(): Open | undefined {
    const last = this.#records.at(-1);
    return last && last.end === null ? { ...last, end: null } : undefined;
  }

  #isFlap(end: Moment): boolean {
    const { clock } = this.#options;
    return end.bootId === clock.bootId && clock.monotonicMs() - end.monotonicMs < FLAP_MS;
  }

  /** Puts `record` in the place of the last one. */
  #replace(record: OutageRecord, when: 'now' | 'soon' = 'soon'): void {
    this.#records[this.#records.length - 1] = record;
    this.#save(record, when);
  }

  #save(record: OutageRecord, when: 'now' | 'soon'): void {
    this.#savedMs = this.#options.clock.monotonicMs();
    this.#options.records.put(record, when);
  }

  #backlog(): number {
    let events = 0;
    for (const lane of LANES) {
      events += this.#options.lane(lane).queued;
    }
    return events;
  }

  #now(): Moment {
    const { clock } = this.#options;
    const { bootId } = clock;
    return { bootId, monotonicMs: Math.round(clock.monotonicMs()), wallMs: clock.wallMs() };
  }
}

/** What is thrown without a code of ours is a defect; to the far side it is a broken link. */
function errorOf(error: unknown): { readonly code: ErrorCode; readonly text: string } {
  const code = error instanceof HubError ? error.code : 'SINK_DISCONNECTED';
  return { code, text: describeError(error).slice(0, ERROR_CHARS_MAX) };
}

function isoTime(timeMs: number): string | null {
  const date = new Date(timeMs);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}
