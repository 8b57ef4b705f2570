import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ApiOptions } from '../../hub/api/server.ts';
import { problemOf, startApi } from '../support/api-fixture.ts';
import { FixedView } from '../support/fixed-view.ts';

const PATH = '/api/v1/sinks/cloud/replay';
const RANGE = JSON.stringify({ from: 1_000, to: '1970-01-01T00:00:02Z' });

async function start(t: TestContext, options: Partial<ApiOptions> = {}) {
  const view = new FixedView();
  return { view, ...(await startApi(t, view, options)) };
}

test('replay API: asks for a range, lists what there is, and cancels', async (t) => {
  const { view, ask } = await start(t);
  const asked = await ask('POST', PATH, RANGE);
  assert.equal(asked.status, 202, asked.body);
  assert.equal(asked.headers['location'], PATH);
  assert.deepEqual(JSON.parse(asked.body), view.jobs[0]);
  assert.deepEqual(view.asked, { sink: 'cloud', fromMs: 1_000, toMs: 2_000 });
  const listed = await ask('GET', PATH);
  assert.deepEqual(JSON.parse(listed.body), view.jobs);
  const cancelled = await ask('DELETE', `${PATH}/1`);
  assert.equal(JSON.parse(cancelled.body).state, 'cancelled');
});

test('replay API: says what is wrong with a request', async (t) => {
  const { view, ask } = await start(t);
  const cases: readonly [string, RegExp][] = [
    ['{"to":5}', /`from` is missing/],
    ['{"from":5,"to":5}', /`from` is not before `to`/],
    ['{"from":6,"to":5}', /`from` is not before `to`/],
    ['{"from":"yesterday","to":5}', /`from` is no time.*ISO 8601/],
    ['{"from":[1],"to":{"a":1}}', /`to` is no time/],
    ['{"from":-1,"to":5}', /`from` is no time/],
    ['{"from":1.5,"to":5}', /`from` is no time/],
    ['{"from":1,"to":5,"sink":"x"}', /`sink` is not known here/],
    ['[1,2]', /JSON object with from, to/],
    ['null', /JSON object with from, to/],
    ['"x"', /JSON object with from, to/],
    ['{"from":1,', /JSON/],
  ];
  for (const [body, expected] of cases) {
    assert.match(problemOf(await ask('POST', PATH, body), 400), expected, body);
  }
  problemOf(await ask('POST', PATH), 400);
  problemOf(await ask('POST', `${PATH}?from=1`, RANGE), 400);
  assert.match(problemOf(await ask('POST', '/api/v1/sinks/nowhere/replay', RANGE), 404), /nowhere/);
  problemOf(await ask('GET', '/api/v1/sinks/nowhere/replay'), 404);
  problemOf(await ask('DELETE', '/api/v1/sinks/nowhere/replay/1'), 404);
  for (const id of ['7', 'x', '-1', '1e3', '1%2f2'])
    problemOf(await ask('DELETE', `${PATH}/${id}`), 404);
  assert.equal(view.jobs.length, 0);
  view.hasRoomForReplays = false;
  assert.match(problemOf(await ask('POST', PATH, RANGE), 409), /wait already/);
});

test('replay API: needs the token', async (t) => {
  const { view, ask } = await start(t, { token: 'correct-horse-42' });
  for (const [method, path, body] of [
    ['POST', PATH, RANGE],
    ['GET', PATH],
    ['DELETE', `${PATH}/1`],
  ] as const)
    problemOf(await ask(method, path, body), 401);
  assert.equal(view.jobs.length, 0);
  const authorization = { authorization: 'Bearer correct-horse-42' };
  assert.equal((await ask('POST', PATH, RANGE, authorization)).status, 202);
});

test('replay API: a page of another origin cannot change anything', async (t) => {
  const { view, port, ask } = await start(t);
  const host = `127.0.0.1:${port}`;
  const foreign = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: `http://127.0.0.1:${port + 1}` },
    { origin: `http://${host}`, 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ];
  for (const headers of foreign) {
    problemOf(await ask('POST', PATH, RANGE, headers), 403);
    problemOf(await ask('DELETE', `${PATH}/1`, undefined, headers), 403);
    assert.equal((await ask('GET', PATH, undefined, headers)).status, 200, 'reading is no change');
  }
  problemOf(await ask('POST', PATH, RANGE, { host: 'evil.example' }), 421);
  // what a form of a stranger's page can send without being asked first
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'])
    assert.ok((await ask('POST', PATH, RANGE, { 'content-type': type })).status >= 400, type);
  assert.equal(view.jobs.length, 0);
  const own = [{ origin: `http://${host}` }, { 'sec-fetch-site': 'same-origin' }];
  for (const headers of own)
    assert.equal((await ask('POST', PATH, RANGE, headers)).status, 202, JSON.stringify(headers));
});
