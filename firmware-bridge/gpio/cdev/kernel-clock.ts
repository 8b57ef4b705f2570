import type { Clock } from '../../../hub/core/clock.ts';

/** Two clocks are compared so often: some µs in all, and one look takes less than one. */
const CLOCK_LOOKS = 5;

/**
 * What to add to a time of the kernel's monotonic clock. Of several looks the one that nothing came
 * between: after a pause of ms in it, edges that a count has in it would seem later than the count.
 */
export function distanceFromKernelMs(clock: Clock): number {
  let distanceMs = 0;
  let shortestNs = Number.POSITIVE_INFINITY;
  for (let look = 0; look < CLOCK_LOOKS; look++) {
    const beforeNs = process.hrtime.bigint();
    const nowMs = clock.monotonicMs();
    const tookNs = Number(process.hrtime.bigint() - beforeNs);
    if (tookNs >= shortestNs) continue;
    shortestNs = tookNs;
    distanceMs = nowMs - (Number(beforeNs) + tookNs / 2) / 1e6;
  }
  return distanceMs;
}
