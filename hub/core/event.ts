/**
 * The words of the log: a **message** is what arrived; an **event** is a message accepted into the
 * log; a **reading** is what was decoded from an event; a **batch** is a contiguous run for one
 * sink.
 */
import type { TraceContext } from './trace.ts';

/** Lanes in the order in which they are drained: alarms overtake, bulk waits. */
export const LANES = ['alarm', 'normal', 'bulk'] as const;
export type Lane = (typeof LANES)[number];

/** What an event is a fact about. The position in this list is the byte stored on disk. */
export const EVENT_KINDS = [
  'message',
  'reading',
  'alarm',
  'hub.health',
  'loss',
  'aggregate',
  'operation',
  'outage',
  'command',
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** Why an accepted event was given up. `skipped`: a person told one sink to leave it out. */
export const LOSS_REASONS = ['full', 'age', 'poison', 'corrupt', 'rate', 'skipped'] as const;
export type LossReason = (typeof LOSS_REASONS)[number];

/** What arrived, before it is an event. */
export interface Message {
  readonly topic: string;
  readonly payload: Buffer;
  /** Which input it came through: `mqtt`, `http` or `bridge:<id>`. Bounded: never a client id. */
  readonly source: string;
  /** Default `message`. */
  readonly kind?: EventKind;
  /** The trace that it belongs to, if any. */
  readonly trace?: TraceContext | undefined;
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
   * When it arrived, in ms since 1970: corrected by what is known of the hub's clock when it is
   * read. Ascending with the offset.
   */
  readonly receivedMs: number;
  /** How far `receivedMs` can be trusted. */
  readonly timeQuality: ArrivalQuality;
  /** Monotonic clock of the hub on arrival, in ms since the boot named by `bootId`. */
  readonly monotonicMs: number;
  readonly bootId: string;
  /** The trace that it belongs to. Absent from most, and from what `thin` has made. */
  readonly trace?: TraceContext;
  /** Set for one sink when its data is in object storage, and only the reference is sent. */
  readonly reference?: DataReference;
}

/** Where the data of an event lies that is too large for a far side. */
export interface DataReference {
  readonly url: string;
  readonly bytes: number;
  /** In hexadecimal digits. */
  readonly sha256: string;
}

/**
 * How far the time of an arrival can be trusted. `synced`: stamped while the hub's clock was
 * synchronised. `corrected`: computed from a synchronisation in the same boot. `estimated`: the
 * boot was never synchronised; the wall clock, bounded by the boots before and after.
 */
export type ArrivalQuality = 'synced' | 'corrected' | 'estimated';

/** How far a time can be trusted; `device`: the payload carried it. */
export type TimeQuality = ArrivalQuality | 'device';

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
  /** Set when it stands for several: `value` is then their mean, or the last of what has none. */
  readonly aggregate?: ReadingAggregate;
}

/** What a reading that `thin` has made stands for. */
export interface ReadingAggregate {
  /** Readings it stands for. */
  readonly count: number;
  /** Of numbers; text and booleans have only their last value. */
  readonly min?: number;
  readonly max?: number;
  /** The times of the first and the last of the events it was made from, in ms since 1970. */
  readonly fromMs: number;
  readonly toMs: number;
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
  /** Sent again on request: the number of the replay, from 1. Absent from live batches. */
  readonly replay?: number;
  /**
   * Set for dead letters that are sent again: the same number for the same letters after the same
   * refusals, so that nothing takes the batch for the one that was refused.
   */
  readonly retry?: number;
  /** Newer events went ahead of these. */
  readonly backfill?: boolean;
}
