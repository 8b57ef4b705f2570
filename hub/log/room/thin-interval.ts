import type { HubEvent } from '../../core/event.ts';

/** Shorter ones hardly help: most sensors of this kind report once in some seconds. */
export const INTERVAL_MIN_MS = 10_000;
/** Longer ones say nothing any more about days and nights. */
export const INTERVAL_MAX_MS = 86_400_000;

/** Where and when each event belongs, in a form that can be counted for many intervals. */
export class Timeline {
  readonly #topics: Uint32Array;
  readonly #timesMs: Float64Array;
  readonly #topicCount: number;

  constructor(events: readonly HubEvent[]) {
    const ids = new Map<string, number>();
    this.#topics = new Uint32Array(events.length);
    this.#timesMs = new Float64Array(events.length);
    for (const [index, { topic, receivedMs }] of events.entries()) {
      const id = ids.get(topic) ?? ids.size;
      ids.set(topic, id);
      this.#topics[index] = id;
      this.#timesMs[index] = receivedMs;
    }
    this.#topicCount = ids.size;
  }

  /**
   * The shortest interval, `intervalMs` or a doubling of it, at which no more than `recordsMax`
   * aggregates would be left; undefined when there is none.
   */
  intervalFor(intervalMs: number, recordsMax: number): number | undefined {
    if (this.#topicCount > recordsMax) return undefined;
    for (let longer = intervalMs; ; longer *= 2) {
      const tried = Math.min(longer, INTERVAL_MAX_MS);
      if (this.#records(tried) <= recordsMax) return tried;
      if (tried === INTERVAL_MAX_MS) return undefined;
    }
  }

  /** Times ascend, so an interval of a topic is over when another one of it begins. */
  #records(intervalMs: number): number {
    const current = new Float64Array(this.#topicCount).fill(Number.NaN);
    let records = 0;
    for (const [index, topic] of this.#topics.entries()) {
      const interval = Math.floor((this.#timesMs[index] ?? 0) / intervalMs);
      if (current[topic] === interval) continue;
      current[topic] = interval;
      records++;
    }
    return records;
  }
}
