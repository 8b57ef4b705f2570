import type { ArrivalQuality, EventKind, HubEvent, Lane } from '../../core/event.ts';
import type { TraceContext } from '../../core/trace.ts';

/** All of an event but its payload. */
export type EventFacts = Omit<HubEvent, 'payload' | 'trace' | 'reference'>;

/**
 * An event of a block. Its payload is looked up when it is asked for: a Buffer of its own for every
 * event of a batch that waits would be most of what the garbage collector has to carry along.
 */
export class StoredEvent implements HubEvent {
  readonly lane: Lane;
  readonly offset: number;
  readonly kind: EventKind;
  readonly topic: string;
  readonly source: string;
  readonly receivedMs: number;
  readonly timeQuality: ArrivalQuality;
  readonly monotonicMs: number;
  readonly bootId: string;
  declare readonly trace?: TraceContext; // absent from most
  readonly #body: Buffer;
  readonly #start: number;
  readonly #end: number;

  /** Its payload is `[start, end)` of `body`. */
  constructor(
    facts: EventFacts,
    trace: TraceContext | undefined,
    body: Buffer,
    start: number,
    end: number,
  ) {
    this.lane = facts.lane;
    this.offset = facts.offset;
    this.kind = facts.kind;
    this.topic = facts.topic;
    this.source = facts.source;
    this.receivedMs = facts.receivedMs;
    this.timeQuality = facts.timeQuality;
    this.monotonicMs = facts.monotonicMs;
    this.bootId = facts.bootId;
    if (trace !== undefined) this.trace = trace;
    this.#body = body;
    this.#start = start;
    this.#end = end;
  }

  get payload(): Buffer {
    return this.#body.subarray(this.#start, this.#end);
  }
}
