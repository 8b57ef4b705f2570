import type { Logger } from 'pino';
import { HubError } from '../core/errors.ts';
import type { WriteOperation } from '../log/storage/storage.ts';
import type { Run } from './batcher.ts';
import type { DeadLetters } from './dead-letters.ts';
import { type Flight, isAllRefused, onceMore, type Refused, sentOf } from './flight.ts';

/** So many events in a row that the far side takes none of: not poison, but a wrong address. */
const REFUSED_IN_A_ROW_MAX = 1_000;

/**
 * What the far side will not take: kept as dead letters, until there are so many that a person is
 * needed. What was refused is then asked again at every try, so that mending the far side is
 * enough.
 */
export class Refusals {
  readonly #deadLetters: DeadLetters;
  readonly #logger: Logger;
  #inARow = 0;
  /** The flight with which it became too much. */
  #tooMany: Flight | undefined;

  constructor(deadLetters: DeadLetters, logger: Logger) {
    this.#deadLetters = deadLetters;
    this.#logger = logger;
  }

  /** A part of a flight was answered for. Throws SINK_REFUSED when it is too much. */
  look(flight: Flight): void {
    const { refused } = flight;
    if (refused.size === 0) return;
    const events = Array.from(refused.values(), ({ event }) => event);
    const noRoom = !this.#deadLetters.hasRoomFor(events);
    const inARow = isAllRefused(flight) ? this.#inARow + sentOf(refused.values()) : 0;
    if (!noRoom && inARow <= REFUSED_IN_A_ROW_MAX) return;
    this.#inARow = inARow;
    this.#tooMany = flight;
    throw new HubError(
      'SINK_REFUSED',
      noRoom
        ? `${this.#deadLetters.count} dead letters wait for a decision: there is room for no more`
        : `the far side refused ${inARow} events in a row: is it the right one?`,
    );
  }

  /** What is sent in the place of the flight that became too much, when nothing is on its way. */
  takeInstead(): { readonly flight: Flight; readonly instead: Flight } | undefined {
    const flight = this.#tooMany;
    this.#tooMany = undefined;
    if (!flight) return undefined;
    const refused = Array.from(flight.refused.values(), ({ event }) => event);
    const left = flight.parts.flat().flatMap(({ events }) => events);
    const events = [...refused, ...left].sort((a, b) => a.offset - b.offset);
    return { flight, instead: onceMore(flight, events) };
  }

  /** The flight is settled: keeps what was refused. The writes ride with the cursor. */
  keep({ run, refused }: Flight, rejectedMs: number): WriteOperation[] {
    const refusals = [...refused.values()].sort((a, b) => a.event.offset - b.event.offset);
    this.#warn(run, refusals);
    if (run.events.length > refused.size) this.#inARow = 0;
    else this.#inARow += sentOf(refusals);
    return refusals.map((refusal) =>
      this.#deadLetters.add(refusal.event, refusal.reason, rejectedMs, refusal),
    );
  }

  #warn({ lane, dropped, corrupt }: Run, refused: readonly Refused[]): void {
    const [first] = refused;
    if (first) {
      const { topic, offset } = first.event;
      this.#logger.warn(
        { lane, topic, offset, reason: first.reason, events: refused.length },
        'refused: kept as dead letters, the first of them is named',
      );
    }
    if (dropped + corrupt > 0) {
      this.#logger.error({ lane, dropped, corrupt }, 'events were gone before this sink had them');
    }
  }
}
