import type { HubEvent } from '../core/event.ts';
import type { DurableLog } from '../log/durable-log.ts';
import { deadLetterKey, deadLetterRange } from '../log/keys.ts';
import type { WriteOperation } from '../log/storage/storage.ts';

/**
 * Dead letters kept for one sink. When it is reached the sink is halted instead of dropping more:
 * ten thousand refused events are not poison but a misunderstanding that a person must clear up.
 */
export const DEAD_LETTERS_MAX = 10_000;
/** And so much of them: read back at every start, and no card is so small that it would matter. */
export const DEAD_LETTERS_BYTES_MAX = 64 * 1024 * 1024;

/** An event that the far side will never take, and why. With its payload: the log is trimmed. */
export interface DeadLetter {
  readonly number: number;
  readonly reason: string;
  readonly rejectedMs: number;
  readonly lane: string;
  readonly offset: number;
  readonly topic: string;
  readonly receivedMs: number;
  readonly payloadBase64: string;
}

/** The dead letters of one sink, kept in the log's storage: one write with the cursor. */
export class DeadLetters {
  readonly #log: DurableLog;
  readonly #sink: string;
  #count = 0;
  #bytes = 0;
  #next = 0;

  constructor(log: DurableLog, sink: string) {
    this.#log = log;
    this.#sink = sink;
  }

  get count(): number {
    return this.#count;
  }

  /** Counts what is there: at most DEAD_LETTERS_MAX entries of DEAD_LETTERS_BYTES_MAX. */
  async load(): Promise<void> {
    for await (const [key, value] of this.#log.entries(deadLetterRange(this.#sink))) {
      this.#count++;
      this.#bytes += value.length;
      this.#next = Number(key.readBigUInt64BE(key.length - 8)) + 1;
    }
  }

  /** Whether so many more may be kept. */
  hasRoomFor(events: readonly HubEvent[]): boolean {
    const bytes = events.reduce((sum, { payload }) => sum + payload.length, this.#bytes);
    return this.#count + events.length <= DEAD_LETTERS_MAX && bytes <= DEAD_LETTERS_BYTES_MAX;
  }

  /** The write that keeps `event`; it counts from now on. */
  add(event: HubEvent, reason: string, rejectedMs: number): WriteOperation {
    const number = this.#next++;
    this.#count++;
    const letter: DeadLetter = {
      number,
      reason,
      rejectedMs,
      lane: event.lane,
      offset: event.offset,
      topic: event.topic,
      receivedMs: event.receivedMs,
      payloadBase64: event.payload.toString('base64'),
    };
    const value = Buffer.from(JSON.stringify(letter));
    this.#bytes += value.length;
    return { type: 'put', key: deadLetterKey(this.#sink, number), value };
  }
}
