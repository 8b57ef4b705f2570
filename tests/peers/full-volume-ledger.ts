import { sumOfLost } from '../../hub/core/lost-counts.ts';
import type { Status } from '../../hub/core/status.ts';

/**
 * What does not add up in the ledger that `/api/v1/status` shows, in words. Empty when all does.
 */
export function ledgerProblems({ log, sinks }: Status): string[] {
  const problems: string[] = [];
  for (const { lane, tail } of log.lanes) {
    let received = 0;
    for (const count of log.received) if (count.lane === lane) received += count.events;
    const refused = received - tail;
    const full = log.lost.find((loss) => loss.lane === lane && loss.reason === 'full');
    if (refused < 0 || refused > (full?.events ?? 0))
      problems.push(`${lane}: ${received} received, ${tail} accepted, ${full?.events ?? 0} lost`);
    for (const { id, lanes } of sinks) {
      const at = lanes.find((candidate) => candidate.lane === lane);
      if (!at) continue;
      const { start, settled, delivered, filtered, thinned, deadLettered, lost, queued } = at;
      const counted = delivered + filtered + thinned + deadLettered + sumOfLost(lost);
      if (settled !== counted)
        problems.push(`${id}, ${lane}: ${settled} settled, ${counted} counted`);
      if (start + settled + queued !== tail)
        problems.push(`${id}, ${lane}: ${start} + ${settled} + ${queued} is not ${tail}`);
    }
  }
  return problems;
}
