import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { EVENTS_MAX } from '../../hub/api/ingest-events.ts';
import { type ApiOptions, createApi } from '../../hub/api/server.ts';
import { afterTest } from '../support/after-test.ts';
import { FixedView } from '../support/fixed-view.ts';
import { until } from '../support/until.ts';

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const OTHER = '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00';
const EVENT = { specversion: '1.0', id: '1', source: '/s', type: 't', subject: 'site/a/d/temp' };
const ONE = 'application/cloudevents+json';
const BATCH = 'application/cloudevents-batch+json; charset=utf-8';

async function startApi(t: TestContext, options: Partial<ApiOptions> = {}) {
  const view = new FixedView();
  const errors: object[] = [];
  const api = createApi({
    view,
    hubId: 'gw',
    host: '127.0.0.1',
    port: 0,
    consoleDir: join(tmpdir(), 'no-such-console'),
    logger: { error: (fields: object) => errors.push(fields) },
    ...options,
  });
  afterTest(t, () => api.close());
  const { url, port } = await api.listen();
  const post = (
    body: string | Buffer,
    headers: Record<string, string> = {},
    query = '',
  ): Promise<Response> =>
    fetch(`${url}/api/v1/events${query}`, { method: 'POST', body: Buffer.from(body), headers });
  const stored = () =>
    view.ingested
      .splice(0)
      .flat()
      .map(({ topic, payload, trace }) => [topic, payload.toString(), trace?.spanId] as const);
  return { view, errors, port, post, stored };
}

async function problemOf(answer: Response, status: number): Promise<Record<string, unknown>> {
  const text = await answer.text();
  assert.equal(answer.status, status, text);
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
  assert.doesNotMatch(text, /\n {4}at |node_modules|\.js:\d/, 'no stack');
  return JSON.parse(text);
}

test('ingest: a body with its topic in the query is stored byte by byte', async (t) => {
  const { view, post, stored } = await startApi(t);
  const bytes = Buffer.from([0, 1, 255, 13, 10]);
  for (const type of ['application/octet-stream', 'application/json', 'text/plain', 'x/y; a=b']) {
    const answer = await post(bytes, { 'content-type': type }, '?topic=site/a/d/temp');
    assert.equal(answer.status, 204, type);
    assert.equal(await answer.text(), '');
    assert.deepEqual(view.ingested.pop()?.[0]?.payload, bytes);
  }
  assert.equal((await post('', {}, '?topic=empty')).status, 204);
  assert.deepEqual(stored(), [['empty', '', undefined]]);
  await post('1', { traceparent: TRACE, tracestate: 'a=1' }, '?topic=x');
  assert.deepEqual(view.ingested.pop()?.[0]?.trace, {
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    spanId: '00f067aa0ba902b7',
    flags: 1,
    traceState: 'a=1',
  });
  await post('1', { traceparent: 'nonsense', tracestate: 'a=1' }, '?topic=x');
  assert.equal(view.ingested.pop()?.[0]?.trace, undefined);
});

test('ingest: CloudEvents, one, many, and in binary mode', async (t) => {
  const { view, post, stored } = await startApi(t);
  const one = `{"data" : {"v": 21.50, "n":12345678901234567890}, ${JSON.stringify(EVENT).slice(1)}`;
  assert.equal((await post(one, { 'content-type': ONE })).status, 204);
  assert.deepEqual(stored(), [
    ['site/a/d/temp', '{"v": 21.50, "n":12345678901234567890}', undefined],
  ]);
  const batch = [
    { ...EVENT, data: 'text', traceparent: TRACE },
    { ...EVENT, data: 'text', datacontenttype: 'text/plain' },
    { ...EVENT, data_base64: Buffer.from([9, 8]).toString('base64') },
    { ...EVENT, data: null },
    { ...EVENT, subject: 'é/日本/🌊' },
    { ...EVENT, data: '"', datacontenttype: 'application/vnd.x+json; charset=utf-8' },
  ];
  const headers = { 'content-type': BATCH, traceparent: OTHER };
  assert.equal((await post(JSON.stringify(batch), headers)).status, 204);
  assert.equal(view.ingested.length, 1, 'handed over at once');
  assert.deepEqual(stored(), [
    ['site/a/d/temp', '"text"', '00f067aa0ba902b7'],
    ['site/a/d/temp', 'text', 'b'.repeat(16)],
    ['site/a/d/temp', '\t\b', 'b'.repeat(16)],
    ['site/a/d/temp', 'null', 'b'.repeat(16)],
    ['é/日本/🌊', '', 'b'.repeat(16)],
    ['site/a/d/temp', '"\\""', 'b'.repeat(16)],
  ]);
  const binary = {
    ...{ 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' },
    ...{ 'ce-subject': 'site/%C3%A9', 'content-type': 'image/png', 'ce-traceparent': TRACE },
  };
  assert.equal((await post('png', binary)).status, 204);
  assert.deepEqual(stored(), [['site/é', 'png', '00f067aa0ba902b7']]);
  assert.equal((await post('[]', { 'content-type': BATCH })).status, 204);
});

test('ingest: gzip is taken, its bombs and other encodings are not', async (t) => {
  const { post, stored } = await startApi(t);
  const gzip = { 'content-type': ONE, 'content-encoding': 'gzip' };
  assert.equal((await post(gzipSync(JSON.stringify({ ...EVENT, data: 1 })), gzip)).status, 204);
  assert.deepEqual(stored(), [['site/a/d/temp', '1', undefined]]);
  await problemOf(await post(gzipSync(Buffer.alloc(50_000_000)), gzip), 413);
  await problemOf(await post('no gzip', gzip), 400);
  await problemOf(await post('x', { 'content-encoding': 'br' }, '?topic=x'), 415);
  assert.deepEqual(stored(), []);
});

test('ingest: one bad event refuses the batch, and the answer names it', async (t) => {
  const { post, stored, errors } = await startApi(t);
  const cases: readonly [unknown, string | undefined, RegExp][] = [
    [{ ...EVENT, specversion: '0.3' }, 'specversion', /"1\.0"/],
    [{ ...EVENT, subject: undefined }, 'subject', /topic/],
    [{ ...EVENT, subject: '' }, 'subject', /topic/],
    [{ ...EVENT, subject: 7 }, 'subject', /topic/],
    [{ ...EVENT, subject: '$SYS/x' }, 'subject', /topic/],
    [{ ...EVENT, id: '' }, 'id', /names the event/],
    [{ ...EVENT, source: undefined }, 'source', /comes from/],
    [{ ...EVENT, type: null }, 'type', /kind/],
    [{ ...EVENT, data: 1, data_base64: 'AA==' }, 'data_base64', /one of them/],
    [{ ...EVENT, data_base64: 'A' }, 'data_base64', /base64/],
    [{ ...EVENT, data_base64: 'AA-_' }, 'data_base64', /base64/],
    [{ ...EVENT, data_base64: [] }, 'data_base64', /base64/],
    [{ ...EVENT, data: 'x', datacontenttype: 7 }, 'datacontenttype', /media type/],
    [null, undefined, /JSON object/],
    [[EVENT], undefined, /JSON object/],
    ['event', undefined, /JSON object/],
  ];
  for (const [bad, attribute, expected] of cases) {
    const body = JSON.stringify([EVENT, bad, EVENT]);
    const problem = await problemOf(await post(body, { 'content-type': BATCH }), 400);
    assert.equal(problem['index'], 1, body);
    assert.equal(problem['attribute'], attribute);
    assert.match(String(problem['expected']), expected);
    assert.match(String(problem['detail']), /Nothing of the request was stored/);
  }
  const large = JSON.stringify([EVENT, { ...EVENT, data: 'x'.repeat(5_000) }]);
  const problem = await problemOf(await post(large, { 'content-type': BATCH }), 413);
  assert.equal(problem['index'], 1);
  const many = JSON.stringify(Array.from({ length: EVENTS_MAX + 1 }, () => EVENT));
  await problemOf(await post(many, { 'content-type': BATCH }), 413);
  assert.deepEqual(stored(), []);
  assert.deepEqual(errors, []);
});

test('ingest: what is no request for it says what was expected', async (t) => {
  const { post, stored } = await startApi(t);
  const cases: readonly [string | Buffer, Record<string, string>, string, number][] = [
    ['1', {}, '', 400],
    ['1', {}, '?topic=', 204], // the topic is judged by the hub, FixedView takes it
    ['1', {}, '?topic=$SYS/x', 400],
    ['1', {}, '?topic=a&topic=b', 400],
    ['1', {}, '?topik=a', 400],
    ['1', { 'content-type': ONE }, '?topic=a', 400],
    ['{', { 'content-type': ONE }, '', 400],
    ['', { 'content-type': ONE }, '', 400],
    ['{}', { 'content-type': BATCH }, '', 400],
    ['{}', { 'content-type': 'application/cloudevents+avro' }, '', 415],
    [Buffer.from([0x22, 0xff, 0x22]), { 'content-type': ONE }, '', 400],
    ['1', { 'ce-specversion': '1.0', 'ce-id': '%ff' }, '', 400],
    ['x'.repeat(5_000), {}, '?topic=a', 413],
    ['x'.repeat(2_000_000), {}, '?topic=a', 413],
  ];
  for (const [body, headers, query, status] of cases) {
    const answer = await post(body, headers, query);
    if (status === 204) assert.equal(answer.status, 204);
    else await problemOf(answer, status);
  }
  assert.deepEqual(stored(), [['', '1', undefined]]);
});

test('ingest: says when to come again', async (t) => {
  const { view, post, errors } = await startApi(t);
  for (const outcome of ['full', 'unsure'] as const) {
    view.ingestOutcome = outcome;
    const answer = await post('1', {}, '?topic=a');
    assert.equal(answer.headers.get('retry-after'), '5');
    await problemOf(answer, 503);
  }
  assert.deepEqual(errors, [], 'no defect');
});

test('ingest: bodies that would not fit in memory together are refused', async (t) => {
  const { port, post } = await startApi(t);
  const request = (body: string) =>
    `POST /api/v1/events?topic=a HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n${body}`;
  const sockets = Array.from({ length: 33 }, () => connect(port, '127.0.0.1'));
  afterTest(t, () => {
    for (const socket of sockets) socket.destroy();
  });
  let refused = 0;
  for (const socket of sockets) {
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      refused += /^HTTP\/1\.1 429/.test(data.toString()) ? 1 : 0;
    });
    socket.write(request('1\r\nx\r\n')); // and never the rest
  }
  await until('one refused', () => refused >= 1);
  for (const socket of sockets) socket.destroy();
  await until('room again', async () => (await post('1', {}, '?topic=a')).status === 204);
});

test('ingest: needs the token, and takes nothing from a page of another origin', async (t) => {
  const { post, stored } = await startApi(t, { token: 'secret' });
  await problemOf(await post('1', {}, '?topic=a'), 401);
  const authorization = 'Bearer secret';
  const foreign = { authorization, origin: 'http://evil.example' };
  await problemOf(await post('1', foreign, '?topic=a'), 403);
  assert.deepEqual(stored(), []);
  assert.equal((await post('1', { authorization }, '?topic=a')).status, 204);
});

test('ingest: no body makes it fail in another way than by a problem document', async (t) => {
  const { post, errors } = await startApi(t);
  const anyEvent = fc.oneof(
    fc.json({ stringUnit: 'binary' }),
    fc
      .dictionary(
        fc.constantFrom(...Object.keys(EVENT), 'data', 'data_base64', 'datacontenttype'),
        fc.jsonValue({ stringUnit: 'binary' }),
      )
      .map((changes) => JSON.stringify({ ...EVENT, ...changes })),
    fc.string({ unit: 'binary' }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(anyEvent, { maxLength: 3 }), fc.boolean(), async (events, single) => {
      const body = single ? (events[0] ?? '') : `[${events.join(',')}]`;
      const answer = await post(body, { 'content-type': single ? ONE : BATCH });
      if (answer.status === 204) return;
      assert.ok([400, 413].includes(answer.status), `${answer.status}`);
      await problemOf(answer, answer.status);
    }),
    { numRuns: 200 },
  );
  assert.deepEqual(errors, []);
});
