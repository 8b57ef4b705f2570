import type { TraceContext } from '../../core/trace.ts';

/** Texts longer than this (a topic may have 64 KiB) are cut: a span is looked at, not parsed. */
export const TEXT_CHARS_MAX = 256;

export type AttributeValue = string | number | boolean;

/** What was done, from when to when, and for which trace. Times are monotonic, in ms. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  /** Of the vendors of the trace, as it came. */
  readonly traceState?: string | undefined;
  readonly name: string;
  readonly kind: 'internal' | 'consumer' | 'client';
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  /** The other events that it was for. */
  readonly links: readonly TraceContext[];
  /** Why it failed; absent when it did not. */
  readonly error?: string;
}
