/**
 * Makes the spans of sampled events: `intake` (from the arrival until it is accepted), `commit`
 * (the write of its group), `batch` (gathered and encoded for a sink) and `delivery` (one try to
 * send it).
 *
 * Invariants:
 * - an event that brings a trace context keeps its trace, and whether it is sampled; one that
 *   brings none begins a trace with the probability `sampleRatio`;
 * - the span of a commit, batch or delivery is a child in the trace of the first sampled event, and
 *   links to all others: at most LINKS_MAX of them;
 * - what is not sampled costs a comparison.
 */
import type { Clock } from '../../core/clock.ts';
import { describeError, HubError } from '../../core/errors.ts';
import {
  type IncomingTrace,
  type IntakeTracing,
  isSampled,
  newSpanId,
  newTraceId,
  SAMPLED_FLAGS,
  type SinkTracing,
  type TraceContext,
  type TracedArrival,
  type TracedBatch,
  type TracedEvent,
} from '../../core/trace.ts';
import type { AttributeValue, Span } from './span.ts';

/** OpenTelemetry's own limit of links a span. */
const LINKS_MAX = 128;

export interface TracerOptions {
  readonly clock: Clock;
  /** In [0, 1). */
  random(): number;
  /** Which share of the messages without a trace context begins a trace, 0 to 1. */
  readonly sampleRatio: number;
  /** Takes finished spans; undefined when nobody wants them. */
  readonly spans: { add(span: Span): void } | undefined;
}

type Ended = Pick<Span, 'name' | 'kind' | 'startMs' | 'attributes'> & {
  readonly spanId?: string;
  readonly traceState?: string | undefined;
  readonly links?: readonly TraceContext[];
  readonly error?: string | undefined;
};

export class Tracer implements IntakeTracing {
  readonly #options: TracerOptions;
  /** Messages to pass over before the next one begins a trace. */
  #passOver: number;

  constructor(options: TracerOptions) {
    this.#options = options;
    this.#passOver = this.#gap();
  }

  arrived(
    source: string,
    topic: string,
    payloadBytes: number,
    incoming: IncomingTrace | undefined,
  ): TracedArrival | undefined {
    if (incoming === undefined) {
      if (--this.#passOver >= 0) return undefined;
      this.#passOver = this.#gap();
    } else if (!isSampled(incoming) || this.#options.spans === undefined) return undefined;
    const startMs = this.#now();
    const traceId = incoming?.traceId ?? newTraceId();
    const spanId = newSpanId();
    const flags = incoming?.flags ?? SAMPLED_FLAGS;
    const accepted = (error?: Error) => {
      this.#end(
        incoming && contextOf(incoming),
        {
          ...{ name: `intake ${source}`, kind: 'consumer', startMs, spanId },
          traceState: incoming?.traceState,
          attributes: {
            ...operation('intake', 'receive'),
            'messaging.destination.name': topic,
            'messaging.message.body.size': payloadBytes,
            'holdfast.source': source,
          },
          error: error && describeError(error),
        },
        traceId,
      );
    };
    return { trace: { traceId, spanId, flags }, accepted };
  }

  /** A group with sampled events has been written. */
  committed(traces: readonly TraceContext[], seconds: number): void {
    const [first, ...others] = traces;
    if (first === undefined) return;
    this.#end(first, {
      ...{ name: 'commit log', kind: 'internal', startMs: this.#now() - seconds * 1000 },
      attributes: { ...operation('commit'), 'holdfast.batch.sampled_message_count': traces.length },
      links: others.slice(0, LINKS_MAX),
    });
  }

  /** For one sink. Without a collector it still tells which trace a batch belongs to. */
  sink(id: string, type: string): SinkTracing {
    const { bootId } = this.#options.clock;
    const about = { 'holdfast.sink': id, 'holdfast.sink.type': type };
    return {
      batch: (events) => {
        const followed = sampledIn(events);
        const [first] = followed;
        if (first === undefined) return undefined;
        const startMs = this.#now();
        const waitedMs = first.bootId === bootId ? startMs - first.monotonicMs : undefined;
        const attributes = {
          ...about,
          'messaging.batch.message_count': events.length,
          'holdfast.batch.sampled_message_count': followed.length,
          ...(waitedMs !== undefined && { 'holdfast.batch.waited_seconds': waitedMs / 1000 }),
        };
        const traces = followed.map(({ trace }) => trace);
        return this.#batch(id, first.trace, traces.slice(0, LINKS_MAX), startMs, attributes);
      },
    };
  }

  #batch(
    sink: string,
    parent: TraceContext,
    links: readonly TraceContext[],
    startMs: number,
    attributes: Readonly<Record<string, AttributeValue>>,
  ): TracedBatch {
    const spanId = newSpanId();
    const self = { ...parent, spanId };
    let state: 'open' | 'ready' = 'open';
    return {
      traceId: parent.traceId,
      ready: () => {
        if (state === 'ready') return;
        state = 'ready';
        const all = { ...operation('batch'), ...attributes };
        const about = { name: `batch ${sink}`, kind: 'internal', startMs, spanId } as const;
        this.#end(parent, { ...about, attributes: all, links: links.slice(1) });
      },
      delivery: (attempt) => {
        const sentMs = this.#now();
        return {
          ended: ({ rejected = 0, error }) =>
            this.#end(self, {
              ...{ name: `delivery ${sink}`, kind: 'client', startMs: sentMs },
              attributes: {
                ...operation('delivery', 'send'),
                ...attributes,
                'holdfast.delivery.attempt': attempt,
                ...(rejected > 0 && { 'holdfast.delivery.rejected_count': rejected }),
                ...(error !== undefined && { 'error.type': errorType(error) }),
              },
              links,
              error: error === undefined ? undefined : describeError(error),
            }),
        };
      },
    };
  }

  #end(parent: TraceContext | undefined, ended: Ended, traceId = parent?.traceId): void {
    const { spans } = this.#options;
    if (spans === undefined || traceId === undefined) return;
    const { spanId = newSpanId(), links = [], error, ...rest } = ended;
    spans.add({
      ...rest,
      ...{ traceId, spanId, parentSpanId: parent?.spanId, links, endMs: this.#now() },
      ...(error !== undefined && { error }),
    });
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }

  /** Drawn once for all messages up to the next trace: a random number for each would cost more. */
  #gap(): number {
    const { sampleRatio, random } = this.#options;
    if (sampleRatio <= 0) return Number.POSITIVE_INFINITY;
    if (sampleRatio >= 1) return 0;
    return Math.floor(Math.log(1 - random()) / Math.log(1 - sampleRatio));
  }
}

function contextOf({ traceId, spanId, flags }: TraceContext): TraceContext {
  return { traceId, spanId, flags };
}

/** OpenTelemetry's semantic conventions for messaging. */
function operation(name: string, type?: 'receive' | 'send') {
  return {
    'messaging.system': 'holdfast',
    'messaging.operation.name': name,
    ...(type !== undefined && { 'messaging.operation.type': type }),
  };
}

function errorType(error: unknown): string {
  if (error instanceof HubError) return error.code;
  return error instanceof Error ? error.name : '_OTHER';
}

interface Followed extends TracedEvent {
  readonly trace: TraceContext;
}

function sampledIn(events: readonly TracedEvent[]): Followed[] {
  const found: Followed[] = [];
  for (const event of events) {
    const { trace } = event;
    if (trace === undefined || !isSampled(trace)) continue;
    found.push({ monotonicMs: event.monotonicMs, bootId: event.bootId, trace });
  }
  return found;
}
