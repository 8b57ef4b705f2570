/**
 * What the hub's clock shows, told from this machine's monotonic clock: the wall clock of a phone
 * or a laptop may be minutes off, and ages must not jump when it is set.
 *
 * The offset (hub's wall clock minus local monotonic clock) lies in `[low, high]`:
 * - a `date` header was true, cut to the second, between asking and the answer;
 * - an event that has arrived was received by the hub before now.
 * Observations that contradict the bounds mean that a clock was set: the newest one wins.
 */
export interface ServerClock {
  observeDate(dateMs: number, askedMs: number, answeredMs: number): void;
  observeEvent(receivedMs: number, localMs: number): void;
  /** The hub's wall clock at the local monotonic time `localMs`, in ms since 1970. */
  nowMs(localMs: number): number;
}

/** The header is cut to the second and, in Node, cached a little beyond its end. */
const DATE_SLACK_MS = 1_200;

export function serverClock(): ServerClock {
  let low = Number.NEGATIVE_INFINITY;
  let high = Number.POSITIVE_INFINITY;

  return {
    observeDate(dateMs, askedMs, answeredMs) {
      const lowest = dateMs - answeredMs;
      const highest = dateMs + DATE_SLACK_MS - askedMs;
      if (lowest > high || highest < low) {
        low = lowest;
        high = highest;
        return;
      }
      low = Math.max(low, lowest);
      high = Math.min(high, highest);
    },
    observeEvent(receivedMs, localMs) {
      const lowest = receivedMs - localMs;
      if (lowest <= low) return;
      low = lowest;
      if (low > high) high = Number.POSITIVE_INFINITY;
    },
    nowMs(localMs) {
      if (low === Number.NEGATIVE_INFINITY) return Date.now();
      return localMs + (high === Number.POSITIVE_INFINITY ? low : (low + high) / 2);
    },
  };
}
