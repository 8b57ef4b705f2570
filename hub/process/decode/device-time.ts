import type { ArrivalQuality } from '../../core/event.ts';
import { isoToMs } from '../../core/iso-time.ts';
import { parseDecimal } from './number-text.ts';
import type { TimeUnit } from './rule.ts';

/** Before 2015 no such device ran: it is a clock that started at its zero. */
const BELIEVED_FROM_MS = Date.UTC(2015, 0, 1);
/** A day: a device set to another time zone is believed, one a year ahead is not. */
const BELIEVED_AHEAD_MS = 86_400_000;
/**
 * While our own clock is not known to be right it can be years behind, by as much as a card has
 * lain in a drawer. A device is then believed up to ten years ahead: beyond that are the ends of
 * counters (2036, 2038) and GPS weeks that rolled over.
 */
const BELIEVED_AHEAD_OF_ESTIMATE_MS = 3_650 * 86_400_000;

/** From here on a number is no longer s, ms or us: 1e11 s is the year 5138, 1e11 ms is 1973. */
const SECONDS_BELOW = 1e11;
const MILLISECONDS_BELOW = 1e14;
const MICROSECONDS_BELOW = 1e17;

function numberToMs(value: number, unit: TimeUnit): number | undefined {
  switch (unit) {
    case 's':
      return value * 1000;
    case 'ms':
      return value;
    case 'us':
      return value / 1000;
    case 'iso':
      return undefined;
    case 'auto':
      if (value < SECONDS_BELOW) return value * 1000;
      if (value < MILLISECONDS_BELOW) return value;
      return value < MICROSECONDS_BELOW ? value / 1000 : value / 1e6;
  }
}

/**
 * A device's own time in whole ms since 1970, when it says one that can be believed for an event
 * that arrived at `receivedMs`, a time of this `quality`; else undefined.
 */
export function deviceTimeMs(
  value: unknown,
  unit: TimeUnit,
  receivedMs: number,
  quality: ArrivalQuality,
): number | undefined {
  let ms: number | undefined;
  if (typeof value === 'number') ms = numberToMs(value, unit);
  else if (typeof value === 'string') {
    const number = unit === 'iso' ? undefined : parseDecimal(value);
    ms = number === undefined ? isoToMs(value) : numberToMs(number, unit);
  }
  const aheadMs = quality === 'estimated' ? BELIEVED_AHEAD_OF_ESTIMATE_MS : BELIEVED_AHEAD_MS;
  if (ms === undefined || !(ms >= BELIEVED_FROM_MS && ms <= receivedMs + aheadMs)) return undefined;
  return Math.round(ms);
}
