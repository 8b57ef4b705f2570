import type { Batch } from '../../hub/core/event.ts';
import { type Connection, DELIVERED, type Delivery, type Sink } from '../../hub/core/sink.ts';

/** What the far side does with one batch: an answer, or an error to throw. */
export type Answer = Delivery | Error | Promise<Delivery | Error>;

/** A sink whose far side is an array, and which does what a test tells it. */
export class MemorySink implements Sink<Batch> {
  /** `lane/offset` of what the far side has, in order of arrival. */
  readonly taken: string[] = [];
  /** The same for what was marked as a replay, with the number of it: `1:normal/0`. */
  readonly replayed: string[] = [];
  /** Offsets of each batch that was sent, taken or not. */
  readonly batches: (readonly number[])[] = [];
  connects = 0;
  closes = 0;
  /** Decides about each batch; default: everything is taken. */
  answer: (batch: Batch, signal: AbortSignal) => Answer = () => DELIVERED;
  /** Decides about each connect. */
  connected: (signal: AbortSignal) => Connection | Promise<Connection> = () => ({});
  encoding: (batch: Batch) => void = () => {};
  closing: () => Promise<void> = async () => {};

  async connect(signal: AbortSignal): Promise<Connection> {
    this.connects++;
    return await this.connected(signal);
  }

  encode(batch: Batch): Promise<Batch> {
    this.encoding(batch);
    return Promise.resolve(batch);
  }

  async send(batch: Batch, signal: AbortSignal): Promise<Delivery> {
    this.batches.push(batch.events.map(({ offset }) => offset));
    const answer = await this.answer(batch, signal);
    if (answer instanceof Error) throw answer;
    const left = new Set([...answer.retry, ...answer.rejected.map(({ index }) => index)]);
    batch.events.forEach(({ lane, offset }, index) => {
      if (left.has(index)) return;
      if (batch.replay === undefined) this.taken.push(`${lane}/${offset}`);
      else this.replayed.push(`${batch.replay}:${lane}/${offset}`);
    });
    return answer;
  }

  async close(): Promise<void> {
    this.closes++;
    await this.closing();
  }
}

/** Resolves never, but rejects with the signal's reason: a far side that hangs. */
export function hanging(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
