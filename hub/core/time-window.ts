/** A part of the day, on some days of the week, by the clock on the wall. */
export interface TimeWindow {
  /** As it was written: `mon-fri 01:00-05:00`. */
  readonly text: string;
  /** Days on which it begins; 0 is Sunday. */
  readonly days: ReadonlySet<number>;
  /** Minutes since midnight. It ends before `toMinute`, on the next day when that is not later. */
  readonly fromMinute: number;
  readonly toMinute: number;
}

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
const EVERY_DAY: ReadonlySet<number> = new Set(DAYS.keys());
const FORM = /^(?:([a-z,-]+) +)?(\d{2}):(\d{2}) ?- ?(\d{2}):(\d{2})$/;
const DAY_MINUTES = 24 * 60;

/** Reads `01:00-05:00`, `22:00-06:00`, `mon-fri 01:00-05:00`, `sat,sun 00:00-24:00`. */
export function parseTimeWindow(text: string): TimeWindow | { readonly problem: string } {
  const match = FORM.exec(text.trim().toLowerCase());
  if (!match) return { problem: 'is not a window such as `01:00-05:00` or `mon-fri 22:00-06:00`' };
  const [, dayText, ...digits] = match;
  const [fromHour = 0, fromPart = 0, toHour = 0, toPart = 0] = digits.map(Number);
  const [fromMinute, toMinute] = [fromHour * 60 + fromPart, toHour * 60 + toPart];
  if (fromPart > 59 || toPart > 59 || fromMinute >= DAY_MINUTES || toMinute > DAY_MINUTES)
    return {
      problem: 'has a time that no clock shows; hours go from 00 to 23, or `24:00` at the end',
    };
  if (fromMinute === toMinute)
    return { problem: 'ends when it begins; `00:00-24:00` is the whole day' };
  const days = dayText === undefined ? EVERY_DAY : daysOf(dayText);
  if (!days) return { problem: `names days other than ${DAYS.join(', ')} or ranges of them` };
  return { text: text.trim(), days, fromMinute, toMinute };
}

function daysOf(text: string): ReadonlySet<number> | undefined {
  const days = new Set<number>();
  for (const part of text.split(',')) {
    const [first, last, ...rest] = part.split('-').map((name) => dayNumber(name));
    const end = part.includes('-') ? last : first;
    if (first === undefined || end === undefined || rest.length > 0) return undefined;
    for (let day = first; ; day = (day + 1) % DAYS.length) {
      days.add(day);
      if (day === end) break;
    }
  }
  return days;
}

function dayNumber(name: string): number | undefined {
  for (const [number, day] of DAYS.entries()) if (day === name) return number;
  return undefined;
}

/** The short English name of a day; 0 is Sunday. */
export function dayName(weekday: number): string {
  return DAYS[weekday] ?? '';
}

/** Whether the window is open at `minute` of a day. */
export function isOpenAt(window: TimeWindow, weekday: number, minute: number): boolean {
  const { days, fromMinute, toMinute } = window;
  if (fromMinute < toMinute) return days.has(weekday) && minute >= fromMinute && minute < toMinute;
  if (minute >= fromMinute) return days.has(weekday);
  return minute < toMinute && days.has((weekday + 6) % DAYS.length);
}
