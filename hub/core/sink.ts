import type { Logger } from 'pino';
import type { z } from 'zod';
import type { Batch, Decode, HubEvent } from './event.ts';

/** An event the far side will never take, by its index in the batch. */
export interface Rejection {
  readonly index: number;
  readonly reason: string;
  /** What the far side said of it in its own words, shortened. */
  readonly response?: string | undefined;
  /** It was never sent: nothing that speaks against the far side or its address. */
  readonly unsent?: true;
}

/** What the far side said of one batch. Whatever is in neither list is delivered. */
export interface Delivery {
  readonly rejected: readonly Rejection[];
  /** Indices to send again, for a far side that took only a part. */
  readonly retry: readonly number[];
}

export const DELIVERED: Delivery = Object.freeze({ rejected: [], retry: [] });

/** What connecting told about the far side. */
export interface Connection {
  /**
   * Names the running instance of the far side (for example its start time). When a sink with a
   * `confirmWindowMs` sees this change, the far side restarted and may have forgotten what it had
   * acknowledged: the forwarder rewinds to the last confirmed cursor.
   */
  readonly instance?: string;
}

/**
 * The far side. One driver, the forwarder, owns batching, retry, back-off, dead letters and
 * metrics; a sink only speaks its protocol.
 *
 * - `connect` is called first, and again after every thrown error, until it returns.
 * - `encode` is pure computing; it may run for the next batch while `send` waits for the far side.
 * - `send` is never called concurrently with `connect` or after `close`, and with itself only as
 *   often as `requestsMax` says.
 * - A sink that does not settle when asked to is left behind, closed, and created anew.
 * - Expected outcomes are returned; a broken link is thrown as a HubError: SINK_DISCONNECTED,
 *   SINK_TIMEOUT, SINK_THROTTLED (with retryAfterMs), SINK_REFUSED (credentials, no such place), or
 *   SINK_REJECTED when the far side refuses a batch without naming the event (the forwarder
 *   halves).
 * - All take an AbortSignal and settle within a second of its abort.
 */
export interface Sink<Encoded = unknown> {
  connect(signal: AbortSignal): Promise<Connection>;
  encode(batch: Batch): Promise<Encoded>;
  send(encoded: Encoded, signal: AbortSignal): Promise<Delivery>;
  close(signal: AbortSignal): Promise<void>;
  /** About how many bytes `encoded` takes on the wire, headers and answer included. */
  sizeOf?(encoded: Encoded): number;
  /**
   * Bytes that went through its connections in both directions, cumulative, also those of failed
   * tries; for a `budget`. Without it, `sizeOf` or else the payloads count.
   */
  wireBytes?(): number;
  /**
   * Bytes that `event` takes in what is sent of `batch`, before compression, when they are more
   * than `bytesMax`; undefined when it fits. For sinks with an `eventLimit`.
   */
  bytesAbove?(event: HubEvent, bytesMax: number, batch: Batch): number | undefined;
}

/** How large one event may be for a sink, and what becomes of a larger one. */
export interface EventLimit {
  /** Undefined: any size. */
  readonly bytesMax: number | undefined;
  /**
   * The id of the object storage that takes its data, or true for the first one; undefined is the
   * same when there is one. Without any, and with false, it is a dead letter.
   */
  readonly claimCheck: boolean | string | undefined;
}

/** What a sink is given besides its own options. */
export interface SinkContext {
  readonly id: string;
  readonly hubId: string;
  readonly logId: string;
  readonly decode: Decode;
  readonly logger: Logger;
  /** Folder that relative paths in the configuration start from. */
  readonly dataDir: string;
}

/** How a sink is found: its type, its options' schema, and a lazy import of the rest. */
export interface SinkSpec<Schema extends z.ZodObject = z.ZodObject> {
  readonly type: string;
  readonly summary: string;
  /**
   * The sink's own options; what every sink has (id, topics, batch, retry) is added by the schema.
   */
  readonly options: Schema;
  /**
   * Set by far sides that acknowledge before they are durable: how long after an acknowledgement
   * the data counts as safe, in ms. 0 or absent: an acknowledgement is final.
   */
  confirmWindowMs?(options: z.output<Schema>): number;
  /**
   * How many `send`s may be under way side by side; default 1. Events whose order matters are
   * never in two of them.
   */
  requestsMax?(options: z.output<Schema>): number;
  /** `host:port` that this sink connects to (see host-port.ts): its return wakes all that wait. */
  host?(options: z.output<Schema>): string;
  /** Set by sinks whose events can carry a reference in place of their data: CloudEvents. */
  eventLimit?(options: z.output<Schema>): EventLimit;
  create(options: z.output<Schema>, context: SinkContext): Promise<Sink>;
}
