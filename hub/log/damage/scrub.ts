import { setTimeout as delay } from 'node:timers/promises';
import type { LaneState } from '../lane-state.ts';
import type { LogReader } from '../read/reader.ts';

/** Looked at in one go: some milliseconds, so that nobody waits for it. */
const STEP_BYTES = 1024 * 1024;
/** It works a quarter of the time at most: readers and writers come first. */
const REST_SHARE = 3;
const REST_MS_MIN = 2;

/**
 * Looks at every block once after the start, so that damage is known before somebody needs what is
 * damaged, and also where nobody reads any more. Goes from the head of each lane to where the lane
 * ended at the start. Ends early when `signal` aborts.
 */
export async function scrub(
  lanes: readonly LaneState[],
  reader: LogReader,
  signal: AbortSignal,
): Promise<void> {
  for (const state of lanes) {
    const end = state.tail;
    for (let next = state.head; next < end; ) {
      if (signal.aborted) return;
      const startedMs = performance.now();
      next = Math.max(next + 1, await reader.check(state, next, end, STEP_BYTES));
      const restMs = (performance.now() - startedMs) * REST_SHARE;
      if (next < end) {
        await delay(Math.max(REST_MS_MIN, restMs), undefined, { signal, ref: false }).catch(
          () => undefined, // aborted: seen above
        );
      }
    }
  }
}
