/**
 * ISO 8601 to ms, by hand: `Date.parse` also takes "Tue 3" and reads a time without a zone as
 * local,
 * and a gateway has no business in knowing where it stands.
 */

const ZERO = 48;
const NINE = 57;

/** The `count` digits of `text` at `at` as a number, or -1. */
function digits(text: string, at: number, count: number): number {
  let value = 0;
  for (let i = at; i < at + count; i++) {
    const code = text.charCodeAt(i); // NaN past the end, which fails both comparisons below
    if (!(code >= ZERO && code <= NINE)) return -1;
    value = value * 10 + (code - ZERO);
  }
  return value;
}

/** Minutes east of UTC of the zone that fills `text` from `at` on; none at all is UTC. */
function zoneMinutes(text: string, at: number): number | undefined {
  const zone = text[at];
  if (zone === undefined) return 0;
  if (zone === 'Z' || zone === 'z') return text.length === at + 1 ? 0 : undefined;
  if (zone !== '+' && zone !== '-') return undefined;
  const hours = digits(text, at + 1, 2);
  const rest = text.length - at - 3;
  const colon = text[at + 3] === ':' ? 1 : 0;
  const minutes = rest === 0 ? 0 : rest === 2 + colon ? digits(text, at + 3 + colon, 2) : -1;
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return undefined;
  return (zone === '-' ? -1 : 1) * (hours * 60 + minutes);
}

/** The time of day that starts at `at`: its ms, and where it ends. */
function timeOfDay(text: string, at: number): { ms: number; end: number } | undefined {
  const hours = digits(text, at, 2);
  const minutes = text[at + 2] === ':' ? digits(text, at + 3, 2) : -1;
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return undefined;
  let ms = (hours * 60 + minutes) * 60_000;
  let end = at + 5;
  if (text[end] === ':') {
    const seconds = digits(text, end + 1, 2);
    if (seconds < 0 || seconds > 60) return undefined; // 60: a leap second
    ms += seconds * 1000;
    end += 3;
    if (text[end] === '.' || text[end] === ',') {
      const start = end + 1;
      end = start;
      for (let scale = 100; digits(text, end, 1) >= 0; end++, scale /= 10)
        ms += digits(text, end, 1) * scale;
      if (end === start) return undefined;
    }
  }
  return { ms, end };
}

/**
 * `2026-03-01T12:00:00Z`, with any fraction, zone (`Z`, `+02:00`, `+0200`, `+02`; none is UTC), a
 * blank in place of the `T`, or the date alone → ms since 1970, in whole ms. Undefined for
 * anything else.
 */
export function isoToMs(text: string): number | undefined {
  if (text.length > 40) return undefined; // 40: nanoseconds and a zone are 35
  const year = digits(text, 0, 4);
  const month = text[4] === '-' ? digits(text, 5, 2) : -1;
  const day = text[7] === '-' ? digits(text, 8, 2) : -1;
  if (year < 0 || month < 1 || month > 12 || day < 1) return undefined;
  // Four-digit years below 100 are the 20th century to Date.UTC, and none of ours.
  const dateMs = Date.UTC(year, month - 1, day);
  if (new Date(dateMs).getUTCDate() !== day) return undefined; // 30 February
  if (text.length === 10) return dateMs;
  const separator = text[10];
  if (separator !== 'T' && separator !== 't' && separator !== ' ') return undefined;
  const time = timeOfDay(text, 11);
  if (time === undefined) return undefined;
  const zone = zoneMinutes(text, time.end);
  return zone === undefined ? undefined : Math.floor(dateMs + time.ms - zone * 60_000);
}
