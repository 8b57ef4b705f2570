import type { Clock } from '../core/clock.ts';
import { describeError, type ErrorCode, HubError } from '../core/errors.ts';
import type { Batch, HubEvent } from '../core/event.ts';
import type { Delivery } from '../core/sink.ts';
import type { SinkTracing } from '../core/trace.ts';
import { bytesOf, type Flight, halved, isAnswered, type Piece } from './flight.ts';
import type { SinkGovernor } from './governor/sink-governor.ts';
import type { GuardedSink } from './guarded-sink.ts';

export interface BatchSenderOptions {
  readonly sink: GuardedSink;
  readonly governor: SinkGovernor;
  readonly clock: Clock;
  /** Answers about one event after which it counts as refused. */
  readonly attemptsMax: number;
  /** Called with the time the far side took, and the trace that this was a part of, if any. */
  answered(seconds: number, traceId?: string): void;
  readonly tracing?: SinkTracing | undefined;
}

/** Of several that failed side by side the one that says most about what to do next. */
const GRAVEST_FIRST: readonly ErrorCode[] = [
  'SINK_REFUSED',
  'SINK_THROTTLED',
  'SINK_TIMEOUT',
  'SINK_DISCONNECTED',
];

/** The far side took a part and wants the other again: no reason to send less. */
export class PartlyTaken extends HubError {
  constructor(events: number) {
    super('SINK_THROTTLED', `the far side took a part; ${events} events again`);
  }
}

/** Hands the pieces of a flight to the sink and sorts what the far side says of them. */
export class BatchSender {
  readonly #options: BatchSenderOptions;

  constructor(options: BatchSenderOptions) {
    this.#options = options;
  }

  /**
   * Sends the first piece of every part side by side, and answers whether the far side has said
   * something of every event of the flight. If not, some were cut in two, are held back by the
   * budget, or wait behind others. Throws what keeps it from being sent; what was answered for is
   * not sent again.
   */
  async advance(flight: Flight, signal: AbortSignal): Promise<boolean> {
    const deliveries = flight.parts.map((pieces) => this.deliver(flight, pieces, signal));
    const ended = await Promise.allSettled(deliveries);
    const errors = ended.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []));
    if (errors.length > 0) throw gravest(errors);
    return isAnswered(flight);
  }

  /** Begins to encode what is sent first. */
  encodeFirst(flight: Flight): void {
    for (const [piece] of flight.parts) {
      if (!piece) continue;
      piece.encoded ??= this.#encode(flight, piece);
      piece.encoded.catch(() => undefined); // awaited when its turn comes
    }
  }

  /** An event that cannot be encoded is poison like one that the far side refuses. */
  async #encode(flight: Flight, piece: Piece): Promise<unknown> {
    const { events } = piece;
    piece.traced ??= this.#options.tracing?.batch(events);
    const { lane, replay, retry, backfill } = flight.run;
    const batch: Batch = {
      lane,
      events,
      ...(replay !== undefined && { replay }),
      ...(retry !== undefined && { retry }),
      ...(backfill && { backfill }),
    };
    try {
      return await this.#options.sink.encode(batch);
    } catch (error) {
      if (error instanceof HubError) throw error;
      const message = `cannot be encoded: ${describeError(error)}`;
      throw new HubError('SINK_REJECTED', message, { cause: error });
    }
  }

  /**
   * Sends the first of `pieces`, a part of `flight`. `held`: the budget does not let it go now.
   * Else it has been answered for, or some of it stays in `pieces`. Throws what keeps it from being
   * sent.
   */
  async deliver(flight: Flight, pieces: Piece[], signal: AbortSignal): Promise<'held' | undefined> {
    const [piece] = pieces;
    if (!piece) return undefined;
    const delivery = await this.#send(flight, piece, signal);
    if (delivery === 'held') return delivery;
    if (delivery !== 'cut') this.#noteAnswers(flight, pieces, piece, delivery);
    // a poison event is found by halving: the half without it is delivered
    else if (pieces[0] === piece) pieces.splice(0, 1, ...halved(piece));
    return undefined;
  }

  /**
   * `cut`: half of it may pass, as the far side refused several events as a whole, or the budget
   * has room for some. `held`: nothing was sent, for the budget.
   */
  async #send(
    flight: Flight,
    piece: Piece,
    signal: AbortSignal,
  ): Promise<Delivery | 'cut' | 'held'> {
    const { events } = piece;
    const { lane } = flight.run;
    try {
      piece.encoded ??= this.#encode(flight, piece);
      const encoded = await piece.encoded.catch((error) => {
        delete piece.encoded; // may have failed for a reason that passes
        throw error;
      });
      const request = { lane, encoded, events: events.length, payloadBytes: bytesOf(events) };
      const admission = this.#options.governor.admit(request);
      if (!admission.admitted) return admission.cut ? 'cut' : 'held';
      let delivered = 0;
      try {
        const delivery = await this.#deliver(piece, encoded, signal);
        delivered = events.length;
        return delivery;
      } finally {
        admission.done(delivered);
      }
    } catch (error) {
      if (!(error instanceof HubError) || error.code !== 'SINK_REJECTED') throw error;
      if (events.length > 1) return 'cut';
      const { message: reason, response } = error;
      return { rejected: [{ index: 0, reason, response }], retry: [] };
    }
  }

  /** Follows one try to send a piece, when one of its events is followed. */
  async #followed(piece: Piece, sending: Promise<Delivery>): Promise<Delivery> {
    piece.sent = (piece.sent ?? 0) + 1;
    piece.traced?.ready();
    const traced = piece.traced?.delivery(piece.sent);
    if (traced === undefined) return await sending;
    try {
      const delivery = await sending;
      traced.ended({ rejected: delivery?.rejected?.length ?? 0 });
      return delivery;
    } catch (error) {
      traced.ended({ error });
      throw error;
    }
  }

  async #deliver(piece: Piece, encoded: unknown, signal: AbortSignal): Promise<Delivery> {
    const { sink, clock, answered } = this.#options;
    const startedMs = clock.monotonicMs();
    const delivery = await this.#followed(piece, sink.send(encoded, signal));
    answered((clock.monotonicMs() - startedMs) / 1000, piece.traced?.traceId);
    return this.#understood(delivery, piece.events.length);
  }

  /** Throws when the sink did not answer as a sink does: then nothing is known to be delivered. */
  #understood(delivery: Delivery, events: number): Delivery {
    const isIndex = (index: unknown) =>
      Number.isInteger(index) && Number(index) >= 0 && Number(index) < events;
    const makesSense =
      Array.isArray(delivery?.rejected) &&
      Array.isArray(delivery.retry) &&
      delivery.rejected.every((rejection) => isIndex(rejection?.index)) &&
      delivery.retry.every(isIndex);
    if (makesSense) return delivery;
    const text = 'the sink answered nonsense: nothing of it counts as delivered';
    this.#options.sink.distrust(text);
    throw new HubError('SINK_DISCONNECTED', text);
  }

  /** Throws when a part has to be sent again. */
  #noteAnswers(
    { attempts, refused }: Flight,
    pieces: Piece[],
    { events }: Piece,
    { rejected, retry }: Delivery,
  ): void {
    const sent = (event: HubEvent) => (attempts.get(event.offset) ?? 0) + 1;
    for (const { index, reason, response, unsent } of rejected) {
      const event = events[index];
      if (!event) continue;
      const times = unsent ? sent(event) - 1 : sent(event);
      refused.set(event.offset, { event, reason, response, attempts: times });
    }
    const again: HubEvent[] = [];
    for (const index of [...retry].sort((a, b) => a - b)) {
      const event = events[index];
      if (!event || refused.has(event.offset)) continue;
      const tries = sent(event);
      attempts.set(event.offset, tries);
      if (tries < this.#options.attemptsMax) again.push(event);
      else {
        const reason = `not taken in ${tries} attempts`;
        refused.set(event.offset, { event, reason, attempts: tries });
      }
    }
    if (again.length === 0) {
      pieces.shift();
      return;
    }
    pieces[0] = { events: again };
    throw new PartlyTaken(again.length);
  }
}

export function gravest(errors: readonly unknown[]): unknown {
  const rank = (error: unknown) => {
    const known = error instanceof HubError ? GRAVEST_FIRST.indexOf(error.code) : -1;
    return known === -1 ? GRAVEST_FIRST.length : known;
  };
  return [...errors].sort((a, b) => rank(a) - rank(b) || longerWait(a, b))[0];
}

function longerWait(a: unknown, b: unknown): number {
  const waitMs = (error: unknown) =>
    (error instanceof HubError ? error.retryAfterMs : undefined) ?? 0;
  return waitMs(b) - waitMs(a);
}
