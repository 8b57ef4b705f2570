import type { Clock } from '../core/clock.ts';
import { LANES, type Lane } from '../core/event.ts';
import { addLost } from '../core/lost-counts.ts';
import {
  type CursorCounts,
  type CursorState,
  countsOf,
  livePosition,
  type OffsetRange,
  settling,
} from '../log/cursor-state.ts';
import type { DurableLog } from '../log/durable-log.ts';
import { countsWithout, givenUp, type PassedOver } from '../log/give-up.ts';
import type { WriteOperation } from '../log/storage/storage.ts';
import type { Run } from './batcher.ts';
import { isSettled, type Resolution, resolved } from './dead-letter-counts.ts';
import type { LetterPlace } from './dead-letters.ts';

/** Rewind points kept within a confirm window: how finely it is divided. */
const MARKS_PER_WINDOW = 60;
/**
 * While nobody asks for the instance, as in a long drain, marks wait; this many are two windows.
 */
const MARKS_MAX = 2 * MARKS_PER_WINDOW;

/** Ranges settled ahead of a backlog: each is one outage or so, and a line of the cursor. */
const RANGES_MAX = 32;

/** Where all lanes stood at a time. */
interface Mark {
  readonly atMs: number;
  readonly counts: ReadonlyMap<Lane, CursorCounts>;
}

/**
 * The cursors of one sink. With a confirm window (a far side that acknowledges before it is
 * durable) a position counts as confirmed when the same instance of the far side is still alive a
 * window later; when the instance has changed, the cursors go back to the last confirmed position.
 */
export class Settlement {
  readonly #log: DurableLog;
  readonly #sink: string;
  readonly #clock: Clock;
  readonly #windowMs: number;
  #marks: Mark[];

  constructor(log: DurableLog, sink: string, clock: Clock, confirmWindowMs: number) {
    this.#log = log;
    this.#sink = sink;
    this.#clock = clock;
    this.#windowMs = confirmWindowMs;
    this.#marks = [this.#mark()];
  }

  cursor(lane: Lane): CursorState {
    return this.#log.cursors.get(this.#sink, lane);
  }

  /** Where the newest events of a lane go on. */
  livePosition(lane: Lane): number {
    return livePosition(this.cursor(lane));
  }

  /** What is left behind in a lane while newer events go ahead of it; undefined when nothing is. */
  backlog(lane: Lane): OffsetRange | undefined {
    const { offset, ahead } = this.cursor(lane);
    return ahead[0] && { from: offset, to: ahead[0].from };
  }

  /** Leaves what is not settled before `at` behind, if there is room to remember one more range. */
  leaveBehind(lane: Lane, at: number): boolean {
    const cursor = this.cursor(lane);
    if (at <= livePosition(cursor) || cursor.ahead.length >= RANGES_MAX) return false;
    const ahead = [...cursor.ahead, { from: at, to: at }];
    const confirmed = this.#windowMs > 0 ? cursor.confirmed : { ...cursor.confirmed, ahead };
    this.#log.settled(this.#sink, lane, { ...cursor, ahead, confirmed });
    return true;
  }

  /**
   * Settles a run: all its events are delivered, but for `deadLetters`. With dead letters it
   * resolves when they and the cursor are durable, in one write.
   */
  async settle(run: Run, deadLetters: readonly WriteOperation[]): Promise<void> {
    const before = this.cursor(run.lane);
    const counts: CursorCounts = {
      ...settling({ offset: before.offset, ahead: before.ahead }, run),
      delivered: before.delivered + run.events.length - deadLetters.length,
      filtered: before.filtered + run.filtered,
      deadLettered: before.deadLettered + deadLetters.length,
      thinned: before.thinned + run.thinned,
      lost: addLost(before.lost, { full: run.dropped, corrupt: run.corrupt }),
    };
    const confirmed = this.#windowMs > 0 ? before.confirmed : counts;
    // any write from here on carries the cursor along, and with it what was deferred
    this.#log.defer(deadLetters);
    this.#log.settled(this.#sink, run.lane, { ...before, ...counts, confirmed });
    if (this.#windowMs > 0) this.#markSometimes();
    if (deadLetters.length === 0) return;
    const operations = [this.#log.cursors.operation(this.#sink, run.lane)];
    await new Promise<void>((resolve, reject) => {
      this.#log.write(operations, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** The sink goes without `ranges`, none of which it has settled: also when it rewinds. */
  leaveOut(lane: Lane, ranges: readonly OffsetRange[], passed: PassedOver): void {
    this.#log.settled(this.#sink, lane, givenUp(this.cursor(lane), ranges, passed));
    this.#marks = this.#marks.map(({ atMs, counts }) => {
      const before = counts.get(lane);
      const after = before && countsWithout(before, ranges, passed);
      return { atMs, counts: after ? new Map(counts).set(lane, after) : counts };
    });
  }

  /** So many dead letters are none any more: the counts say so, also those it may go back to. */
  resolve(letters: readonly LetterPlace[], as: Resolution): void {
    for (const lane of LANES) {
      const offsets = letters.flatMap((letter) =>
        letter.lane === lane && letter.counted ? [letter.offset] : [],
      );
      if (offsets.length === 0) continue;
      const change = <Counts extends CursorCounts>(counts: Counts): Counts => {
        const events = offsets.filter((offset) => isSettled(counts, offset)).length;
        return resolved(counts, events, as);
      };
      const state = this.cursor(lane);
      const confirmed = change(state.confirmed);
      this.#log.settled(this.#sink, lane, { ...change(state), confirmed });
      this.#marks = this.#marks.map(({ atMs, counts }) => {
        const before = counts.get(lane);
        return { atMs, counts: before ? new Map(counts).set(lane, change(before)) : counts };
      });
    }
  }

  /** How often the far side should be asked for its instance. Infinite without a window. */
  get checkIntervalMs(): number {
    return this.#windowMs > 0 ? Math.max(1_000, this.#windowMs / 4) : Number.POSITIVE_INFINITY;
  }

  /** Takes note of the instance that is alive now. True when the cursors went back. */
  seen(instance: string | undefined): boolean {
    if (this.#windowMs === 0) return false;
    const known = LANES.map((lane) => this.cursor(lane).instance).find((id) => id !== undefined);
    if (known !== undefined && instance !== undefined && known !== instance) {
      this.#rewind(instance);
      return true;
    }
    if (known === undefined && instance !== undefined) {
      this.#each((state) => ({ ...state, instance }));
    }
    this.#confirm();
    return false;
  }

  #confirm(): void {
    const settledMs = this.#clock.monotonicMs() - this.#windowMs;
    const index = this.#marks.findLastIndex((mark) => mark.atMs <= settledMs);
    const mark = this.#marks[index];
    if (!mark) return;
    this.#marks = this.#marks.slice(index + 1);
    if (this.#marks.length === 0) this.#marks = [this.#mark()];
    this.#each((state, lane) => ({
      ...state,
      confirmed: mark.counts.get(lane) ?? state.confirmed,
    }));
  }

  #rewind(instance: string): void {
    this.#each((state) => ({ ...state, ...state.confirmed, instance }));
    this.#marks = [this.#mark()];
  }

  #each(change: (state: CursorState, lane: Lane) => CursorState): void {
    for (const lane of LANES) {
      this.#log.settled(this.#sink, lane, change(this.cursor(lane), lane));
    }
  }

  #markSometimes(): void {
    const last = this.#marks.at(-1);
    const dueMs = (last?.atMs ?? 0) + this.#windowMs / MARKS_PER_WINDOW;
    if (this.#clock.monotonicMs() < dueMs) return;
    this.#marks.push(this.#mark());
    if (this.#marks.length > MARKS_MAX) this.#marks.splice(1, 1); // the oldest is confirmed next
  }

  #mark(): Mark {
    const counts = new Map(LANES.map((lane) => [lane, countsOf(this.cursor(lane))]));
    return { atMs: this.#clock.monotonicMs(), counts };
  }
}
