import type { Clock } from '../core/clock.ts';
import { describeError, HubError } from '../core/errors.ts';
import type { Batch, HubEvent } from '../core/event.ts';
import type { Delivery, Sink } from '../core/sink.ts';
import { halved, type Prepared } from './prepared.ts';

export interface BatchSenderOptions {
  readonly sink: Sink;
  readonly clock: Clock;
  /** Answers about one event after which it counts as refused. */
  readonly attemptsMax: number;
  /** Called with the time the far side took. */
  answered(seconds: number): void;
}

/** Hands one batch to the sink and sorts what the far side says of it. */
export class BatchSender {
  readonly #options: BatchSenderOptions;

  constructor(options: BatchSenderOptions) {
    this.#options = options;
  }

  /**
   * Sends the first of `queue`, and answers whether the far side has said something of every event
   * in it. If not it was cut in two, in the queue. Throws what keeps it from being sent; when a
   * part has to be sent again, with that part at the head of the queue.
   */
  async sendFirst(queue: Prepared[], signal: AbortSignal): Promise<boolean> {
    const [prepared] = queue;
    if (!prepared) return false;
    if (prepared.rest.length === 0) return true;
    const delivery = await this.#send(prepared, signal);
    if (delivery) this.#noteAnswers(queue, prepared, delivery);
    // a poison event is found by halving: the half without it is delivered
    else if (queue[0] === prepared) queue.splice(0, 1, ...halved(prepared));
    return delivery !== undefined;
  }

  /** An event that cannot be encoded is poison like one that the far side refuses. */
  async encode(batch: Batch): Promise<unknown> {
    try {
      return await this.#options.sink.encode(batch);
    } catch (error) {
      if (error instanceof HubError) throw error;
      const message = `cannot be encoded: ${describeError(error)}`;
      throw new HubError('SINK_REJECTED', message, { cause: error });
    }
  }

  /** Undefined when the far side refused several events as a whole. */
  async #send(prepared: Prepared, signal: AbortSignal): Promise<Delivery | undefined> {
    const { sink, clock, answered } = this.#options;
    const { lane, replay } = prepared.run;
    const batch = { lane, events: prepared.rest, ...(replay === undefined ? {} : { replay }) };
    try {
      prepared.encoded ??= this.encode(batch);
      const encoded = await prepared.encoded.catch((error) => {
        delete prepared.encoded; // may have failed for a reason that passes
        throw error;
      });
      const startedMs = clock.monotonicMs();
      const delivery = await sink.send(encoded, signal);
      answered((clock.monotonicMs() - startedMs) / 1000);
      return delivery;
    } catch (error) {
      if (!(error instanceof HubError) || error.code !== 'SINK_REJECTED') throw error;
      if (batch.events.length > 1) return undefined;
      return { rejected: [{ index: 0, reason: error.message }], retry: [] };
    }
  }

  /** Throws when a part has to be sent again. */
  #noteAnswers(queue: Prepared[], prepared: Prepared, { rejected, retry }: Delivery): void {
    const { run, rest, attempts, refused } = prepared;
    for (const { index, reason } of rejected) {
      const event = rest[index];
      if (event) refused.set(event.offset, { event, reason });
    }
    const again: HubEvent[] = [];
    for (const index of retry) {
      const event = rest[index];
      if (!event) continue;
      const tries = (attempts.get(event.offset) ?? 0) + 1;
      attempts.set(event.offset, tries);
      if (tries < this.#options.attemptsMax) again.push(event);
      else refused.set(event.offset, { event, reason: `not taken in ${tries} attempts` });
    }
    if (again.length === 0) return;
    if (queue[0] === prepared) queue[0] = { run, attempts, refused, rest: again };
    throw new HubError('SINK_THROTTLED', `the far side took a part; ${again.length} events again`);
  }
}
