/**
 * The dead letters of one sink, kept in the log's storage.
 *
 * Invariants:
 * - a letter comes and goes in one write with the cursor that counts it;
 * - in memory are the places of all letters, never their payloads: a list reads only its page;
 * - numbers ascend in the order of the refusals, and none is used twice, also after a restart;
 * - no two letters are about one event;
 * - nothing that is wrong with the stored letters keeps the hub from starting: what cannot be read
 *   is reported, and moves from `deadLettered` to `lost` as corrupt.
 */
import type { Logger } from 'pino';
import { describeError, HubError } from '../core/errors.ts';
import { type HubEvent, LANES, type Lane } from '../core/event.ts';
import type { CursorCounts } from '../log/cursor-state.ts';
import type { DurableLog } from '../log/durable-log.ts';
import { deadLetterKey, deadLetterRange, letterNumbersKey, numberOfKey } from '../log/keys.ts';
import { openRecord, sealRecord } from '../log/record.ts';
import type { WriteOperation } from '../log/storage/storage.ts';
import { isSettled, resolved } from './dead-letter-counts.ts';
import { type DeadLetter, openLetter, sealLetter } from './dead-letter-record.ts';

/**
 * Dead letters kept for one sink. When it is reached the sink is halted instead of dropping more:
 * ten thousand refused events are not poison but a misunderstanding that a person must clear up.
 */
export const DEAD_LETTERS_MAX = 10_000;
/** And so much of them: read back at every start, and no card is so small that it would matter. */
export const DEAD_LETTERS_BYTES_MAX = 64 * 1024 * 1024;
/** Numbers tried one by one behind what cannot be read: a block of LevelDB holds about as many. */
const UNREADABLE_ONE_BY_ONE = 64;
/** And then in steps that double, up to DEAD_LETTERS_MAX. */
const UNREADABLE_MAX = UNREADABLE_ONE_BY_ONE + 14;
/** Of the far side's own words: a problem document or a validation report, not a web page. */
export const RESPONSE_CHARS_MAX = 1_024;
/** Of what is made of them, in words of the hub. */
const REASON_CHARS_MAX = 1_024;

/** What is known of a letter without reading it. */
export interface LetterPlace {
  readonly number: number;
  readonly lane: Lane;
  readonly offset: number;
  readonly receivedMs: number;
  readonly bytes: number;
  /** Whether the cursor's `deadLettered` has it; not when the cursor was lost and begun anew. */
  readonly counted: boolean;
}

/** What was said about the event besides the reason. */
export interface Answered {
  readonly response?: string | undefined;
  readonly attempts?: number;
}

export interface LetterPage {
  /** Only those on this side of it: below with `newest`, above with `oldest`. */
  readonly after?: number | undefined;
  readonly order: 'newest' | 'oldest';
  readonly limit: number;
}

export class DeadLetters {
  readonly #log: DurableLog;
  readonly #sink: string;
  readonly #logger: Pick<Logger, 'error'> | undefined;
  /** In the order of their numbers. */
  readonly #places = new Map<number, LetterPlace>();
  readonly #byEvent = new Map<string, number>();
  #bytes = 0;
  #next = 0;

  constructor(log: DurableLog, sink: string, logger?: Pick<Logger, 'error'>) {
    this.#log = log;
    this.#sink = sink;
    this.#logger = logger;
  }

  get count(): number {
    return this.#places.size;
  }

  /** All numbers, ascending. */
  get numbers(): readonly number[] {
    return [...this.#places.keys()];
  }

  place(number: number): LetterPlace | undefined {
    return this.#places.get(number);
  }

  /**
   * Looks at what is there, at most DEAD_LETTERS_MAX entries of DEAD_LETTERS_BYTES_MAX, and makes
   * it agree with the cursors.
   */
  async load(): Promise<void> {
    const deletions = await this.#readAll();
    deletions.push(...this.removeUnsettled());
    for (const lane of LANES) this.#reconcile(lane);
    this.#log.defer(deletions);
  }

  /** Whether so many more may be kept. */
  hasRoomFor(events: readonly HubEvent[]): boolean {
    const bytes = events.reduce((sum, { payload }) => sum + payload.length, this.#bytes);
    return this.#places.size + events.length <= DEAD_LETTERS_MAX && bytes <= DEAD_LETTERS_BYTES_MAX;
  }

  /** The write that keeps `event`; it counts from now on. One that is kept already is replaced. */
  add(
    event: HubEvent,
    reason: string,
    rejectedMs: number,
    answered: Answered = {},
  ): WriteOperation {
    const number = this.#byEvent.get(eventKey(event)) ?? this.#next++;
    const { attempts = 1 } = answered;
    const letter = { number, attempts, rejectedMs, retriedMs: null, event };
    return this.#put({ ...letter, ...bounded(reason, answered) }, true);
  }

  /** The write that notes another refusal of a letter that is kept. */
  refusedAgain(letter: DeadLetter, reason: string, retriedMs: number, answered: Answered = {}) {
    const { response: _before, ...kept } = letter;
    const attempts = letter.attempts + (answered.attempts ?? 1);
    const counted = this.#places.get(letter.number)?.counted ?? true;
    return this.#put({ ...kept, attempts, retriedMs, ...bounded(reason, answered) }, counted);
  }

  /** The writes that remove letters; they do not count any more. */
  remove(numbers: readonly number[]): WriteOperation[] {
    const operations: WriteOperation[] = [];
    for (const number of numbers) {
      const place = this.#places.get(number);
      if (!place) continue;
      this.#forget(place);
      operations.push({ type: 'del', key: deadLetterKey(this.#sink, number) });
    }
    if (operations.length > 0) operations.push(this.#numberingOperation());
    return operations;
  }

  /** The far side is sent once more what these letters are about: it decides anew. */
  removeUnsettled(): WriteOperation[] {
    const unsettled = [...this.#places.values()].filter(
      ({ lane, offset }) => !isSettled(this.#log.cursors.get(this.#sink, lane), offset),
    );
    return this.remove(unsettled.map(({ number }) => number));
  }

  /**
   * Undefined when there is none. Errors: LOG_CORRUPT when it cannot be read.
   */
  async read(number: number): Promise<DeadLetter | undefined> {
    const [letter] = await this.#readRange(number, number, (found) => found);
    return letter;
  }

  /**
   * A part of the list, in the order asked for; of each letter only what `shown` makes of it is
   * held. Errors: LOG_CORRUPT.
   */
  async page<Shown>(
    { after, order, limit }: LetterPage,
    shown: (letter: DeadLetter) => Shown,
  ): Promise<readonly Shown[]> {
    const numbers =
      order === 'newest'
        ? this.numbers.filter((number) => after === undefined || number < after).slice(-limit)
        : this.numbers.filter((number) => after === undefined || number > after).slice(0, limit);
    const [first, last] = [numbers[0], numbers.at(-1)];
    if (first === undefined || last === undefined) return [];
    const letters = await this.#readRange(first, last, shown);
    return order === 'newest' ? letters.reverse() : letters;
  }

  async #readRange<Shown>(first: number, last: number, shown: (letter: DeadLetter) => Shown) {
    const expected = this.numbers.filter((number) => number >= first && number <= last).length;
    const letters = await this.#onCard(first, last, shown);
    if (letters.length >= expected) return letters;
    await new Promise<void>((resolve) => this.#log.write([], () => resolve())); // some are on the way
    return await this.#onCard(first, last, shown);
  }

  async #onCard<Shown>(first: number, last: number, shown: (letter: DeadLetter) => Shown) {
    const letters: Shown[] = [];
    const range = { gte: this.#key(first), lt: this.#key(last + 1) };
    for await (const [key, value] of this.#log.entries(range)) {
      const number = numberOfKey(key);
      if (!this.#places.has(number)) continue;
      const letter = openLetter(value);
      if (letter) letters.push(shown(letter));
      else throw new HubError('LOG_CORRUPT', `dead letter ${number} is damaged`);
    }
    return letters;
  }

  #put(letter: DeadLetter, counted: boolean): WriteOperation {
    const value = sealLetter(letter);
    this.#remember(letter, value.length, counted);
    return { type: 'put', key: this.#key(letter.number), value };
  }

  #remember({ number, event }: DeadLetter, bytes: number, counted: boolean): void {
    const { lane, offset, receivedMs } = event;
    this.#bytes += bytes - (this.#places.get(number)?.bytes ?? 0);
    this.#places.set(number, { number, lane, offset, receivedMs, bytes, counted });
    this.#byEvent.set(eventKey(event), number);
  }

  #forget(place: LetterPlace): void {
    this.#places.delete(place.number);
    if (this.#byEvent.get(eventKey(place)) === place.number) this.#byEvent.delete(eventKey(place));
    this.#bytes -= place.bytes;
  }

  #key(number: number): Buffer {
    return deadLetterKey(this.#sink, number);
  }

  /** Answers the writes that delete what is no letter. */
  async #readAll(): Promise<WriteOperation[]> {
    const deletions: WriteOperation[] = [];
    this.#next = await this.#savedNext();
    let failures = 0;
    let failed = await this.#readFrom(0, deletions);
    while (failed && failures < UNREADABLE_MAX) {
      if (failures === 0)
        this.#logger?.error({ error: failed.error }, 'dead letters are unreadable');
      // what is behind it may be whole
      const from = failed.at + 2 ** Math.max(0, failures++ - UNREADABLE_ONE_BY_ONE);
      failed = await this.#readFrom(from, deletions);
    }
    if (failures > 0) this.#next += DEAD_LETTERS_MAX; // what cannot be seen has numbers
    return deletions;
  }

  /** Undefined when it came to the end; else where it could not go on, and why. */
  async #readFrom(from: number, deletions: WriteOperation[]) {
    let at = from;
    const { lt } = deadLetterRange(this.#sink);
    try {
      for await (const [key, value] of this.#log.entries({ gte: this.#key(from), lt })) {
        const number = numberOfKey(key);
        const letter = openLetter(value);
        if (letter?.number === number) this.#remember(letter, value.length, true);
        else deletions.push({ type: 'del', key });
        at = number + 1;
        this.#next = Math.max(this.#next, at);
      }
      return undefined;
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      this.#next = Math.max(this.#next, at);
      return { at, error: describeError(error) };
    }
  }

  async #savedNext(): Promise<number> {
    const key = letterNumbersKey(this.#sink);
    try {
      for await (const [, value] of this.#log.entries({ gte: key, lt: Buffer.concat([key, ZERO]) }))
        return openRecord<Numbering>(value)?.next ?? 0;
    } catch (error) {
      if (!isCorrupt(error)) throw error;
    }
    return 0;
  }

  /** The cursor counts the letters that there are, and each of them is counted once. */
  #reconcile(lane: Lane): void {
    const state = this.#log.cursors.get(this.#sink, lane);
    const offsets: number[] = [];
    let surplus = -state.deadLettered;
    for (const place of this.#places.values()) {
      if (place.lane !== lane) continue;
      offsets.push(place.offset);
      surplus++;
    }
    for (const place of this.#places.values()) {
      if (surplus <= 0) break;
      if (place.lane !== lane) continue;
      this.#places.set(place.number, { ...place, counted: false });
      surplus--;
    }
    const missing = state.deadLettered - offsets.length;
    if (missing <= 0) return;
    this.#logger?.error({ lane, events: missing }, 'dead letters are damaged: reported as lost');
    this.#log.losses.record(lane, 'corrupt', missing, null);
    const agreeing = <Counts extends CursorCounts>(counts: Counts): Counts => {
      const there = offsets.filter((offset) => isSettled(counts, offset)).length;
      return resolved(counts, Math.max(0, counts.deadLettered - there), 'corrupt');
    };
    const confirmed = agreeing(state.confirmed);
    this.#log.settled(this.#sink, lane, { ...agreeing(state), confirmed });
  }

  #numberingOperation(): WriteOperation {
    const numbering: Numbering = { next: this.#next };
    return { type: 'put', key: letterNumbersKey(this.#sink), value: sealRecord(numbering) };
  }
}

/** Letters come and go, but their numbers are not given to others. */
interface Numbering {
  readonly next: number;
}

const ZERO = Buffer.alloc(1);

function eventKey({ lane, offset }: Pick<LetterPlace, 'lane' | 'offset'>): string {
  return `${lane}/${offset}`;
}

function isCorrupt(error: unknown): boolean {
  return error instanceof HubError && error.code === 'LOG_CORRUPT';
}

function bounded(reason: string, { response }: Answered) {
  return {
    reason: reason.slice(0, REASON_CHARS_MAX),
    ...(response === undefined ? {} : { response: response.slice(0, RESPONSE_CHARS_MAX) }),
  };
}
