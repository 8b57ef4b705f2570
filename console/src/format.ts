/** Numbers, sizes and times as people read them. Pure; a no-break space joins number and unit. */

/** Shown where there is no number. */
export const NONE = '–';
const SPACE = '\u00a0';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const YEAR_MS = 365 * DAY_MS;

const plain = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

function significant(value: number): string {
  if (value >= 100) return plain.format(value);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Two units at most: `3 s`, `2 min 5 s`, `5 h 12 min`, `12 d 3 h`, `2.1 years`. */
export function formatDuration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return NONE;
  const rest = Math.max(0, ms);
  if (rest < SECOND_MS) return rest === 0 ? `0${SPACE}s` : `<${SPACE}1${SPACE}s`;
  if (rest < MINUTE_MS) return `${Math.floor(rest / SECOND_MS)}${SPACE}s`;
  if (rest >= 2 * YEAR_MS) return `${(rest / YEAR_MS).toFixed(1)}${SPACE}years`;
  const [unitMs, unit, partMs, part] =
    rest < HOUR_MS
      ? ([MINUTE_MS, 'min', SECOND_MS, 's'] as const)
      : rest < 2 * DAY_MS
        ? ([HOUR_MS, 'h', MINUTE_MS, 'min'] as const)
        : ([DAY_MS, 'd', HOUR_MS, 'h'] as const);
  const whole = Math.floor(rest / unitMs);
  const remainder = Math.floor((rest - whole * unitMs) / partMs);
  const first = `${whole}${SPACE}${unit}`;
  // Beyond ten of the larger unit the smaller one is noise.
  return remainder === 0 || whole >= 30 ? first : `${first}${SPACE}${remainder}${SPACE}${part}`;
}

const clockTime = new Intl.DateTimeFormat('en-GB', { timeStyle: 'short' });
const clockDay = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

/** When it was, on the clock of whoever reads it: `14:02`, `3 Mar 14:02` on another day. */
export function formatClock(timeMs: number, nowMs: number): string {
  const day = clockDay.format(timeMs);
  const time = clockTime.format(timeMs);
  return day === clockDay.format(nowMs) ? time : `${day} ${time}`;
}

/** One unit: `now`, `3 s`, `2 min`, `5 h`, `12 d`. */
export function formatAge(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return NONE;
  const age = Math.max(0, ms);
  if (age < 1.5 * SECOND_MS) return 'now';
  if (age < MINUTE_MS) return `${Math.floor(age / SECOND_MS)}${SPACE}s`;
  if (age < HOUR_MS) return `${Math.floor(age / MINUTE_MS)}${SPACE}min`;
  if (age < 2 * DAY_MS) return `${Math.floor(age / HOUR_MS)}${SPACE}h`;
  if (age < 2 * YEAR_MS) return `${Math.floor(age / DAY_MS)}${SPACE}d`;
  return `${(age / YEAR_MS).toFixed(1)}${SPACE}years`;
}

/** Binary units, as the configuration has them: `412 MiB`, `1.95 GiB`. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes);
  if (value < 1024) return `${plain.format(value)}${SPACE}B`;
  let unit = 'B';
  for (const next of ['KiB', 'MiB', 'GiB', 'TiB', 'PiB']) {
    if (value < 1000) break; // 1000, not 1024: four digits never fit better than `0.98 GiB`
    value /= 1024;
    unit = next;
  }
  return `${significant(value)}${SPACE}${unit}`;
}

/** SI prefixes from ten thousand on: `9,999`, `12.3 k`, `1.24 M`. */
export function formatCount(count: number): string {
  if (Math.abs(count) < 10_000) return plain.format(count);
  let value = Math.abs(count);
  let prefix = '';
  for (const next of ['k', 'M', 'G', 'T']) {
    if (value < 999.5) break;
    value /= 1000;
    prefix = next;
  }
  return `${count < 0 ? '-' : ''}${significant(value)}${SPACE}${prefix}`;
}

/** All digits: for numbers that must be believed, such as losses. */
export function formatExact(count: number): string {
  return plain.format(count);
}

/** Events per second, without the unit: `0`, `< 0.1`, `3.4`, `84`, `12.3 k`. */
export function formatRate(perSecond: number): string {
  if (!Number.isFinite(perSecond) || perSecond <= 0) return '0';
  if (perSecond < 0.1) return `<${SPACE}0.1`;
  if (perSecond < 10) return perSecond.toFixed(1).replace(/\.0$/, '');
  return formatCount(Math.round(perSecond));
}

/** `0 %`, `< 0.1 %`, `4.2 %`, `87 %`. */
export function formatShare(share: number): string {
  const percent = Math.min(100, Math.max(0, share * 100));
  if (percent === 0) return `0${SPACE}%`;
  if (percent < 0.1) return `<${SPACE}0.1${SPACE}%`;
  return `${percent < 10 ? percent.toFixed(1) : percent.toFixed(0)}${SPACE}%`;
}

/** Digits after the point that are worth reading at this size. */
function decimalsWorth(size: number): number {
  if (size >= 10_000) return 0;
  if (size >= 100) return 1;
  return size >= 1 ? 2 : 3;
}

/** Digits after the point that a number needs, as far as they are worth reading. */
export function decimalsOf(value: number): number {
  if (!Number.isFinite(value)) return 0;
  const [, fraction = ''] = value.toFixed(decimalsWorth(Math.abs(value))).split('.');
  return fraction.replace(/0+$/, '').length;
}

/** A value of a metric. `decimals` keeps the width of a live number steady. */
export function formatValue(value: number | string | boolean, decimals?: number): string {
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'string') return value === '' ? '""' : value;
  if (!Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e9)) return value.toExponential(2);
  const digits = Math.min(decimals ?? decimalsOf(value), decimalsWorth(size));
  return value.toLocaleString('en', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

const UNIT_SYMBOLS: Readonly<Record<string, string>> = {
  celsius: '°C',
  fahrenheit: '°F',
  kelvin: 'K',
  percent: '%',
  volt: 'V',
  ampere: 'A',
  watt: 'W',
  pascal: 'Pa',
  hectopascal: 'hPa',
  lux: 'lx',
  seconds: 's',
};

/** The sign of a unit that was configured by its name. */
export function formatUnit(unit: string | undefined): string {
  if (unit === undefined) return '';
  return UNIT_SYMBOLS[unit.toLowerCase()] ?? unit;
}

export const BYTES = 'B';

/** A number and its unit as they are read side by side: 81 GB are no `8.14e+10 B`. */
export function formatMeasured(
  value: number,
  unit: string | undefined,
  decimals?: number,
): { readonly text: string; readonly unit: string } {
  if (unit !== BYTES || value < 0)
    return { text: formatValue(value, decimals), unit: formatUnit(unit) };
  const [text = '', prefixed = BYTES] = formatBytes(value).split(SPACE);
  return { text, unit: prefixed };
}
