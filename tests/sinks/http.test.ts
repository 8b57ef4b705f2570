import assert from 'node:assert/strict';
import { test } from 'node:test';
import { httpSinkSpec } from '../../sinks/http/spec.ts';
import { codeOf, connect, sinkContext, sinkContract } from '../contract/sink.ts';
import { batchOf } from '../contract/sink-events.ts';
import { type Behaviour, type SeenRequest, startTestServer } from '../contract/sink-http-server.ts';
import { afterTest } from '../support/after-test.ts';

const never = (): AbortSignal => new AbortController().signal;

async function createSink(url: string, more: Record<string, unknown> = {}) {
  return await httpSinkSpec.create(
    httpSinkSpec.options.parse({ url, ...more }),
    sinkContext('/nonexistent'),
  );
}

interface Event {
  readonly id: string;
  readonly data: unknown;
}
const eventsOf = (request: SeenRequest): Event[] => JSON.parse(request.body);

const ok: Behaviour = () => ({ status: 204 });

sinkContract({
  name: 'http',
  async start(t) {
    const far = await startTestServer(t, ok);
    const become = (behaviour: Behaviour) => async () => {
      far.behaviour = behaviour;
    };
    return {
      create: () => createSink(far.url),
      seen: async () => far.taken.flatMap(eventsOf).map(({ data }) => Number(data)),
      heal: become(ok),
      cut: become(() => 'cut'),
      stall: become(() => 'stall'),
      refuse: become(() => ({ status: 401 })),
      throttle: (waitMs) =>
        become(() => ({ status: 429, headers: { 'retry-after': `${waitMs / 1000}` } }))(),
      reject: (offset) =>
        become((request) => {
          const poison = eventsOf(request).some(({ data }) => data === offset);
          return { status: poison ? 422 : 200 };
        })(),
    };
  },
});

test('http: the request that a receiver gets', async (t) => {
  const far = await startTestServer(t, ok);
  const headers = { 'X-Tenant': 'blue' };
  const sink = await createSink(`${far.url}/in?k=1`, { headers, token: 's3cret' });
  await connect(sink);
  afterTest(t, () => sink.close(never()));
  await sink.send(await sink.encode(batchOf(7, 3, 'alarm')), never());
  const [request] = far.taken;
  assert.ok(request);
  assert.equal(request.method, 'POST');
  assert.equal(request.url, '/in?k=1');
  assert.equal(request.headers['content-type'], 'application/cloudevents-batch+json');
  assert.equal(request.headers['content-encoding'], 'gzip');
  assert.equal(request.headers['authorization'], 'Bearer s3cret');
  assert.equal(request.headers['x-tenant'], 'blue');
  assert.equal(request.headers['webhook-id'], 'gateway-01.a1b2.alarm.7-9');
  assert.equal(request.headers['idempotency-key'], 'gateway-01.a1b2.alarm.7-9');
  assert.deepEqual(
    eventsOf(request).map(({ id }) => id),
    ['gateway-01.a1b2.alarm.7', 'gateway-01.a1b2.alarm.8', 'gateway-01.a1b2.alarm.9'],
  );
});

test('http: NDJSON, readings, PUT, and no compression', async (t) => {
  const far = await startTestServer(t, ok);
  const options = { format: 'ndjson', content: 'readings', compression: 'none', method: 'PUT' };
  const sink = await createSink(far.url, options);
  await connect(sink);
  afterTest(t, () => sink.close(never()));
  await sink.send(await sink.encode(batchOf(7, 2)), never());
  const [request] = far.taken;
  assert.ok(request);
  assert.equal(request.method, 'PUT');
  assert.equal(request.headers['content-type'], 'application/x-ndjson');
  assert.equal(request.headers['content-encoding'], undefined);
  const lines = request.body.split('\n');
  assert.equal(lines.length, 3);
  assert.equal(lines[2], '');
  const { data } = JSON.parse(lines[1] ?? '');
  assert.equal(data[0].value, 8);
  assert.equal(data[0].device, 'dev1');
  assert.equal(data[0].metric, 'temp');
});

test('http: one connection carries all batches', async (t) => {
  const far = await startTestServer(t, ok);
  let connections = 0;
  far.server.on('connection', () => connections++);
  const sink = await createSink(far.url);
  await connect(sink);
  afterTest(t, () => sink.close(never()));
  for (let i = 0; i < 5; i++) await sink.send(await sink.encode(batchOf(i, 1)), never());
  assert.equal(connections, 1);
});

test('http: encoding a full batch leaves the event loop free', async () => {
  const sink = await createSink('http://127.0.0.1:9');
  const batch = batchOf(1, 5_000);
  await sink.encode(batch); // compiled by now
  let longestMs = 0;
  let lastMs = performance.now();
  const timer = setInterval(() => {
    longestMs = Math.max(longestMs, performance.now() - lastMs);
    lastMs = performance.now();
  }, 1);
  await sink.encode(batch);
  clearInterval(timer);
  longestMs = Math.max(longestMs, performance.now() - lastMs);
  // The aim is 15 ms; a busy machine is given four times that.
  assert.ok(longestMs < 60, `${longestMs} ms`);
});

test('http: the far side is silent: SINK_TIMEOUT', async (t) => {
  const far = await startTestServer(t, () => 'stall');
  const sink = await createSink(far.url, { timeout: '100 ms' });
  await connect(sink);
  afterTest(t, () => sink.close(never()));
  const error = await codeOf(sink.send(await sink.encode(batchOf(1, 1)), never()));
  assert.equal(error.code, 'SINK_TIMEOUT');
});

test('http: options that cannot work are refused', () => {
  const problems = (options: Record<string, unknown>) => {
    const result = httpSinkSpec.options.safeParse({ url: 'http://far/', ...options });
    return result.error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  };
  assert.equal(problems({}), undefined);
  assert.match(String(problems({ url: 'far' })), /^url: expected an address/);
  assert.match(String(problems({ url: 'ftp://far' })), /^url: expected an address/);
  assert.match(String(problems({ url: 'http://me:pw@far/' })), /^url: credentials/);
  assert.match(String(problems({ headers: { a: 'x\r\nb: y' } })), /^headers.a: .*line break/);
  assert.match(String(problems({ headers: { 'a b': 'x' } })), /^headers.a b: .*name/);
  assert.match(String(problems({ headers: { a: 'x\u0000' } })), /^headers.a: .*character/);
  assert.match(String(problems({ headers: { Host: 'x' } })), /^headers.Host: .*itself/);
  assert.match(String(problems({ token: 'x\ny' })), /^token: .*line break/);
  assert.match(
    String(problems({ token: 'x', headers: { Authorization: 'y' } })),
    /^headers.Authorization: contradicts/,
  );
  assert.match(String(problems({ cert_file: 'x' })), /^key_file: .*together/);
  assert.match(String(problems({ urll: 'x' })), /unrecognized/i);
});

test('http: the host that is shared with other sinks', () => {
  const options = httpSinkSpec.options.parse({ url: 'https://example.org:8443/in' });
  assert.equal(httpSinkSpec.host(options), 'example.org:8443');
});
