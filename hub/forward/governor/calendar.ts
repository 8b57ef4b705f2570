import { dayName, isOpenAt, type TimeWindow } from '../../core/time-window.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** A window on one day of the week can fall into the hour that a time change skips. */
const AHEAD_MAX_MS = 15 * DAY_MS;

/** A date and time of day as a number: what UTC would be if that were the local time. */
type LocalMs = number;

/** `[startMs, endMs)` */
interface Range {
  readonly startMs: number;
  readonly endMs: number;
}

const NO_RANGE: Range = { startMs: 0, endMs: 0 };

function isIn({ startMs, endMs }: Range, ms: number): boolean {
  return ms >= startMs && ms < endMs;
}

/**
 * Days, months and windows in one time zone. Times are ms since 1970. A day begins at the first
 * instant that has its date, also where a time change skips midnight.
 */
export class Calendar {
  readonly #format: Intl.DateTimeFormat;
  readonly #monthStartsOn: number;
  /** Offsets at both ends of the UTC day that was asked for last: equal on all but two a year. */
  #known = { dayMs: Number.NaN, startOffsetMs: 0, endOffsetMs: 0 };

  #day: Range = NO_RANGE;
  #month: Range = NO_RANGE;

  /** `timezone` is an IANA name; undefined: that of the machine. */
  constructor(timezone: string | undefined, monthStartsOn: number) {
    this.#monthStartsOn = monthStartsOn;
    this.#format = new Intl.DateTimeFormat('en-US', {
      ...(timezone === undefined ? {} : { timeZone: timezone }),
      calendar: 'gregory',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  }

  dayStart(ms: number): number {
    return this.#dayOf(ms).startMs;
  }

  nextDayStart(ms: number): number {
    return this.#dayOf(ms).endMs;
  }

  /** Of the billing month. */
  monthStart(ms: number): number {
    return this.#monthOf(ms).startMs;
  }

  nextMonthStart(ms: number): number {
    return this.#monthOf(ms).endMs;
  }

  isOpen(windows: readonly TimeWindow[], ms: number): boolean {
    if (windows.length === 0) return true;
    const local = ms + this.#offsetMs(ms);
    const weekday = new Date(local).getUTCDay();
    const minute = Math.floor((local - Math.floor(local / DAY_MS) * DAY_MS) / MINUTE_MS);
    return windows.some((window) => isOpenAt(window, weekday, minute));
  }

  /** When it is next otherwise than now; undefined when it never is. */
  nextChange(windows: readonly TimeWindow[], ms: number): number | undefined {
    const now = this.isOpen(windows, ms);
    const first = Math.floor(ms / MINUTE_MS) * MINUTE_MS + MINUTE_MS; // offsets are whole minutes
    for (let at = first; at < first + AHEAD_MAX_MS; at += MINUTE_MS) {
      if (this.isOpen(windows, at) !== now) return at;
    }
    return undefined;
  }

  /** `01:00`, `tue 01:00` or `1 Dec 00:00`: as much as it takes from `nowMs` on. */
  text(ms: number, nowMs: number): string {
    const date = new Date(ms + this.#offsetMs(ms));
    const time = date.toISOString().slice(11, 16);
    if (ms - nowMs < DAY_MS) return time;
    if (ms - nowMs < 6 * DAY_MS) return `${dayName(date.getUTCDay())} ${time}`;
    const day = date.toLocaleDateString('en-GB', {
      timeZone: 'UTC',
      day: 'numeric',
      month: 'short',
    });
    return `${day} ${time}`;
  }

  #dayOf(ms: number): Range {
    if (!isIn(this.#day, ms)) {
      const midnight = this.#midnight(ms);
      this.#day = {
        startMs: this.#instant(midnight),
        endMs: this.#instant(midnight + DAY_MS),
      };
    }
    return this.#day;
  }

  #monthOf(ms: number): Range {
    if (!isIn(this.#month, ms)) {
      const today = this.#midnight(ms);
      const date = new Date(today);
      const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
      const first = this.#monthDay(year, month) > today ? month - 1 : month;
      this.#month = {
        startMs: this.#instant(this.#monthDay(year, first)),
        endMs: this.#instant(this.#monthDay(year, first + 1)),
      };
    }
    return this.#month;
  }

  #midnight(ms: number): LocalMs {
    return Math.floor((ms + this.#offsetMs(ms)) / DAY_MS) * DAY_MS;
  }

  /** The day on which the billing month begins that begins in this one. */
  #monthDay(year: number, month: number): LocalMs {
    const lastDay = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
    return Date.UTC(year, month, Math.min(this.#monthStartsOn, lastDay));
  }

  /** The first instant at which the clocks show `local` or more. */
  #instant(local: LocalMs): number {
    const before = this.#exactOffsetMs(local - DAY_MS);
    const after = this.#exactOffsetMs(local + DAY_MS);
    for (const offset of [before, after]) {
      if (this.#exactOffsetMs(local - offset) === offset) return local - offset;
    }
    let [low, high] = [local - after, local - before]; // skipped: somewhere here the clocks change
    while (high - low > MINUTE_MS) {
      const middle = Math.floor((low + high) / 2 / MINUTE_MS) * MINUTE_MS;
      if (this.#exactOffsetMs(middle) === after) high = middle;
      else low = middle;
    }
    return high;
  }

  #offsetMs(ms: number): number {
    const dayMs = Math.floor(ms / DAY_MS) * DAY_MS;
    if (this.#known.dayMs !== dayMs) {
      const [startOffsetMs, endOffsetMs] = [dayMs, dayMs + DAY_MS].map((at) =>
        this.#exactOffsetMs(at),
      );
      this.#known = { dayMs, startOffsetMs: startOffsetMs ?? 0, endOffsetMs: endOffsetMs ?? 0 };
    }
    const { startOffsetMs, endOffsetMs } = this.#known;
    return startOffsetMs === endOffsetMs ? startOffsetMs : this.#exactOffsetMs(ms);
  }

  /** Minutes east of UTC at that instant, in ms. */
  #exactOffsetMs(ms: number): number {
    const part = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0 };
    for (const { type, value } of this.#format.formatToParts(ms)) {
      if (type in part) Object.assign(part, { [type]: Number(value) });
    }
    const { year, month, day, hour, minute, second } = part;
    return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(ms / 1000) * 1000;
  }
}
