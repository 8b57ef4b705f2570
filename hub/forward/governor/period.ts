/**
 * What was sent in the present day or month.
 *
 * Invariants:
 * - a period ends when the calendar begins the next one; without a calendar (the clock is not
 *   synchronised) after 24 h or 30 d of real time;
 * - when the calendar says so too early, because the wall clock jumped or has just been set, only
 *   as much of what was used is forgotten as the time that really passed has earned: however the
 *   clock jumps, no more is sent than `limit` for each `minMs` that passes, and one;
 * - a clock that was set back does not stop it: after `maxMs` of real time a period is over.
 *
 * Across a boot the time without power is not known: there the calendar is believed.
 */
import type { PeriodRecord } from '../../log/governor-record.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export interface PeriodLength {
  /** The shortest and the longest by the calendar, with an hour to spare. */
  readonly minMs: number;
  readonly maxMs: number;
  /** What counts without a calendar. */
  readonly plainMs: number;
}

/** 23 to 25 h, where clocks change. */
export const DAY: PeriodLength = { minMs: 22 * HOUR_MS, maxMs: 26 * HOUR_MS, plainMs: DAY_MS };
export const MONTH: PeriodLength = {
  minMs: 28 * DAY_MS - 2 * HOUR_MS,
  maxMs: 31 * DAY_MS + 2 * HOUR_MS,
  plainMs: 30 * DAY_MS,
};

/** What the calendar says; undefined while the clock is not synchronised. */
export interface CalendarTime {
  readonly wallMs: number;
  /** When the period that it is now began. */
  readonly startMs: number;
}

export class Period {
  readonly #length: PeriodLength;
  #startMs: number;
  #usedBytes: number;
  #elapsedMs: number;
  #delivered: boolean;
  /** More time may have passed than `elapsedMs`: the machine was off. */
  #wasOff: boolean;
  /** What was added while that was so: of the time since then, at the latest. */
  #usedSince = 0;

  /** `wasOff`: whether `record` was written in another boot. */
  constructor(length: PeriodLength, record?: PeriodRecord, wasOff = false) {
    this.#length = length;
    this.#startMs = record?.startMs ?? 0;
    this.#usedBytes = record?.usedBytes ?? 0;
    this.#elapsedMs = record?.elapsedMs ?? 0;
    this.#delivered = record?.delivered ?? false;
    this.#wasOff = record === undefined || wasOff; // nothing was used before the first one
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Whether something that is not exempt was delivered in it. */
  get delivered(): boolean {
    return this.#delivered;
  }

  /** Time has passed: `deltaMs` on the monotonic clock since the last call. */
  advance(deltaMs: number, calendar: CalendarTime | undefined, limit: number | undefined): void {
    this.#elapsedMs += deltaMs;
    if (!calendar) {
      if (this.#elapsedMs < this.#length.plainMs) return;
      this.#forget(1, limit);
      this.#elapsedMs %= this.#length.plainMs;
      this.#wasOff = false;
    } else if (calendar.startMs > this.#startMs || this.#elapsedMs >= this.#length.maxMs) {
      this.#begin(calendar, limit);
    } else if (this.#wasOff && calendar.startMs === this.#startMs) {
      this.#elapsedMs = Math.max(this.#elapsedMs, calendar.wallMs - calendar.startMs);
      this.#wasOff = false;
    }
  }

  add(bytes: number, delivered: boolean): void {
    this.#usedBytes += bytes;
    if (this.#wasOff) this.#usedSince += bytes;
    this.#delivered ||= delivered;
  }

  /** How long it still lasts at most. `nextStartMs`: when the calendar's period ends, if known. */
  remainingMs(nextStartMs: (after: number) => number, wallMs: number | undefined): number {
    if (wallMs === undefined) return Math.max(0, this.#length.plainMs - this.#elapsedMs);
    const endMs = nextStartMs(Math.max(wallMs, this.#startMs));
    return Math.max(0, Math.min(endMs - wallMs, this.#length.maxMs - this.#elapsedMs));
  }

  /** `leadBytes` are counted in advance, see `Governor.record`. */
  record(leadBytes: number): PeriodRecord {
    return {
      startMs: this.#startMs,
      usedBytes: this.#usedBytes + leadBytes,
      elapsedMs: Math.round(this.#elapsedMs),
      delivered: this.#delivered,
    };
  }

  #begin({ wallMs, startMs }: CalendarTime, limit: number | undefined): void {
    const { minMs } = this.#length;
    const intoMs = Math.max(0, wallMs - startMs);
    if (this.#wasOff) {
      this.#usedBytes = this.#usedSince;
      this.#delivered &&= this.#usedSince > 0;
      this.#elapsedMs = intoMs;
    } else {
      this.#forget(Math.min(1, this.#elapsedMs / minMs), limit);
      this.#elapsedMs = Math.min(intoMs, Math.max(0, this.#elapsedMs - minMs));
    }
    this.#startMs = startMs;
    this.#wasOff = false;
  }

  #forget(share: number, limit: number | undefined): void {
    if (share >= 1 || limit === undefined) {
      this.#usedBytes = 0;
      this.#delivered = false;
    } else this.#usedBytes = Math.max(0, this.#usedBytes - share * limit);
  }
}
