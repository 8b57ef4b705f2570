import { LOSS_REASONS, type LossReason } from './event.ts';

/** Events that were given up, by reason. Reasons that have not occurred are absent. */
export type LostCounts = Readonly<Partial<Record<LossReason, number>>>;

export function addLost(counts: LostCounts, more: LostCounts): LostCounts {
  const sum: Partial<Record<LossReason, number>> = { ...counts };
  for (const reason of LOSS_REASONS) {
    const events = (counts[reason] ?? 0) + (more[reason] ?? 0);
    if (events > 0) sum[reason] = events;
  }
  return sum;
}

export function sumOfLost(counts: LostCounts): number {
  return LOSS_REASONS.reduce((sum, reason) => sum + (counts[reason] ?? 0), 0);
}
