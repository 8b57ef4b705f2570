import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../hub/clock/system-clock.ts';
import type { Span } from '../../hub/observe/tracing/span.ts';
import {
  SPANS_MAX,
  SpanExporter,
  type SpanExporterOptions,
} from '../../hub/observe/tracing/span-exporter.ts';
import { afterTest } from '../support/after-test.ts';
import { OtlpReceiver, otlpReceiver } from '../support/otlp-receiver.ts';
import { until } from '../support/until.ts';

const clock = systemClock();

function spanOf(n: number, more: Partial<Span> = {}): Span {
  const nowMs = clock.monotonicMs();
  return {
    traceId: (n + 1).toString(16).padStart(32, '0'),
    spanId: (n + 1).toString(16).padStart(16, '0'),
    parentSpanId: undefined,
    name: 'intake mqtt',
    kind: 'consumer',
    startMs: nowMs - 20,
    endMs: nowMs,
    attributes: {},
    links: [],
    ...more,
  };
}

function exporterOf(t: TestContext, url: string, more: Partial<SpanExporterOptions> = {}) {
  const told = { exported: 0, dropped: 0, warned: [] as string[] };
  const exporter = new SpanExporter({
    hubId: 'gw',
    version: '1.2.3',
    url: new URL(url),
    headers: { 'x-key': 'secret' },
    compression: 'gzip',
    timeoutMs: 300,
    tls: {},
    folder: '.',
    clock,
    random: () => 0,
    gatherMs: 5,
    delayMinMs: 10,
    warn: (_key, message) => told.warned.push(message),
    exported: (spans) => {
      told.exported += spans;
    },
    dropped: (spans) => {
      told.dropped += spans;
    },
    ...more,
  });
  exporter.start();
  afterTest(t, () => exporter.stop());
  return { exporter, told };
}

test('spans: arrive as they were made, with times of the wall clock', async (t) => {
  const receiver = await otlpReceiver(t);
  const { exporter, told } = exporterOf(t, receiver.url);
  const link = { traceId: 'c3'.repeat(16), spanId: 'd4'.repeat(8), flags: 1 };
  const attributes = { text: 'é\n"', whole: 7, part: 0.25, large: 2 ** 60, yes: true };
  exporter.add(
    spanOf(1, {
      ...{ attributes, links: [link], parentSpanId: 'e5'.repeat(8), traceState: 'a=1' },
      error: `failed ${'x'.repeat(1_000)}`,
    }),
  );
  exporter.add(spanOf(2));
  await until('both', () => told.exported === 2);
  assert.deepEqual(receiver.problems, []);
  assert.equal(receiver.requests, 1);
  assert.equal(receiver.headers['x-key'], 'secret');
  assert.deepEqual(receiver.resources, [
    { 'service.name': 'holdfast', 'service.instance.id': 'gw', 'service.version': '1.2.3' },
  ]);
  const [first, second] = receiver.spans;
  assert.deepEqual(first?.attributes, attributes);
  assert.deepEqual(first?.links, [{ traceId: link.traceId, spanId: link.spanId }]);
  assert.equal(first?.traceState, 'a=1');
  assert.match(first?.status?.message ?? '', /^failed x+$/);
  assert.equal(second?.parentSpanId, undefined);
  const { startTimeUnixNano: startMs = 0, endTimeUnixNano: endMs = 0 } = second ?? {};
  assert.ok(Math.abs(endMs - startMs - 20) < 0.01);
  assert.ok(Math.abs(endMs - Date.now()) < 10_000);
});

test('spans: a collector that is away, hangs, cuts or is busy gets them when it is back', async (t) => {
  const receiver = new OtlpReceiver();
  await receiver.start();
  const { url } = receiver;
  await receiver.stop();
  const { exporter, told } = exporterOf(t, url);
  exporter.add(spanOf(1));
  await until('the first try', () => told.warned.length > 0);
  afterTest(t, () => receiver.stop());
  await receiver.start();
  for (const answer of ['hang', 'cut', 503, 429] as const) {
    receiver.answer = answer;
    const { requests } = receiver;
    await until(String(answer), () => receiver.requests > requests);
    const warned = told.warned.length;
    await until(`${answer} is told`, () => told.warned.length > warned);
  }
  receiver.answer = 200;
  await until('it arrives', () => told.exported === 1);
  assert.equal(told.dropped, 0);
  assert.equal(new Set(told.warned).size, 1);
});

test('spans: what is refused is dropped and counted, and not sent again', async (t) => {
  const receiver = await otlpReceiver(t);
  receiver.answer = 400;
  const { exporter, told } = exporterOf(t, receiver.url);
  exporter.add(spanOf(1));
  await until('refused', () => told.dropped === 1);
  assert.equal(receiver.requests, 1);
  receiver.answer = { rejected: 2 };
  for (let n = 0; n < 3; n++) exporter.add(spanOf(n));
  await until('a part', () => told.exported === 1);
  assert.equal(told.dropped, 3);
});

test('spans: no more are kept than fit, and adding never waits', async (t) => {
  const receiver = await otlpReceiver(t);
  receiver.answer = 'hang';
  const { exporter, told } = exporterOf(t, receiver.url, { timeoutMs: 60_000 });
  const startMs = performance.now();
  for (let n = 0; n < SPANS_MAX + 100; n++) exporter.add(spanOf(n));
  assert.equal(told.dropped, 100);
  assert.ok(performance.now() - startMs < 500);
  await until('it hangs', () => receiver.requests === 1);
  const stopMs = performance.now();
  await exporter.stop();
  assert.ok(performance.now() - stopMs < 4_000, 'a collector that hangs does not hold the hub');
  assert.equal(told.dropped, SPANS_MAX + 100);
  exporter.add(spanOf(1));
  assert.equal(told.dropped, SPANS_MAX + 101);
});

test('spans: a hub that stops brings home what it has', async (t) => {
  const receiver = await otlpReceiver(t);
  const { exporter, told } = exporterOf(t, receiver.url);
  for (let n = 0; n < 1_500; n++) exporter.add(spanOf(n));
  await exporter.stop();
  assert.deepEqual([told.exported, told.dropped, receiver.spans.length], [1_500, 0, 1_500]);
  assert.equal(receiver.requests, 3);
});
