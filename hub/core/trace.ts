/**
 * W3C Trace Context: which trace a message belongs to, as `traceparent` says it.
 *
 *   version "-" trace id (32 hex) "-" parent id (16 hex) "-" flags (2 hex)
 *
 * What does not follow the recommendation is no trace context: a message never fails because of it.
 */
import { randomFillSync } from 'node:crypto';

/** Where a message stands in a trace. Ids are lower-case hex and never all zeros. */
export interface TraceContext {
  /** 32 digits. */
  readonly traceId: string;
  /** 16 digits: of the span that what comes next is a child of. */
  readonly spanId: string;
  /** 0 to 255; see `isSampled`. */
  readonly flags: number;
}

const SAMPLED = 0x01;
/** What flags a traceparent of version 00 may say: sampled, and that its id is random (level 2). */
const KNOWN_FLAGS = 0x03;
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/s;
/** Version 00 has 55 characters; what a later one adds is not read, and bounded. */
const TRACEPARENT_CHARS_MAX = 512;
const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);

/** Whether somebody upstream, or this hub, has chosen this trace to be recorded. */
export function isSampled({ flags }: TraceContext): boolean {
  return (flags & SAMPLED) !== 0;
}

/**
 * The trace context of a `traceparent`; undefined for what is none: a wrong length, upper case, ids
 * of zeros, version ff, or more than there is to version 00.
 */
export function parseTraceparent(text: string): TraceContext | undefined {
  if (text.length > TRACEPARENT_CHARS_MAX) return undefined;
  const [, version, traceId, spanId, flags, more] = TRACEPARENT.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (version === 'ff' || traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  if (version === '00' && more !== undefined) return undefined;
  return { traceId, spanId, flags: Number.parseInt(flags, 16) & KNOWN_FLAGS };
}

export function formatTraceparent({ traceId, spanId, flags }: TraceContext): string {
  return `00-${traceId}-${spanId}-${flags.toString(16).padStart(2, '0')}`;
}

const ENTRIES_MAX = 32;
/** What every participant passes on at least; a list may be longer, and is then left out here. */
const TRACESTATE_CHARS_MAX = 512;
const KEY = /^(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})$/;
const VALUE = /^[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

/** A `tracestate` that follows the rules, without its optional blanks; undefined for all others. */
export function parseTracestate(text: string): string | undefined {
  if (text.length > TRACESTATE_CHARS_MAX) return undefined;
  const entries = text
    .split(',')
    .map((entry) => entry.replaceAll(/^[ \t]+|[ \t]+$/g, ''))
    .filter((entry) => entry !== '');
  if (entries.length === 0 || entries.length > ENTRIES_MAX) return undefined;
  const keys = new Set<string>();
  for (const entry of entries) {
    const equals = entry.indexOf('=');
    if (!KEY.test(entry.slice(0, equals)) || !VALUE.test(entry.slice(equals + 1))) return undefined;
    keys.add(entry.slice(0, equals));
  }
  return keys.size === entries.length ? entries.join(',') : undefined;
}

/** Random bytes are fetched by the page: one call a span would cost more than the span. */
const RANDOM = Buffer.alloc(4096);
let randomUsed = RANDOM.length;

function randomHex(bytes: number): string {
  for (;;) {
    if (randomUsed + bytes > RANDOM.length) {
      randomFillSync(RANDOM);
      randomUsed = 0;
    }
    const hex = RANDOM.toString('hex', randomUsed, randomUsed + bytes);
    randomUsed += bytes;
    if (!/^0+$/.test(hex)) return hex;
  }
}

export const newTraceId = (): string => randomHex(16);
export const newSpanId = (): string => randomHex(8);

/** Sampled and with a random id. */
export const SAMPLED_FLAGS: number = SAMPLED | 0x02;

/** What a message brings: whose part of a trace it is, and what its vendors want passed on. */
export interface IncomingTrace extends TraceContext {
  readonly traceState?: string | undefined;
}

export interface TracedArrival {
  /** Goes into the log with the event: what comes later is a child of its arrival. */
  readonly trace: TraceContext;
  /** It is on stable storage, or will not be. */
  accepted(error?: Error): void;
}

/** Follows messages on their way in. */
export interface IntakeTracing {
  /**
   * Called for every message, so it takes no object. Undefined when it is not followed; its own
   * trace context, when it has one, is then kept as it is.
   */
  arrived(
    source: string,
    topic: string,
    payloadBytes: number,
    incoming: IncomingTrace | undefined,
  ): TracedArrival | undefined;
}

/** One try to send a batch. */
export interface TracedDelivery {
  /** The far side has answered, or not. `rejected`: events that it will never take. */
  ended(result: { readonly rejected?: number; readonly error?: unknown }): void;
}

/** A batch with at least one event that is followed. */
export interface TracedBatch {
  /** The trace that its first such event belongs to. */
  readonly traceId: string;
  /** It has been encoded and has its turn. The first call counts. */
  ready(): void;
  delivery(attempt: number): TracedDelivery;
}

/** Follows events on their way to one sink. */
export interface SinkTracing {
  /** Undefined when no event of the batch is followed. */
  batch(events: readonly TracedEvent[]): TracedBatch | undefined;
}

/** As much of an event as tracing looks at. */
export interface TracedEvent {
  readonly monotonicMs: number;
  readonly bootId: string;
  readonly trace?: TraceContext;
}
