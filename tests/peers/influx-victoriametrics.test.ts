import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Decode, Reading } from '../../hub/core/event.ts';
import { influxSinkSpec } from '../../sinks/influx/spec.ts';
import { codeOf, connect, deliver, sinkContext, until } from '../contract/sink.ts';
import { batchOf, decodeForTest, eventOf, START_MS } from '../contract/sink-events.ts';
import { afterTest } from '../support/after-test.ts';
import {
  hasVictoriaMetrics,
  startVictoriaMetrics,
  type VictoriaMetrics,
} from '../support/victoria-metrics.ts';

const never = (): AbortSignal => new AbortController().signal;

async function start(t: TestContext): Promise<VictoriaMetrics> {
  const far = await startVictoriaMetrics();
  afterTest(t, () => far.stop());
  return far;
}

async function createSink(
  t: TestContext,
  url: string,
  more: Record<string, unknown> = {},
  decode: Decode = decodeForTest,
) {
  const options = influxSinkSpec.options.parse({ url, ...more });
  const sink = await influxSinkSpec.create(options, sinkContext('/nonexistent', { decode }));
  afterTest(t, () => sink.close(never()));
  return sink;
}

async function values(far: VictoriaMetrics, selector: string): Promise<(readonly number[])[]> {
  await far.flush();
  const series = await far.exportPoints(selector);
  return series.map(({ points }) => points.map(({ value }) => value));
}

test('VictoriaMetrics holds what was sent, by both APIs, each sample once', async (t) => {
  if (!hasVictoriaMetrics(t)) return;
  const far = await start(t);
  for (const [i, api] of ['v1', 'v2'].entries()) {
    const sink = await createSink(t, far.url, { api, confirm_window: '60 s', measurement: api });
    await connect(sink);
    await deliver(sink, i, 3_000);
    await deliver(sink, i + 3_000, 1);
    await deliver(sink, i, 3_000); // again, as after a rewind
    const expected = Array.from({ length: 3_001 }, (_, n) => n + i);
    await until(async () => (await values(far, `${api}_temp`))[0]?.length !== undefined, 'visible');
    const count = await far.query(`count_over_time(${api}_temp[2h])`, START_MS + 60_000);
    assert.equal(count[0]?.points[0]?.value, 3_001);
    assert.deepEqual([...new Set((await values(far, `${api}_temp`))[0])], expected);
    const [labels] = await far.series(`${api}_temp`);
    const about = { area: 'house', device: 'dev1', hub: 'gateway-01' };
    assert.deepEqual(labels, { __name__: `${api}_temp`, ...about });
  }
});

test('VictoriaMetrics reads names with odd characters as they were', async (t) => {
  if (!hasVictoriaMetrics(t)) return;
  const far = await start(t);
  const area = 'a b,c=d "e" ü 😀 {x}';
  const device = '#dev=1, 2';
  const reading: Omit<Reading, 'metric' | 'value'> = {
    device,
    timeMs: START_MS,
    timeQuality: 'synced',
    tags: { area },
  };
  const readings: Reading[] = [
    { ...reading, metric: 'temp', value: -1.5e-7 },
    { ...reading, metric: 'open', value: true },
    { ...reading, metric: 'big', value: 1e21 },
    { ...reading, metric: 'note', value: 'abc' },
    { ...reading, metric: 'odd name,x=y', value: 4 },
  ];
  const sink = await createSink(t, far.url, {}, () => ({ ...reading, readings }));
  await connect(sink);
  await sink.send(await sink.encode({ lane: 'normal', events: [eventOf({ offset: 1 })] }), never());
  await far.flush();
  const stored = await far.exportPoints('{hub="gateway-01"}');
  const found = new Map(stored.map(({ labels, points }) => [labels['__name__'], points[0]?.value]));
  const expected: [string, number][] = [
    ['telemetry_temp', -1.5e-7],
    ['telemetry_open', 1],
    ['telemetry_big', 1e21],
    ['telemetry_odd name,x=y', 4],
  ];
  assert.deepEqual(new Map([...found].sort()), new Map(expected.sort()));
  for (const { labels } of stored)
    assert.deepEqual([labels['area'], labels['device']], [area, device]);
});

test('VictoriaMetrics, killed: the instance changes; what is sent again is there', async (t) => {
  if (!hasVictoriaMetrics(t)) return;
  const far = await start(t);
  const sink = await createSink(t, far.url, { confirm_window: '60 s' });
  const before = await sink.connect(never());
  assert.match(before.instance ?? '', /^\d{10}$/);
  assert.deepEqual(await sink.connect(never()), before, 'the same as long as it runs');
  await deliver(sink, 1, 10);
  await far.kill();
  const batch = await sink.encode(batchOf(11, 10));
  assert.equal((await codeOf(sink.send(batch, never()))).code, 'SINK_DISCONNECTED');
  assert.equal((await codeOf(sink.connect(never()))).code, 'SINK_DISCONNECTED');
  await until(() => Math.floor(Date.now() / 1000) > Number(before.instance), 'another second');
  await far.start();
  const after = await sink.connect(never());
  assert.ok(Number(after.instance) > Number(before.instance));
  const left = (await values(far, 'telemetry_temp')).flat().length;
  t.diagnostic(`${left} of 10 acknowledged samples were left`); // none, unless it had time to flush
  await deliver(sink, 1, 20); // as the forwarder rewinds
  const expected = Array.from({ length: 20 }, (_, i) => i + 1);
  const stored = (await values(far, 'telemetry_temp')).flat();
  assert.deepEqual([...new Set(stored)], expected);
});

test('VictoriaMetrics, restarted while nothing is sent: the next batch notices', async (t) => {
  if (!hasVictoriaMetrics(t)) return;
  const far = await start(t);
  const sink = await createSink(t, far.url, { confirm_window: '60 s' });
  const before = await sink.connect(never());
  await deliver(sink, 1, 5);
  await far.kill();
  await until(() => Math.floor(Date.now() / 1000) > Number(before.instance), 'another second');
  await far.start();
  await delay(50); // the sink's idle connections learn that they are closed
  const batch = await sink.encode(batchOf(6, 5));
  assert.equal((await codeOf(sink.send(batch, never()))).code, 'SINK_DISCONNECTED');
  assert.notDeepEqual(await sink.connect(never()), before);
});
