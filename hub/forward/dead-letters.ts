import type { HubEvent } from '../core/event.ts';
import type { DurableLog } from '../log/durable-log.ts';
import { deadLetterKey, deadLetterRange } from '../log/keys.ts';
import type { WriteOperation } from '../log/storage.ts';

/**
 * Dead letters kept for one sink. When it is reached the sink is halted instead of dropping more:
 * ten thousand refused events are not poison but a misunderstanding that a person must clear up.
 */
export const DEAD_LETTERS_MAX = 10_000;

/** An event that the far side will never take, and why. Kept with its payload: the log is trimmed. */
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

/** The dead letters of one sink, in the log's storage, so that they are one write with the cursor. */
export class DeadLetters {
  readonly #log: DurableLog;
  readonly #sink: string;
  #count = 0;
  #next = 0;

  constructor(log: DurableLog, sink: string) {
    this.#log = log;
    this.#sink = sink;
  }

  get count(): number {
    return this.#count;
  }

  /** Counts what is there. At most DEAD_LETTERS_MAX entries. */
  async load(): Promise<void> {
    for await (const [key] of this.#log.entries(deadLetterRange(this.#sink))) {
      this.#count++;
      this.#next = Number(key.readBigUInt64BE(key.length - 8)) + 1;
    }
  }

  get full(): boolean {
    return this.#count >= DEAD_LETTERS_MAX;
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
    return { type: 'put', key: deadLetterKey(this.#sink, number), value };
  }
}
