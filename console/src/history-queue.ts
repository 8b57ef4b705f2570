/**
 * Fetches the history of what is on screen: the newest wish first (that is where the user looks),
 * few at a time, because a browser has six connections to a hub and the stream holds one.
 */
export interface HistoryQueue {
  /** It came on screen: fetched once, unless it was fetched already. */
  show(key: string): void;
  /** It left the screen: a request that has not started is not made. */
  hide(key: string): void;
  /**
   * After a reconnection there are holes: what is on screen is fetched again, the rest when shown.
   */
  refetch(): void;
}

const RUNNING_MAX = 4;

export function historyQueue(fetchHistory: (key: string) => Promise<void>): HistoryQueue {
  const visible = new Set<string>();
  const fetched = new Set<string>();
  let waiting: string[] = [];
  let running = 0;

  function next(): void {
    while (running < RUNNING_MAX) {
      const key = waiting.pop();
      if (key === undefined) return;
      running++;
      fetched.add(key);
      // After a failure the chart fills from live values; it is tried again when it is shown again.
      fetchHistory(key)
        .catch(() => fetched.delete(key))
        .finally(() => {
          running--;
          next();
        });
    }
  }

  return {
    show(key) {
      visible.add(key);
      if (fetched.has(key) || waiting.includes(key)) return;
      waiting.push(key);
      next();
    },
    hide(key) {
      visible.delete(key);
      waiting = waiting.filter((other) => other !== key);
    },
    refetch() {
      fetched.clear();
      waiting = [...visible];
      next();
    },
  };
}
