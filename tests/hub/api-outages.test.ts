import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createApi } from '../../hub/api/server.ts';
import { afterTest } from '../support/after-test.ts';
import { FixedView, outageOf } from '../support/fixed-view.ts';
import { rawGet } from '../support/raw-http.ts';

async function startApi(t: TestContext) {
  const view = new FixedView();
  view.outageList.push(outageOf(3, { endedMs: null }), outageOf(2), outageOf(1));
  const api = createApi({
    view,
    hubId: 'gateway-01',
    host: '127.0.0.1',
    port: 0,
    consoleDir: join(tmpdir(), 'no-such-console'),
    logger: { error: () => undefined },
  });
  afterTest(t, () => api.close());
  const { port } = await api.listen();
  return { view, get: (path: string) => rawGet(port, path) };
}

test('outage API: lists them, of one sink and of all, as many as are asked for', async (t) => {
  const { view, get } = await startApi(t);
  for (const path of ['/api/v1/sinks/cloud/outages', '/api/v1/outages']) {
    const all = await get(path);
    assert.equal(all.status, 200, all.body);
    assert.deepEqual(JSON.parse(all.body), view.outageList);
    const [first, ...others] = JSON.parse((await get(`${path}?limit=1`)).body);
    assert.deepEqual([first.id, others.length], [3, 0]);
  }
});

test('outage API: says what is wrong with a request', async (t) => {
  const { get } = await startApi(t);
  const cases: readonly [string, number, RegExp][] = [
    ['/api/v1/sinks/nowhere/outages', 404, /no sink `nowhere`.*status/],
    ['/api/v1/outages?limit=0', 400, /`limit`.*1 to 1000/],
    ['/api/v1/outages?limit=x', 400, /`limit`/],
    ['/api/v1/outages?since=1', 400, /`since` is not known/],
  ];
  for (const [path, status, detail] of cases) {
    const answer = await get(path);
    assert.equal(answer.status, status, path);
    assert.match(JSON.parse(answer.body).detail, detail);
  }
});
