import { HubError } from '../core/errors.ts';
import { isoToMs } from '../core/iso-time.ts';

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
export const TIME_FORMS =
  '2026-11-20T02:00:00Z, "2026-11-20 02:00" (UTC), ms since 1970, -26h, -1d12h, or now';

/**
 * A time as people type it, in ms since 1970. Relative ones count from `nowMs`. Errors: USAGE, with
 * `option` in the message.
 */
export function timeArgument(option: string, text: string, nowMs: number): number {
  const trimmed = text.trim();
  const ms = relativeMs(trimmed, nowMs) ?? absoluteMs(trimmed);
  if (ms !== undefined) return ms;
  const shown = text.slice(0, 64);
  throw new HubError('USAGE', `${option} ${shown} is no time; expected for example ${TIME_FORMS}`);
}

function absoluteMs(text: string): number | undefined {
  return /^\d{11,15}$/.test(text) ? Number(text) : isoToMs(text);
}

function relativeMs(text: string, nowMs: number): number | undefined {
  if (text === 'now') return nowMs;
  if (!/^-(\d{1,9}[smhdw])+$/.test(text)) return undefined;
  let ms = nowMs;
  for (const [, count, unit = ''] of text.matchAll(/(\d+)([smhdw])/g)) {
    ms -= Number(count) * (UNIT_MS[unit] ?? 0);
  }
  return ms;
}
