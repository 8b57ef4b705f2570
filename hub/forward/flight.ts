import type { HubEvent } from '../core/event.ts';
import type { TracedBatch } from '../core/trace.ts';
import type { Run } from './batcher.ts';

/** An event that the far side will not take, and why. */
export interface Refused {
  readonly event: HubEvent;
  readonly reason: string;
  /** How often it was sent. */
  readonly attempts: number;
  /** What the far side said, where it said something. */
  readonly response?: string | undefined;
}

/** How many of them the far side itself refused: others were not even sent. */
export function sentOf(refused: Iterable<Refused>): number {
  let sent = 0;
  for (const { attempts } of refused) if (attempts > 0) sent++;
  return sent;
}

/** What is sent in one delivery. */
export interface Piece {
  readonly events: readonly HubEvent[];
  /** Under way before its turn; kept for the next try. */
  encoded?: Promise<unknown>;
  /** When one of its events is followed. */
  traced?: TracedBatch | undefined;
  /** How often it was sent. */
  sent?: number;
}

/**
 * A run on its way, and what has happened to its events so far.
 *
 * Invariants:
 * - an event that is in no piece any more has been answered for: taken, or it is in `refused`;
 * - the pieces of one part are sent one after the other, parts side by side; all events of a device
 *   are in one part, in order.
 */
export interface Flight {
  readonly run: Run;
  readonly parts: Piece[][];
  /** By which it was cut into parts; undefined when it is in one. */
  readonly partition?: number;
  /** By offset: an event is refused once, however often the far side says so. */
  readonly refused: Map<number, Refused>;
  /** Answers "again" about one event, by offset. */
  readonly attempts: Map<number, number>;
}

export interface PieceLimits {
  readonly eventsMax: number;
  /** Payload bytes. */
  readonly bytesMax: number;
}

/** A run of which nothing has been sent. `parts` defaults to all of it in one delivery. */
export function flightOf(run: Run, parts?: Piece[][]): Flight {
  const whole = run.events.length > 0 ? [[{ events: run.events }]] : [];
  return { run, parts: parts ?? whole, refused: new Map(), attempts: new Map() };
}

/**
 * The same run again, of which only `events` are to be sent: what was said of them is forgotten.
 */
export function onceMore(flight: Flight, events: readonly HubEvent[]): Flight {
  return flightOf(flight.run, [[{ events }]]);
}

/** Whether every event has been answered for. */
export function isAnswered(flight: Flight): boolean {
  return flight.parts.every((pieces) => pieces.length === 0);
}

/** Which part an event goes to. All events of a device go to the same one. */
export interface Partition {
  readonly width: number;
  /** Tells partitions from each other: in another one a device may be in another part. */
  readonly id: number;
  partOf(event: HubEvent): number;
}

/** Cuts a run into the parts of `partition`, and those into pieces. Small ones stay whole. */
export function spread(run: Run, partition: Partition, limits: PieceLimits): Flight {
  const { eventsMax, bytesMax } = limits;
  const fits = run.events.length <= eventsMax && bytesOf(run.events) <= bytesMax;
  if (fits) return flightOf(run);
  const events: HubEvent[][] = Array.from({ length: partition.width }, () => []);
  for (const event of run.events) events[partition.partOf(event)]?.push(event);
  const parts = events.map((part) => (part.length > 0 ? piecesOf(part, limits) : []));
  return { ...flightOf(run, parts), partition: partition.id };
}

/** Events that have not been answered for. */
export function eventsLeft({ parts }: Flight): number {
  return parts.flat().reduce((sum, { events }) => sum + events.length, 0);
}

function piecesOf(events: readonly HubEvent[], { eventsMax, bytesMax }: PieceLimits): Piece[] {
  const pieces: Piece[] = [];
  let start = 0;
  let bytes = 0;
  events.forEach(({ payload }, index) => {
    const full = index - start >= eventsMax || bytes + payload.length > bytesMax;
    if (full && index > start) {
      pieces.push({ events: events.slice(start, index) });
      [start, bytes] = [index, 0];
    }
    bytes += payload.length;
  });
  pieces.push({ events: events.slice(start) });
  return pieces;
}

/** Whether the far side has taken none of those that were answered for. */
export function isAllRefused(flight: Flight): boolean {
  return flight.refused.size + eventsLeft(flight) === flight.run.events.length;
}

/** Payload bytes. */
export function bytesOf(events: readonly HubEvent[]): number {
  return events.reduce((sum, { payload }) => sum + payload.length, 0);
}

/** Cuts a piece in two. It has at least two events. */
export function halved({ events }: Piece): [Piece, Piece] {
  const middle = Math.ceil(events.length / 2);
  return [{ events: events.slice(0, middle) }, { events: events.slice(middle) }];
}

/** Cuts every piece that has more than `eventsMax` events, in halves. */
export function shrunk(flight: Flight, eventsMax: number): void {
  for (const pieces of flight.parts) {
    for (let index = 0; index < pieces.length; ) {
      const piece = pieces[index];
      if (piece && piece.events.length > Math.max(1, eventsMax)) {
        pieces.splice(index, 1, ...halved(piece));
      } else index++;
    }
  }
}

/** The same flight with other events in the place of its own; what was encoded is outdated. */
export function withEvents(flight: Flight, change: (event: HubEvent) => HubEvent): Flight {
  const { run, parts } = flight;
  return {
    ...flight,
    run: { ...run, events: run.events.map(change) },
    parts: parts.map((pieces) => pieces.map(({ events }) => ({ events: events.map(change) }))),
  };
}
