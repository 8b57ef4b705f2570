import assert from 'node:assert/strict';
import { LANES } from '../../hub/core/event.ts';
import { sumOfLost } from '../../hub/core/lost-counts.ts';
import type { SinkLaneStatus, Status } from '../../hub/core/status.ts';

type Books = Pick<Status, 'log' | 'sinks'>;

/**
 * What does not add up in the books of a hub, in words; empty when all does:
 *
 *   per lane           received of all sources = tail + refused
 *   per sink and lane  tail = start + settled + queued
 *                      settled = delivered + filtered + thinned + dead-lettered + lost
 *
 * With sinks whose cursors may have been taken back (a confirm window), only while they rest.
 */
export function ledgerProblems({ log, sinks }: Books): string[] {
  const problems: string[] = [];
  for (const lane of LANES) {
    const { tail, refused } = log.lanes.find((status) => status.lane === lane) ?? {};
    if (tail === undefined || refused === undefined) {
      problems.push(`there is no lane ${lane}`);
      continue;
    }
    const received = log.received
      .filter((count) => count.lane === lane)
      .reduce((sum, { events }) => sum + events, 0);
    if (received !== tail + refused)
      problems.push(`${lane}: ${received} received, ${tail} in the log + ${refused} refused`);
    const lost = log.lost.find((loss) => loss.lane === lane && loss.reason === 'full')?.events ?? 0;
    if (refused > lost) problems.push(`${lane}: ${refused} refused, ${lost} reported as full`);
    for (const { id, lanes } of sinks) {
      const status = lanes.find((candidate) => candidate.lane === lane);
      if (status) problems.push(...laneProblems(status, tail).map((text) => `${id}, ${text}`));
      else problems.push(`${id} has no lane ${lane}`);
    }
  }
  return problems;
}

function laneProblems(status: SinkLaneStatus, tail: number): string[] {
  const { lane, start, settled, delivered, filtered, thinned, deadLettered, queued } = status;
  const lost = sumOfLost(status.lost);
  const problems: string[] = [];
  if (tail !== start + settled + queued)
    problems.push(`${lane}: tail ${tail}, start ${start} + settled ${settled} + queued ${queued}`);
  if (settled !== delivered + filtered + thinned + deadLettered + lost) {
    const parts = { delivered, filtered, thinned, deadLettered, lost };
    problems.push(`${lane}: settled ${settled}, of it ${JSON.stringify(parts)}`);
  }
  const counts = [start, settled, delivered, filtered, thinned, deadLettered, lost, queued];
  if (counts.some((count) => !Number.isSafeInteger(count) || count < 0))
    problems.push(`${lane}: a count that is none: ${counts.join(', ')}`);
  return problems;
}

/** Fails when the books of a hub do not add up. For the end of every test that does it harm. */
export function assertLedger(status: Books): void {
  assert.deepEqual(ledgerProblems(status), []);
}
