import type { BudgetUse, GovernorStatus, SinkStatus } from '../../hub/core/status.ts';
import { formatBytes, formatClock, formatShare } from './format.ts';

/** From here on a person should know that a budget comes to its end. */
const NEARLY_USED_SHARE = 0.8;

/** One bar: what was sent of what may be. */
export interface BudgetBar {
  readonly name: 'day' | 'month';
  /** 0 to 1. */
  readonly share: number;
  readonly tone: 'good' | 'warn';
  readonly text: string;
}

function barOf(name: BudgetBar['name'], use: BudgetUse, nowMs: number): BudgetBar[] {
  const { usedBytes, limitBytes, resetsAtMs } = use;
  if (limitBytes === null) return [];
  const share = Math.min(1, usedBytes / limitBytes);
  const amounts = `${formatBytes(usedBytes)} of ${formatBytes(limitBytes)} a ${name}`;
  const until = `until ${formatClock(resetsAtMs, nowMs)}`;
  const tone = share < NEARLY_USED_SHARE ? 'good' : 'warn';
  return [{ name, share, tone, text: `${amounts} (${formatShare(share)}), ${until}` }];
}

/** A bar for each budget that counts now. */
export function budgetBars({ day, month }: GovernorStatus, nowMs: number): BudgetBar[] {
  return [...barOf('day', day, nowMs), ...barOf('month', month, nowMs)];
}

/** `wwan0, limits of wwan*; window 01:00-05:00 open`: what else there is to say; may be empty. */
export function budgetNotes(governor: GovernorStatus): string {
  const { profile, interface: name, unlimited, window } = governor;
  const notes: string[] = [];
  if (name !== null) notes.push(unlimited ? `${name}: no limits` : `${name}: limits of ${profile}`);
  if (window) notes.push(`window ${window.text} is ${window.open ? 'open' : 'closed'}`);
  return notes.join(', ');
}

/** What is held back longest, for people; undefined when nothing is. A rate is no news. */
export function heldDetail({ governor }: Pick<SinkStatus, 'governor'>): string | undefined {
  const held = (governor?.held ?? []).filter(({ reason }) => reason !== 'rate');
  const [longest] = [...held].sort((a, b) => b.untilMs - a.untilMs);
  return longest?.detail;
}
