/**
 * Spans as OTLP/HTTP has them in JSON (opentelemetry-proto, `ExportTraceServiceRequest`): ids in
 * hex, 64-bit numbers as text, enums as numbers.
 */
import { type AttributeValue, type Span, TEXT_CHARS_MAX } from './span.ts';

/** Whose spans they are. */
export interface OtlpResource {
  readonly hubId: string;
  readonly version: string;
}

const KINDS: Readonly<Record<Span['kind'], number>> = { internal: 1, client: 3, consumer: 5 };
const STATUS_ERROR = 2;
const US_PER_MS = 1000;
const NS_PER_US = 1000n;

function attributeOf(key: string, value: AttributeValue) {
  if (typeof value === 'string')
    return { key, value: { stringValue: value.slice(0, TEXT_CHARS_MAX) } };
  if (typeof value === 'boolean') return { key, value: { boolValue: value } };
  return Number.isSafeInteger(value)
    ? { key, value: { intValue: String(value) } }
    : { key, value: { doubleValue: value } };
}

function attributesOf(attributes: Readonly<Record<string, AttributeValue>>) {
  return Object.entries(attributes).map(([key, value]) => attributeOf(key, value));
}

/** To the microsecond: more than the clock can tell, and what a double holds. */
function nanoseconds(wallMs: number): string {
  return String(BigInt(Math.round(wallMs * US_PER_MS)) * NS_PER_US);
}

function spanOf(span: Span, monotonicToWallMs: number) {
  const { traceId, spanId, parentSpanId, traceState, name, kind, error } = span;
  return {
    traceId,
    spanId,
    ...(parentSpanId !== undefined && { parentSpanId }),
    ...(traceState !== undefined && { traceState }),
    name,
    kind: KINDS[kind],
    startTimeUnixNano: nanoseconds(span.startMs + monotonicToWallMs),
    endTimeUnixNano: nanoseconds(span.endMs + monotonicToWallMs),
    attributes: attributesOf(span.attributes),
    ...(span.links.length > 0 && {
      links: span.links.map((link) => ({ traceId: link.traceId, spanId: link.spanId })),
    }),
    ...(error !== undefined && {
      status: { code: STATUS_ERROR, message: error.slice(0, TEXT_CHARS_MAX) },
    }),
  };
}

/**
 * The body of one request. `monotonicToWallMs`: what has to be added to the times of the spans; as
 * it is known now, so that spans from before the clock was set come out right.
 */
export function otlpJson(
  spans: readonly Span[],
  { hubId, version }: OtlpResource,
  monotonicToWallMs: number,
): string {
  const resource = {
    'service.name': 'holdfast',
    'service.instance.id': hubId,
    'service.version': version,
  };
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: attributesOf(resource) },
        scopeSpans: [
          {
            scope: { name: 'holdfast', version },
            spans: spans.map((span) => spanOf(span, monotonicToWallMs)),
          },
        ],
      },
    ],
  });
}
