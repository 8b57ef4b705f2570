/** One event as it came to a far side. */
export interface FarEvent {
  /** The id on the wire: `<hub>.<log>.<lane>.<offset>`. */
  readonly id: string;
  readonly lane: string;
  readonly offset: number;
  /** Whose events have to keep their order. */
  readonly device: string;
  /** Whether it came as a part of the backlog, beside what is live. */
  readonly backfill: boolean;
}

interface Entry {
  processed: number;
  /** When the hub was told that it has been processed; undefined while it may not know. */
  toldMs: number | undefined;
}

/** A hub was killed. */
export interface Kill {
  /** When the signal was sent, and when the process was gone. */
  readonly beginMs: number;
  readonly endMs: number;
  /** What was told within this time before it may come again. Default: SETTLED_WITHIN_MS. */
  readonly withinMs?: number;
  /**
   * Whether the hub had settled an event so long before that it must have been written; undefined
   * where that is not known. What is told is settled together with what it was sent with, which may
   * take longer.
   */
  isSettled?(lane: string, offset: number): boolean | undefined;
}

/** What was processed at once. Handed back when the hub has been told. */
export type Processed = readonly Entry[];

/**
 * A hub writes what it has settled with the next commit, or at the latest after a second; the rest
 * is for a busy machine. Only what it was told within this time before a kill may come again.
 */
export const SETTLED_WITHIN_MS = 3_000;
/** A broken hub breaks the rules for every event; the first ones tell why. */
const PROBLEMS_MAX = 20;

/**
 * The book of a far side: which event was processed how often, and whether the hub was told so. An
 * event may come again only when the hub was not told, or was killed before it could settle; the
 * events of a device must come in order within a lane.
 */
export class ChaosBook {
  /** Rules that were broken, in words. */
  readonly problems: string[] = [];
  /** Events that came again, as they may. */
  duplicates = 0;
  readonly #entries = new Map<string, Entry>();
  readonly #highest = new Map<string, number>();
  readonly #kills: Kill[] = [];

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  /** Different events that were processed, of all lanes or of one. */
  count(lane?: string): number {
    if (lane === undefined) return this.#entries.size;
    let count = 0;
    for (const id of this.#entries.keys()) if (id.includes(`.${lane}.`)) count++;
    return count;
  }

  process(events: readonly FarEvent[]): Processed {
    return events.map((event) => {
      const entry = this.#entries.get(event.id);
      if (entry) return this.#again(event, entry);
      this.#noteOrder(event);
      const first = { processed: 1, toldMs: undefined };
      this.#entries.set(event.id, first);
      return first;
    });
  }

  /** The hub knows now. Only when it does for certain. */
  told(processed: Processed, nowMs: number): void {
    for (const entry of processed) entry.toldMs = nowMs;
  }

  killed(kill: Kill): void {
    this.#kills.push(kill);
  }

  #again({ id, lane, offset }: FarEvent, entry: Entry): Entry {
    const { toldMs } = entry;
    entry.processed++;
    entry.toldMs = undefined;
    this.duplicates++;
    const forgotten = ({ beginMs, endMs, isSettled, withinMs = SETTLED_WITHIN_MS }: Kill) => {
      if (toldMs === undefined || toldMs > endMs) return false;
      const settled = isSettled?.(lane, offset);
      return settled === undefined ? toldMs >= beginMs - withinMs : !settled;
    };
    if (toldMs !== undefined && !this.#kills.some(forgotten))
      this.#problem(`${id} came again (${entry.processed}) although the hub had been told`);
    return entry;
  }

  #noteOrder({ id, lane, offset, device, backfill }: FarEvent): void {
    const row = `${lane} ${device} ${backfill}`;
    const highest = this.#highest.get(row) ?? -1;
    if (offset < highest) this.#problem(`${id} of ${device} came after ${highest}`);
    else this.#highest.set(row, offset);
  }

  #problem(what: string): void {
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(what);
  }
}
