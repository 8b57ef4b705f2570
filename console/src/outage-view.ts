import type { Outage } from '../../hub/core/status.ts';
import { formatClock, formatCount, formatDuration, formatExact } from './format.ts';

/** How far back a bar of outages reaches. */
export const OUTAGE_WINDOWS = [
  { name: '24 h', windowMs: 86_400_000 },
  { name: '7 d', windowMs: 7 * 86_400_000 },
] as const;

/** In percent of the bar: less would be no pixel of a narrow one. */
const MARK_WIDTH_MIN = 0.6;

/** One outage in a bar, in percent of its width. */
export interface OutageMark {
  readonly id: number;
  readonly left: number;
  readonly width: number;
}

const endOf = ({ startedMs, lengthMs, endedMs }: Outage, nowMs: number): number =>
  endedMs ?? Math.max(nowMs, startedMs + lengthMs);

export function outagesIn(outages: readonly Outage[], nowMs: number, windowMs: number): Outage[] {
  return outages.filter((outage) => endOf(outage, nowMs) > nowMs - windowMs);
}

/** Where outages are in a bar that ends now. */
export function marksOf(outages: readonly Outage[], nowMs: number, windowMs: number): OutageMark[] {
  const fromMs = nowMs - windowMs;
  const percent = (ms: number) => (Math.min(Math.max(ms - fromMs, 0), windowMs) / windowMs) * 100;
  return outagesIn(outages, nowMs, windowMs).map((outage) => {
    const left = percent(outage.startedMs);
    const width = Math.max(MARK_WIDTH_MIN, percent(endOf(outage, nowMs)) - left);
    return { id: outage.id, left: Math.min(left, 100 - width), width };
  });
}

/** The bar in words: `2 outages in 24 h, down for 41 min`. */
export function summaryOf(
  outages: readonly Outage[],
  nowMs: number,
  { name, windowMs }: { readonly name: string; readonly windowMs: number },
): string {
  const found = outagesIn(outages, nowMs, windowMs);
  if (found.length === 0) return `No outage in ${name}`;
  const fromMs = nowMs - windowMs;
  const downMs = found.reduce(
    (sum, outage) => sum + endOf(outage, nowMs) - Math.max(fromMs, outage.startedMs),
    0,
  );
  const count = found.length === 1 ? '1 outage' : `${formatExact(found.length)} outages`;
  return `${count} in ${name}, down for ${formatDuration(downMs)}`;
}

/** One line of the list: when, how long, what had gathered, how fast it was gone. */
export function lineOf(outage: Outage, nowMs: number): string {
  const { startedMs, endedMs, lengthMs, interruptions, backlogAtEnd, drainedAfterMs } = outage;
  const parts = [
    endedMs === null
      ? `since ${formatClock(startedMs, nowMs)}`
      : `${formatClock(startedMs, nowMs)}, ${formatDuration(lengthMs)}`,
  ];
  if (interruptions > 1) parts.push(`${formatExact(interruptions)} interruptions`);
  if (backlogAtEnd !== null) parts.push(`${formatCount(backlogAtEnd)} events waited`);
  if (drainedAfterMs !== null) parts.push(`drained in ${formatDuration(drainedAfterMs)}`);
  if (outage.reboots > 0) parts.push('over a reboot');
  else if (outage.hubStarts > 0) parts.push('over a restart of the hub');
  return parts.join(' · ');
}
