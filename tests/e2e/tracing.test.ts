import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';
import { parseTraceparent } from '../../hub/core/trace.ts';
import { afterTest } from '../support/after-test.ts';
import { eventually, type HubProcess, hubYaml, runHub } from '../support/hub-process.ts';
import { openMetricsProblems } from '../support/open-metrics.ts';
import { publishers } from '../support/oracle-publisher.ts';
import { type OtlpReceiver, otlpReceiver } from '../support/otlp-receiver.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const ARRIVED = z.array(z.object({ subject: z.string(), traceparent: z.string().optional() }));
const traceOf = (letter: string) => letter.repeat(32);
const spanOf = (letter: string) => letter.repeat(16);

/** Answers 503 to its first request; then notes the `traceparent` of each topic. */
async function traceFarSide(t: TestContext) {
  const arrived = new Map<string, string | undefined>();
  let requests = 0;
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    if (requests++ === 0) {
      response.writeHead(503).end();
      return;
    }
    const events = ARRIVED.parse(JSON.parse(gunzipSync(Buffer.concat(chunks)).toString()));
    for (const { subject, traceparent } of events) arrived.set(subject, traceparent);
    response.writeHead(204).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterTest(t, () => {
    server.close();
    server.closeAllConnections();
  });
  const address = server.address();
  assert.ok(address && typeof address === 'object');
  return { arrived, url: `http://127.0.0.1:${address.port}/` };
}

function post(hub: HubProcess, events: readonly Readonly<Record<string, unknown>>[]) {
  const common = { specversion: '1.0', id: '1', source: '/s', type: 't', data: { n: 1 } };
  return fetch(`${hub.url}/api/v1/events`, {
    method: 'POST',
    headers: {
      'content-type': 'application/cloudevents-batch+json',
      traceparent: `00-${traceOf('a')}-${spanOf('a')}-01`,
      tracestate: 'vendor=x',
    },
    body: JSON.stringify(events.map((event) => ({ ...common, ...event }))),
  });
}

const only = <Item>(items: readonly Item[]): Item => {
  const [first] = items;
  assert.ok(first !== undefined && items.length === 1, `${items.length} instead of one`);
  return first;
};

/** What deliveries that the far side took link to; it may take them together or one by one. */
function deliveredIn(receiver: OtlpReceiver) {
  const taken = receiver.named('delivery cloud').filter(({ status }) => status === undefined);
  return taken.flatMap(({ links = [] }) => links);
}

function checkSpans(receiver: OtlpReceiver, far: ReadonlyMap<string, string | undefined>): void {
  assert.deepEqual(receiver.problems, []);
  const [a, b] = ['a', 'b'].map((letter) =>
    only(receiver.named('intake http').filter(({ traceId }) => traceId === traceOf(letter))),
  );
  assert.ok(a && b);
  assert.deepEqual([a.parentSpanId, a.traceState], [spanOf('a'), 'vendor=x']);
  assert.deepEqual([b.parentSpanId, b.traceState], [spanOf('b'), undefined]);
  assert.equal(a.attributes['messaging.destination.name'], 'site/a/one/x');
  const commit = only(receiver.named('commit log'));
  assert.deepEqual([commit.traceId, commit.parentSpanId], [a.traceId, a.spanId]);
  assert.deepEqual(commit.links, [{ traceId: b.traceId, spanId: b.spanId }]);
  const links = [a, b].map(({ traceId, spanId }) => ({ traceId, spanId }));
  const deliveries = receiver.named('delivery cloud');
  for (const delivery of deliveries) {
    const batch = only(receiver.spans.filter(({ spanId }) => spanId === delivery.parentSpanId));
    assert.deepEqual([batch.name, batch.traceId], ['batch cloud', delivery.traceId]);
    assert.ok(batch.endTimeUnixNano <= delivery.endTimeUnixNano);
    const [first, ...others] = delivery.links ?? [];
    assert.deepEqual(first, { traceId: batch.traceId, spanId: batch.parentSpanId });
    assert.deepEqual(others, batch.links ?? []);
  }
  const failed = deliveries.find(({ status }) => status !== undefined);
  assert.match(failed?.status?.message ?? '', /503/);
  assert.equal(failed?.attributes['error.type'], 'SINK_THROTTLED');
  assert.deepEqual(failed?.links, links);
  assert.deepEqual(deliveredIn(receiver), links, 'each was taken once, in order');
  assert.ok(a.startTimeUnixNano <= commit.endTimeUnixNano);
  assert.ok(commit.endTimeUnixNano <= a.endTimeUnixNano + 1, 'committed, then accepted');
  const toFar = (topic: string) => parseTraceparent(far.get(topic) ?? '');
  assert.deepEqual(toFar('site/a/one/x'), { traceId: a.traceId, spanId: a.spanId, flags: 1 });
  assert.deepEqual(toFar('site/a/two/x'), { traceId: b.traceId, spanId: b.spanId, flags: 1 });
}

test('e2e: a trace goes from the HTTP ingest through the hub to the far side', async (t) => {
  const far = await traceFarSide(t);
  const receiver = await otlpReceiver(t);
  const retry = 'retry: { delay_min: 50 ms, delay_max: 500 ms }';
  const sink = `{ id: cloud, type: http, url: "${far.url}", ${retry}, batch: { linger_ms: 50 } }`;
  const tracing = `tracing: { otlp: { url: "${receiver.url}", headers: { x-key: k } } }`;
  const hub = await runHub(t, await temporaryFolder(t), hubYaml([sink], [tracing]));
  await hub.ready();
  const unsampled = `00-${traceOf('c')}-${spanOf('c')}-00`;
  const answer = await post(hub, [
    { subject: 'site/a/one/x' },
    { subject: 'site/a/two/x', traceparent: `00-${traceOf('b')}-${spanOf('b')}-01` },
    { subject: 'site/a/three/x', traceparent: unsampled },
  ]);
  assert.equal(answer.status, 204);
  const query = '/api/v1/events?topic=site/a/four/x';
  assert.equal((await fetch(hub.url + query, { method: 'POST', body: '4' })).status, 204);
  await eventually('delivered', () => far.arrived.size === 4);
  assert.equal(far.arrived.get('site/a/three/x'), unsampled, 'passed on as it came');
  assert.equal(far.arrived.get('site/a/four/x'), undefined);
  await eventually('exported', () => deliveredIn(receiver).length === 2);
  checkSpans(receiver, far.arrived);
  assert.equal(receiver.headers['x-key'], 'k');
  const accept = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5';
  const metrics = await fetch(`${hub.url}/metrics`, { headers: { accept } });
  assert.match(metrics.headers.get('content-type') ?? '', /^application\/openmetrics-text/);
  const text = await metrics.text();
  assert.deepEqual(openMetricsProblems(text), []);
  for (const name of ['log_commit_seconds_bucket', 'sink_batch_seconds_bucket'])
    assert.match(text, new RegExp(`holdfast_${name}\\{.*\\} \\d+ # \\{trace_id="[ab]{32}"\\} `));
  const counted = new RegExp(`^holdfast_spans_exported_total ${receiver.spans.length}$`, 'm');
  await eventually('counted', async () => counted.test(await (await hub.get('/metrics')).text()));
  const listed = await (await hub.get('/api/v1/events?topic=site/a/three/x')).json();
  assert.equal(only(ARRIVED.parse(listed)).traceparent, unsampled, 'the API shows it too');
});

test('e2e: a dead collector holds up nothing, and what is sampled is passed on', async (t) => {
  const far = await traceFarSide(t);
  const sink = `{ id: cloud, type: http, url: "${far.url}", retry: { delay_min: 50 ms } }`;
  const otlp = 'otlp: { url: "http://127.0.0.1:9/v1/traces", timeout: 1 s }';
  const tracing = `tracing: { sample_ratio: 1, ${otlp} }`;
  const hub = await runHub(t, await temporaryFolder(t), hubYaml([sink], [tracing]));
  await hub.ready();
  const options = { port: hub.mqttPort, qos: 1, window: 50, total: 1_500 } as const;
  const [one, two] = publishers(t, 2, options);
  assert.ok(one && two);
  await eventually('all acknowledged', () => one.done && two.done);
  await eventually('drained', async () => (await hub.sink('cloud')).lagEvents === 0);
  assert.ok(parseTraceparent(far.arrived.get(one.topic) ?? ''), 'a trace of our own');
  await eventually('dropped and counted', async () => {
    const text = await (await hub.get('/metrics')).text();
    return Number(/^holdfast_spans_dropped_total (\d+)$/m.exec(text)?.[1]) > 0;
  });
  const startMs = performance.now();
  assert.equal(await hub.kill('SIGTERM'), 0);
  assert.ok(performance.now() - startMs < 8_000);
});
