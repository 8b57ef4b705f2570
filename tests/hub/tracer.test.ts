import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HubError } from '../../hub/core/errors.ts';
import { SAMPLED_FLAGS, type TraceContext, type TracedEvent } from '../../hub/core/trace.ts';
import type { Span } from '../../hub/observe/tracing/span.ts';
import { Tracer } from '../../hub/observe/tracing/tracer.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { seededRandom } from '../support/seeded-random.ts';

const INCOMING: TraceContext = { traceId: 'a1'.repeat(16), spanId: 'b2'.repeat(8), flags: 1 };
const UNSAMPLED: TraceContext = { ...INCOMING, flags: 0 };

function tracerOf(sampleRatio: number, wanted = true) {
  const spans: Span[] = [];
  const clock = new FakeClock();
  const sink = { add: (span: Span) => spans.push(span) };
  const options = { clock, random: seededRandom(7), sampleRatio };
  const tracer = new Tracer({ ...options, spans: wanted ? sink : undefined });
  const eventOf = (trace?: TraceContext): TracedEvent => ({
    monotonicMs: clock.monotonicMs(),
    bootId: clock.bootId,
    ...(trace && { trace }),
  });
  return { tracer, spans, clock, eventOf };
}

test('tracer: the ratio of messages without a context begins a trace', () => {
  for (const ratio of [0, 0.001, 0.1, 0.5, 1]) {
    const { tracer } = tracerOf(ratio);
    let sampled = 0;
    const all = 200_000;
    for (let n = 0; n < all; n++) sampled += tracer.arrived('mqtt', 't', 1, undefined) ? 1 : 0;
    const [expected, deviation] = [ratio * all, Math.sqrt(all * ratio * (1 - ratio))];
    assert.ok(Math.abs(sampled - expected) <= 5 * deviation, `${ratio}: ${sampled}`);
  }
});

test('tracer: what comes with a context keeps it, sampled or not', () => {
  const { tracer, spans, clock } = tracerOf(1);
  assert.equal(tracer.arrived('http', 't', 1, UNSAMPLED), undefined, 'its own context is kept');
  const arrival = tracer.arrived('http', 'site/a', 5, { ...INCOMING, traceState: 'x=1' });
  assert.equal(arrival?.trace.traceId, INCOMING.traceId);
  assert.equal(arrival?.trace.flags, 1);
  assert.notEqual(arrival?.trace.spanId, INCOMING.spanId, 'what comes next is a child of ours');
  clock.advance(12);
  arrival?.accepted();
  const [span] = spans;
  assert.deepEqual(
    [span?.name, span?.kind, span?.parentSpanId, span?.spanId, span?.traceState],
    ['intake http', 'consumer', INCOMING.spanId, arrival?.trace.spanId, 'x=1'],
  );
  assert.equal((span?.endMs ?? 0) - (span?.startMs ?? 0), 12);
  assert.equal(span?.attributes['messaging.destination.name'], 'site/a');
  assert.equal(span?.attributes['messaging.message.body.size'], 5);
  tracer.arrived('http', 't', 1, INCOMING)?.accepted(new HubError('LOG_CLOSED', 'stopping'));
  assert.equal(spans[1]?.error, 'stopping');
});

test('tracer: without a collector a trace begins all the same, and makes no spans', () => {
  const { tracer, spans, eventOf } = tracerOf(1, false);
  const arrival = tracer.arrived('mqtt', 't', 1, undefined);
  assert.match(arrival?.trace.traceId ?? '', /^[0-9a-f]{32}$/);
  assert.equal(arrival?.trace.flags, SAMPLED_FLAGS);
  arrival?.accepted();
  assert.equal(tracer.arrived('mqtt', 't', 1, INCOMING), undefined, 'passed on as it came');
  const batch = tracer.sink('cloud', 'http').batch([eventOf(INCOMING)]);
  batch?.ready();
  batch?.delivery(1).ended({});
  assert.equal(batch?.traceId, INCOMING.traceId, 'for an exemplar');
  assert.deepEqual(spans, []);
});

test('tracer: commit, batch and delivery are in the trace of the first, and link to the others', () => {
  const { tracer, spans, clock, eventOf } = tracerOf(0);
  const traces = Array.from({ length: 200 }, (_, n) => ({
    traceId: n.toString(16).padStart(32, 'a'),
    spanId: n.toString(16).padStart(16, 'b'),
    flags: 1,
  }));
  const [first] = traces;
  assert.ok(first);
  tracer.committed(traces, 0.5);
  tracer.committed([], 0.5);
  assert.equal(spans.length, 1);
  assert.deepEqual([spans[0]?.traceId, spans[0]?.parentSpanId], [first.traceId, first.spanId]);
  assert.equal(spans[0]?.links.length, 128);
  assert.equal((spans[0]?.endMs ?? 0) - (spans[0]?.startMs ?? 0), 500);
  const sink = tracer.sink('cloud', 'http');
  assert.equal(sink.batch([eventOf(), eventOf(UNSAMPLED)]), undefined);
  const events = [eventOf(), ...traces.map(eventOf)];
  clock.advance(2_000);
  const batch = sink.batch(events);
  assert.equal(batch?.traceId, first.traceId);
  clock.advance(30);
  batch?.ready();
  batch?.ready();
  batch?.delivery(1).ended({ error: new HubError('SINK_THROTTLED', 'slow down') });
  clock.advance(5);
  const delivery = batch?.delivery(2);
  clock.advance(70);
  delivery?.ended({ rejected: 3 });
  const [, gathered, failed, sent] = spans;
  assert.equal(spans.length, 4);
  assert.deepEqual([gathered?.name, gathered?.parentSpanId], ['batch cloud', first.spanId]);
  assert.equal(gathered?.attributes['messaging.batch.message_count'], 201);
  assert.equal(gathered?.attributes['holdfast.batch.sampled_message_count'], 200);
  assert.equal(gathered?.attributes['holdfast.batch.waited_seconds'], 2);
  for (const span of [failed, sent]) {
    assert.deepEqual(
      [span?.name, span?.kind, span?.traceId, span?.parentSpanId],
      ['delivery cloud', 'client', first.traceId, gathered?.spanId],
    );
    assert.deepEqual(span?.links.slice(0, 2), traces.slice(0, 2));
    assert.equal(span?.links.length, 128);
  }
  assert.equal(failed?.error, 'slow down');
  assert.equal(failed?.attributes['error.type'], 'SINK_THROTTLED');
  assert.equal(sent?.error, undefined);
  assert.equal(sent?.attributes['holdfast.delivery.attempt'], 2);
  assert.equal(sent?.attributes['holdfast.delivery.rejected_count'], 3);
});
