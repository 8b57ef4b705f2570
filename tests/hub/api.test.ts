import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type ApiOptions, createApi } from '../../hub/api/server.ts';
import { HubError } from '../../hub/core/errors.ts';
import { afterTest } from '../support/after-test.ts';
import { FixedView, STATUS } from '../support/fixed-view.ts';
import { type RawAnswer, rawGet } from '../support/raw-http.ts';
import { until } from '../support/until.ts';

const NOW_MS = Date.UTC(2026, 2, 1, 12);
const HOUR_MS = 3_600_000;

async function startApi(t: TestContext, options: Partial<ApiOptions> = {}) {
  const view = new FixedView();
  const errors: object[] = [];
  const api = createApi({
    view,
    hubId: 'gateway-01',
    host: '127.0.0.1',
    port: 0,
    consoleDir: join(tmpdir(), 'no-such-console'),
    logger: { error: (fields: object) => errors.push(fields) },
    wallMs: () => NOW_MS,
    ...options,
  });
  afterTest(t, () => api.close());
  const { port, url } = await api.listen();
  const get = (path: string, headers?: Record<string, string>) => rawGet(port, path, headers);
  return { api, view, errors, port, url, get };
}

function problemOf(answer: RawAnswer, status: number): Record<string, unknown> {
  assert.equal(answer.status, status, answer.body);
  assert.match(answer.headers['content-type'] ?? '', /^application\/problem\+json/);
  const problem = JSON.parse(answer.body);
  assert.equal(problem.status, status);
  assert.equal(typeof problem.title, 'string');
  assert.doesNotMatch(answer.body, /\n {4}at |node_modules|\.js:\d/, 'no stack');
  return problem;
}

test('the API: answers on every path', async (t) => {
  const { view, get } = await startApi(t);
  const json = async (path: string) => JSON.parse((await get(path)).body);
  assert.deepEqual(await json('/health'), { healthy: true, reasons: [] });
  assert.deepEqual(await json('/ready'), { ready: true, reasons: [] });
  assert.deepEqual(await json('/api/v1/status'), STATUS);
  assert.equal((await json('/api/v1/latest?device=d1&metric=temp'))[0].value, 1);
  assert.deepEqual(view.asked, { device: 'd1', metric: 'temp' });
  assert.equal((await json('/api/v1/devices'))[0].device, 'd1');
  const metrics = await get('/metrics');
  assert.equal(metrics.body, 'holdfast_log_events 1\n');
  assert.match(metrics.headers['content-type'] ?? '', /^text\/plain; version=0\.0\.4/);
  const events = await get('/api/v1/events?topic=site/%23&limit=2');
  assert.match(events.headers['content-type'] ?? '', /^application\/cloudevents-batch\+json/);
  assert.deepEqual(JSON.parse(events.body), [{ id: '1' }, { id: '2' }]);
  assert.deepEqual(view.asked, {
    fromMs: NOW_MS - HOUR_MS,
    toMs: NOW_MS,
    topic: 'site/#',
    limit: 2,
  });
});

test('the API: says why it is not ready', async (t) => {
  const { view, get } = await startApi(t);
  view.isReady = false;
  const answer = await get('/ready');
  assert.equal(answer.status, 503);
  assert.deepEqual(JSON.parse(answer.body), { ready: false, reasons: ['the log is not open'] });
});

test('the API: reads the parameters of a history', async (t) => {
  const { view, get } = await startApi(t);
  const history = '/api/v1/history?device=d1&metric=temp';
  await get(`${history}&from=2026-03-01T10:00:00%2B01:00&to=${NOW_MS}&points=10`);
  const common = { device: 'd1', metric: 'temp' };
  const nine = Date.UTC(2026, 2, 1, 9);
  assert.deepEqual(view.asked, { ...common, fromMs: nine, toMs: NOW_MS, points: 10 });
  await get(`${history}&from=2026-03-01T10:00:00+01:00`); // a plus that was not escaped
  assert.deepEqual(view.asked, { ...common, fromMs: nine, toMs: NOW_MS, points: 300 });
  await get(`${history}&from=2026-03-01+10:00`);
  assert.deepEqual(view.asked, { ...common, fromMs: nine + HOUR_MS, toMs: NOW_MS, points: 300 });
});

test('the API: names the parameter that is wrong and what it may be', async (t) => {
  const { get } = await startApi(t);
  const history = '/api/v1/history?device=d1&metric=temp';
  const cases: readonly [string, string, RegExp][] = [
    ['/api/v1/history?metric=temp', 'device', /api\/v1\/devices/],
    ['/api/v1/history?device=d1', 'metric', /name/],
    [`${history}&points=0`, 'points', /1 to 5000/],
    [`${history}&points=1e3`, 'points', /1 to 5000/],
    [`${history}&from=yesterday`, 'from', /ISO 8601/],
    [`${history}&from=5&to=5`, 'from', /before `to`/],
    [`${history}&from=5&from=6`, 'from', /one value/],
    ['/api/v1/latest?devices=d1', 'devices', /one of device, metric/],
    ['/api/v1/status?x=1', 'x', /no parameters/],
    ['/api/v1/events?topic=a%23', 'topic', /topic filter/],
    ['/api/v1/events?limit=1001', 'limit', /1 to 1000/],
    [`/api/v1/latest?device=${'x'.repeat(2_000)}`, 'device', /1024 characters/],
    ['/api/v1/latest?__proto__=1', '__proto__', /one of/],
  ];
  for (const [path, parameter, expected] of cases) {
    const problem = problemOf(await get(path), 400);
    assert.equal(problem['parameter'], parameter, path);
    assert.match(String(problem['expected']), expected);
  }
});

test('the API: answers with problem documents, never a stack', async (t) => {
  const { view, errors, get, port } = await startApi(t);
  problemOf(await get('/api/v1/nothing'), 404);
  problemOf(await get('/../../etc/passwd'), 404);
  problemOf(await get('/%E0%A4%A'), 400);
  problemOf(await rawGet(port, '/api/v1/status', {}, 'DELETE'), 404);
  view.status = () => {
    throw new Error('secret inner words');
  };
  const failed = await get('/api/v1/status');
  problemOf(failed, 500);
  assert.ok(!failed.body.includes('inner'));
  assert.equal(errors.length, 1);
  view.status = () => {
    throw new HubError('LOG_CLOSED', 'The log is closed.');
  };
  assert.equal(problemOf(await get('/api/v1/status'), 503)['detail'], 'The log is closed.');
});

test('the API: sends security headers with everything', async (t) => {
  const { get } = await startApi(t);
  for (const path of ['/', '/health', '/api/v1/status', '/api/v1/nothing']) {
    const { headers } = await get(path);
    assert.match(String(headers['content-security-policy']), /^default-src 'self'/, path);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['referrer-policy'], 'no-referrer');
  }
});

test('the API: answers to its own names and addresses only', async (t) => {
  const { get, port } = await startApi(t, { hubId: 'Gateway-01' });
  const fine = ['localhost', `localhost:${port}`, '127.0.0.1', '192.168.1.20:80', '[::1]:8080'];
  for (const host of [...fine, 'gateway-01', 'GATEWAY-01.local:8080', 'x.localhost', 'localhost.'])
    assert.equal((await get('/health', { host })).status, 200, host);
  for (const host of [
    'evil.example',
    'gateway-01.evil.example',
    '127.0.0.1.evil.example',
    '[x]',
    'a b',
  ])
    assert.notEqual((await get('/health', { host })).status, 200, host);
  problemOf(await get('/api/v1/status', { host: 'evil.example' }), 421);
});

test('the API: asks for the token except for health, readiness and console', async (t) => {
  const consoleDir = await consoleFolder(t);
  const { get } = await startApi(t, { token: 'correct-horse-42', consoleDir });
  for (const path of ['/health', '/ready', '/', '/assets/app-1a2b.js'])
    assert.equal((await get(path)).status, 200, path);
  const paths = ['status', 'latest', 'devices', 'events', 'stream', 'history?device=a&metric=b'];
  for (const path of [...paths.map((name) => `/api/v1/${name}`), '/metrics']) {
    const answer = await get(path);
    problemOf(answer, 401);
    assert.equal(answer.headers['www-authenticate'], 'Bearer');
  }
  const status = async (authorization: string) =>
    (await get('/api/v1/status', { authorization })).status;
  assert.equal(await status('Bearer correct-horse-42'), 200);
  assert.equal(await status('bearer correct-horse-42'), 200);
  for (const wrong of ['Bearer correct-horse-4', 'Bearer', 'Basic correct-horse-42', 'Bearer x y'])
    assert.equal(await status(wrong), 401, wrong);
});

test('the API: serves the console, packed when it can, and hashed files for ever', async (t) => {
  const { get } = await startApi(t, { consoleDir: await consoleFolder(t) });
  const page = await get('/');
  assert.match(page.body, /<title>/);
  assert.match(page.headers['content-type'] ?? '', /^text\/html/);
  assert.equal(page.headers['cache-control'], 'no-cache');
  const plain = await get('/assets/app-1a2b.js');
  assert.equal(plain.body, 'let app;');
  assert.match(plain.headers['cache-control'] ?? '', /immutable/);
  const packed = await get('/assets/app-1a2b.js', { 'accept-encoding': 'gzip' });
  assert.equal(packed.headers['content-encoding'], 'gzip');
  problemOf(await get('/assets/missing.js'), 404);
  assert.ok([403, 404].includes((await get('/..%2f..%2fetc/passwd')).status));
  assert.ok([403, 404].includes((await get('/.hidden')).status));
});

test('the API: says how to build the console when it is not there', async (t) => {
  const { get } = await startApi(t);
  assert.match(String(problemOf(await get('/'), 404)['detail']), /npm run build/);
});

test('the API: names the port that is taken and what to do', async (t) => {
  const { port } = await startApi(t);
  const second = createApi({
    view: new FixedView(),
    hubId: 'x',
    host: '127.0.0.1',
    port,
    consoleDir: '',
    logger: { error: () => undefined },
  });
  afterTest(t, () => second.close());
  await assert.rejects(second.listen(), (error) => {
    assert.ok(error instanceof HubError && error.code === 'SERVICE_UNAVAILABLE');
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port} is in use.*http\\.port`));
    return true;
  });
});

test('the API: stops a query when the one who asked goes, and runs four at a time', async (t) => {
  const { view, port, get } = await startApi(t);
  let running = 0;
  let aborted = 0;
  let release: () => void = () => undefined;
  const open = new Promise<void>((resolve) => {
    release = resolve;
  });
  view.answerHistory = async (signal) => {
    running++;
    signal.addEventListener('abort', () => aborted++);
    await open;
    running--;
  };
  const path = '/api/v1/history?device=a&metric=b';
  const socket = connect(port, '127.0.0.1');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  await until('one runs', () => running === 1);
  socket.destroy();
  await until('it is told', () => aborted === 1);
  // The place of the one that went is still taken: three run beside it, 32 wait, five are refused.
  let refused = 0;
  const others = Array.from({ length: 40 }, async () => {
    const answer = await get(path);
    if (answer.status === 503) refused++;
    return answer;
  });
  await until('five are refused', () => refused === 5);
  problemOf(await Promise.race(others), 503);
  assert.equal(running, 4);
  release();
  const statuses = (await Promise.all(others)).map((answer) => answer.status);
  assert.equal(statuses.filter((status) => status === 200).length, 35);
  assert.equal(running, 0);
});

test('the API: refuses large headers and bodies', async (t) => {
  const { get, port } = await startApi(t);
  assert.equal((await get('/health', { cookie: 'x'.repeat(20_000) })).status, 431);
  const length = { 'content-length': '100000', 'content-type': 'application/json' };
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (part) => {
    text += part.toString();
  });
  const head = Object.entries(length).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`POST /api/v1/status HTTP/1.1\r\nHost: localhost\r\n${head.join('')}\r\n`);
  await until('an answer', () => /^HTTP\/1\.1 4(04|13)/.test(text));
  socket.destroy();
});

async function consoleFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-console-'));
  afterTest(t, () => rm(folder, { recursive: true }));
  await mkdir(join(folder, 'assets'));
  await writeFile(join(folder, 'index.html'), '<title>Holdfast</title>');
  await writeFile(join(folder, '.hidden'), 'hidden');
  await writeFile(join(folder, 'assets', 'app-1a2b.js'), 'let app;');
  await writeFile(join(folder, 'assets', 'app-1a2b.js.gz'), gzipSync('let app;'));
  return folder;
}
