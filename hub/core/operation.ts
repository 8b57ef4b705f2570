import type { Lane } from './event.ts';

/**
 * Operating a sink: what people ask for are instructions; what has been done for them are facts,
 * and become events of the log (`dev.holdfast.operation.v1` on `holdfast/operation`).
 */
export const OPERATION_TOPIC = 'holdfast/operation';

/** What was done. */
export const OPERATIONS = [
  'paused',
  'resumed',
  'skipped',
  'replay_requested',
  'replay_cancelled',
  'dead_letters_retried',
  'dead_letters_discarded',
] as const;
export type OperationName = (typeof OPERATIONS)[number];

/** How an instruction came in: from a script, the command line, or the page. */
export const ACTOR_VIAS = ['api', 'cli', 'console'] as const;
export type ActorVia = (typeof ACTOR_VIAS)[number];

/** Who gave an instruction, as far as is known: nothing here is proof of anybody. */
export interface Actor {
  readonly via: ActorVia;
  /** Where the request came from. */
  readonly address: string;
  /** What the client called itself: `pi@gateway` for the command line. */
  readonly name?: string;
}

/**
 * `holdfast-actor: cli pi%40gateway`: what a client says it is, and what it calls whoever uses it,
 * percent-encoded. It goes into the event of the operation, and proves nothing.
 */
export const ACTOR_HEADER = 'holdfast-actor';

/** What an operation is more about, as JSON: the number of a replay, the events skipped. */
export type OperationDetails = Readonly<Record<string, unknown>>;

/** The payload of an operation event. */
export interface Operation {
  readonly operation: OperationName;
  readonly sink: string;
  readonly details: OperationDetails;
  readonly actor: Actor;
  /** ISO 8601, on the hub's clock as it was. */
  readonly time: string;
}

/** `pi@gateway (cli)`, or the address for who gave no name. */
export function actorText({ via, address, name }: Actor): string {
  return `${name ?? address} (${via})`;
}

/**
 * How far a sink is to move on: past everything there is, past what arrived before a time (ms since
 * 1970), or past the next `events` that it wants, in the order in which they would be sent.
 */
export type SkipTo =
  | { readonly kind: 'now' }
  | { readonly kind: 'time'; readonly timeMs: number }
  | { readonly kind: 'events'; readonly events: number };

export interface SkipRequest {
  readonly to: SkipTo;
  readonly lanes: readonly Lane[];
}

/** What a skip has done, durably. */
export interface SkipResult {
  readonly sink: string;
  /** Events the sink leaves out for good; in its ledger as lost, reason `skipped`. */
  readonly skippedEvents: number;
  readonly lanes: readonly SkippedLane[];
}

export interface SkippedLane {
  readonly lane: Lane;
  readonly skippedEvents: number;
  /** Where the sink was, and the next offset that it will look at. */
  readonly fromOffset: number;
  readonly toOffset: number;
}
