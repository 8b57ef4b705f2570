/**
 * The words of the log: a **message** is what arrived; an **event** is a message accepted into the
 * log; a **reading** is what was decoded from an event; a **batch** is a contiguous run for one
 * sink.
 */

/** Lanes in the order in which they are drained: alarms overtake, bulk waits. */
export const LANES = ['alarm', 'normal', 'bulk'] as const;
export type Lane = (typeof LANES)[number];

/** What an event is a fact about. The position in this list is the byte stored on disk. */
export const EVENT_KINDS = ['message', 'reading', 'alarm', 'hub.health', 'loss'] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** Why an accepted event was given up. */
export const LOSS_REASONS = ['full', 'age', 'poison', 'corrupt', 'rate'] as const;
export type LossReason = (typeof LOSS_REASONS)[number];

/** What arrived, before it is an event. */
export interface Message {
  readonly topic: string;
  readonly payload: Buffer;
  /** Which input it came through: `mqtt` or `bridge:<id>`. Bounded: never a client id. */
  readonly source: string;
  /** Default `message`. */
  readonly kind?: EventKind;
}

/** An event: a message accepted into the log, with its place in it and the times of its arrival. */
export interface HubEvent {
  readonly lane: Lane;
  /** Position in the lane; never reused. */
  readonly offset: number;
  readonly kind: EventKind;
  readonly topic: string;
  readonly payload: Buffer;
  readonly source: string;
  /**
   * Wall clock of the hub on arrival, in ms since 1970. Provisional while the clock is not synced.
   */
  readonly receivedMs: number;
  /** Monotonic clock of the hub on arrival, in ms since the boot named by `bootId`. */
  readonly monotonicMs: number;
  readonly bootId: string;
}

/** How far a time can be trusted. */
export type TimeQuality = 'synced' | 'corrected' | 'estimated' | 'device';

/** One decoded value. */
export interface Reading {
  readonly device: string;
  readonly metric: string;
  readonly value: number | string | boolean;
  readonly unit?: string;
  readonly timeMs: number;
  readonly timeQuality: TimeQuality;
  /** Other captures of the topic template, for example `{ area: "greenhouse" }`. */
  readonly tags: Readonly<Record<string, string>>;
}

/** What decoding made of one event. With an `error` there may still be readings of other parts. */
export interface Decoded {
  readonly device: string;
  /** When it was measured: the payload's own time when it has a plausible one, else the arrival. */
  readonly timeMs: number;
  readonly timeQuality: TimeQuality;
  /** The payload as JSON text, when it is valid JSON; it can be embedded as it is. */
  readonly json?: string;
  readonly readings: readonly Reading[];
  /** What did not decode, in the user's words. Absent when no template matches. */
  readonly error?: string;
}

export type Decode = (event: HubEvent) => Decoded;

/**
 * A contiguous run of one lane for one sink, filtered by the sink's topics, in ascending offset.
 */
export interface Batch {
  readonly lane: Lane;
  readonly events: readonly HubEvent[];
}
