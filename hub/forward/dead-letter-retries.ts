/**
 * Dead letters of one sink that a person has decided about: sent again, or given up.
 *
 * Invariants:
 * - a letter is deleted in one write with the cursor that counts it: as delivered when the far side
 *   has taken it, as lost (poison) when it was discarded; a crash leaves either both or neither;
 * - what the far side refuses again stays, with the new reason;
 * - letters are sent one batch at a time, in the order of their numbers, with the ids that their
 *   events have always had; what one batch has come to is durable before the next;
 * - with a confirm window a letter that was taken stays until the far side is known to have it for
 *   good;
 * - what waits to be sent again is forgotten by a restart, and harmless to forget: the letters are
 *   still there, and are counted as dead letters until the far side has taken them.
 */
import { crc32 } from 'node:zlib';
import type { Logger } from 'pino';
import type { Clock } from '../core/clock.ts';
import { describeError } from '../core/errors.ts';
import { type HubEvent, LANES, type Lane } from '../core/event.ts';
import type { DeadLetterRetryCounts } from '../core/status.ts';
import type { DurableLog } from '../log/durable-log.ts';
import type { BatchSender } from './batch-sender.ts';
import type { Run } from './batcher.ts';
import type { DeadLetter } from './dead-letter-record.ts';
import type { DeadLetters, LetterPlace } from './dead-letters.ts';
import { type Flight, flightOf, type PieceLimits } from './flight.ts';
import type { Settlement } from './settlement.ts';

/** Numbers of letters, or all that there are. */
export type LetterChoice = { readonly numbers: readonly number[] } | 'all';

export interface DeadLetterRetriesOptions {
  readonly log: DurableLog;
  readonly sink: string;
  readonly clock: Clock;
  readonly letters: DeadLetters;
  readonly settlement: Settlement;
  readonly batch: PieceLimits;
  /** See SinkSpec: 0 when what is acknowledged is durable. */
  readonly confirmWindowMs: number;
  readonly logger: Logger;
  /** Called when there is something to send. */
  wake(): void;
}

export class DeadLetterRetries {
  readonly #options: DeadLetterRetriesOptions;
  readonly #sinceMs: number;
  /** Numbers that wait, ascending. */
  #waiting = new Set<number>();
  /** Letters of `#flight`, by the offset of their event. */
  #batch: ReadonlyMap<number, DeadLetter> = new Map();
  /** Taken, but not confirmed: when, on the monotonic clock. */
  readonly #unconfirmed = new Map<number, number>();
  /** Answered for, but not durable yet. */
  #settling = 0;
  #taken = 0;
  #refused = 0;
  /** What is sent next. */
  #flight: Flight | undefined;
  /** The far side has a part of it in its hands. */
  #sending = false;

  constructor(options: DeadLetterRetriesOptions) {
    this.#options = options;
    this.#sinceMs = options.clock.wallMs();
  }

  counts(): DeadLetterRetryCounts {
    const waiting = this.#waiting.size + this.#settling + this.#unconfirmed.size;
    return { waiting, taken: this.#taken, refused: this.#refused, sinceMs: this.#sinceMs };
  }

  /** Whether the letter waits to be sent again, or to be confirmed. */
  isRetrying(number: number): boolean {
    return this.#waiting.has(number) || this.#unconfirmed.has(number);
  }

  /** Those of `choice` that there are no letters of. */
  unknown(choice: LetterChoice): readonly number[] {
    const { letters } = this.#options;
    return choice === 'all' ? [] : choice.numbers.filter((number) => !letters.place(number));
  }

  /** Sends letters again as soon as the far side can take them. Answers how many. */
  request(choice: LetterChoice): number {
    const { letters, logger, wake } = this.#options;
    const chosen = this.#chosen(choice).filter((number) => !this.#unconfirmed.has(number));
    this.#waiting = new Set([...this.#waiting, ...chosen].sort((a, b) => a - b));
    logger.info({ letters: chosen.length, of: letters.count }, 'dead letters are sent again');
    wake();
    return chosen.length;
  }

  /**
   * Gives letters up; resolves when that is durable. Those that the far side has in its hands are
   * left alone: they may be taken. Errors: those of the log.
   */
  async discard(choice: LetterChoice): Promise<{ discarded: number; underWay: number }> {
    const { log, letters, logger } = this.#options;
    const chosen = this.#chosen(choice);
    const places = chosen.flatMap((number) => {
      const place = letters.place(number);
      return place && !this.#isUnderWay(place) ? [place] : [];
    });
    for (const { lane, offset, receivedMs } of places) {
      const range = {
        firstOffset: offset,
        lastOffset: offset,
        fromMs: receivedMs,
        toMs: receivedMs,
      };
      log.losses.record(lane, 'poison', 1, range);
    }
    for (const { number } of places) this.#waiting.delete(number);
    this.#withdraw(places);
    this.#resolve(places, 'poison');
    await this.#written();
    logger.warn({ letters: places.length }, 'dead letters were discarded: they count as lost');
    return { discarded: places.length, underWay: chosen.length - places.length };
  }

  /** Of what is sent next; undefined while nothing is prepared. */
  get lane(): Lane | undefined {
    const [next] = this.#waiting;
    if (this.#flight || next === undefined) return this.#flight?.run.lane;
    return this.#options.letters.place(next)?.lane;
  }

  /** Whether `prepare` has something to do. */
  get due(): boolean {
    return this.#waiting.size > 0;
  }

  /** True when there is something to send. */
  async prepare(): Promise<boolean> {
    if (this.#flight) return true;
    const read = await this.#nextLetters();
    const letters = read.filter(({ number }) => this.#waiting.has(number)); // not discarded meanwhile
    if (letters.length === 0) return false;
    this.#batch = new Map(letters.map((letter) => [letter.event.offset, letter]));
    this.#flight = flightOf(this.#runOf(letters));
    return true;
  }

  /** Sends a step of what was prepared. True when the far side has taken some of all of it. */
  async send(sender: Pick<BatchSender, 'advance'>, signal: AbortSignal): Promise<boolean> {
    const flight = this.#flight;
    if (!flight) return false;
    this.#sending = true;
    const answered = await sender.advance(flight, signal).finally(() => {
      this.#sending = false;
    });
    if (!answered) return false;
    this.#flight = undefined;
    return (await this.#settle(flight)) > 0;
  }

  async #settle(flight: Flight): Promise<number> {
    const { log, clock, letters, confirmWindowMs, logger } = this.#options;
    const taken: LetterPlace[] = [];
    for (const { offset } of flight.run.events) {
      const letter = this.#batch.get(offset);
      const place = letter && letters.place(letter.number);
      if (!letter || !place) continue;
      this.#waiting.delete(letter.number);
      const refusal = flight.refused.get(offset);
      if (!refusal) taken.push(place);
      else log.defer([letters.refusedAgain(letter, refusal.reason, clock.wallMs(), refusal)]);
    }
    const refused = flight.refused.size;
    this.#taken += taken.length;
    this.#refused += refused;
    const nowMs = clock.monotonicMs();
    if (confirmWindowMs === 0) this.#resolve(taken, 'delivered');
    else for (const { number } of taken) this.#unconfirmed.set(number, nowMs);
    logger.info({ taken: taken.length, refused }, 'dead letters were sent again');
    this.#settling = flight.run.events.length;
    await this.#written().finally(() => {
      this.#settling = 0;
    });
    return taken.length;
  }

  /** The far side is the one it was: what it has had for a window is there for good. */
  confirm(): void {
    const { clock, letters, confirmWindowMs } = this.#options;
    const settledMs = clock.monotonicMs() - confirmWindowMs;
    const confirmed: LetterPlace[] = [];
    for (const [number, takenMs] of this.#unconfirmed) {
      if (takenMs > settledMs) continue;
      this.#unconfirmed.delete(number);
      const place = letters.place(number);
      if (place) confirmed.push(place);
    }
    this.#resolve(confirmed, 'delivered');
  }

  /** The far side has forgotten what was not confirmed: it is sent once more. */
  rewind(): void {
    const { log, letters } = this.#options;
    log.defer(letters.removeUnsettled());
    const all = [...this.#waiting, ...this.#unconfirmed.keys()].sort((a, b) => a - b);
    this.#waiting = new Set(all.filter((number) => letters.place(number)));
    this.#unconfirmed.clear();
    this.#flight = undefined;
  }

  #chosen(choice: LetterChoice): readonly number[] {
    const { letters } = this.#options;
    if (choice === 'all') return letters.numbers;
    return choice.numbers.filter((number) => letters.place(number));
  }

  /** Whether the far side may have taken it, or may be about to. */
  #isUnderWay({ number, offset }: LetterPlace): boolean {
    if (this.#unconfirmed.has(number)) return true;
    const flight = this.#flight;
    if (!flight || this.#batch.get(offset)?.number !== number) return false;
    const answered = !flight.parts.flat().some(({ events }) => hasOffset(events, offset));
    return answered || this.#sending;
  }

  /** Takes letters out of what is sent next; what has been answered for stays so. */
  #withdraw(places: readonly LetterPlace[]): void {
    const gone = new Set(places.map(({ number }) => number));
    const stays = ({ offset }: HubEvent) => !gone.has(this.#batch.get(offset)?.number ?? -1);
    const flight = this.#flight;
    if (!flight || flight.run.events.every(stays)) return;
    const parts = flight.parts.map((pieces) =>
      pieces
        .map(({ events }) => ({ events: events.filter(stays) }))
        .filter(({ events }) => events.length > 0),
    );
    const run = { ...flight.run, events: flight.run.events.filter(stays) };
    this.#flight = { ...flight, run, parts };
  }

  /** Letters of one lane, their offsets ascending, that fit into a batch. */
  async #nextLetters(): Promise<DeadLetter[]> {
    const { batch } = this.#options;
    const letters: DeadLetter[] = [];
    let bytes = 0;
    for (const number of [...this.#waiting]) {
      const letter = await this.#read(number);
      if (!letter) continue;
      const last = letters.at(-1);
      bytes += letter.event.payload.length;
      const follows =
        !last || (last.event.lane === letter.event.lane && last.event.offset < letter.event.offset);
      if (last && (!follows || bytes > batch.bytesMax)) break;
      letters.push(letter);
      if (letters.length >= batch.eventsMax) break;
    }
    return letters;
  }

  /** What cannot be read does not keep the others from being sent. */
  async #read(number: number): Promise<DeadLetter | undefined> {
    const { letters, logger } = this.#options;
    try {
      const letter = await letters.read(number);
      if (!letter) this.#waiting.delete(number); // gone
      return letter;
    } catch (error) {
      this.#waiting.delete(number);
      logger.error(
        { letter: number, error: describeError(error) },
        'a dead letter is not readable',
      );
      return undefined;
    }
  }

  #runOf(letters: readonly DeadLetter[]): Run {
    const { log } = this.#options;
    const events = letters.map(({ event }) => log.boots.retimed(event));
    const [first, last] = [events[0], events.at(-1)];
    const none = { filtered: 0, dropped: 0, corrupt: 0, thinned: 0 };
    // the same letters after the same refusals are the same batch, whenever they are sent
    const named = letters.map(({ number, attempts }) => `${number}/${attempts}`).join();
    return {
      ...none,
      lane: first?.lane ?? 'normal',
      events,
      from: first?.offset ?? 0,
      to: (last?.offset ?? 0) + 1,
      retry: crc32(named),
      full: true,
    };
  }

  /** From here on every write has both: the letters are gone, and the cursors know. */
  #resolve(places: readonly LetterPlace[], as: 'delivered' | 'poison'): void {
    if (places.length === 0) return;
    const { log, letters, settlement } = this.#options;
    const deletions = letters.remove(places.map(({ number }) => number));
    log.defer(deletions);
    settlement.resolve(places, as);
  }

  /** Resolves when what was deferred is durable, and the cursors with it. */
  #written(): Promise<void> {
    const { log, sink } = this.#options;
    const cursors = LANES.map((lane) => log.cursors.operation(sink, lane));
    return new Promise((resolve, reject) => {
      log.write(cursors, (error) => (error ? reject(error) : resolve()));
    });
  }
}

function hasOffset(events: readonly HubEvent[], offset: number): boolean {
  return events.some((event) => event.offset === offset);
}
