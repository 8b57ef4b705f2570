import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type ApiOptions, createApi } from '../../hub/api/server.ts';
import { afterTest } from './after-test.ts';
import type { FixedView } from './fixed-view.ts';
import { type RawAnswer, rawGet } from './raw-http.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

/** The API over `view`, on a port of its own. `ask` sends a body as JSON. */
export async function startApi(t: TestContext, view: FixedView, options: Partial<ApiOptions> = {}) {
  const api = createApi({
    view,
    hubId: 'gateway-01',
    host: '127.0.0.1',
    port: 0,
    consoleDir: join(tmpdir(), 'no-such-console'),
    logger: { error: () => undefined },
    ...options,
  });
  afterTest(t, () => api.close());
  const { port } = await api.listen();
  const ask = (method: string, path: string, body?: string, headers = {}) =>
    rawGet(port, path, { ...(body === undefined ? {} : JSON_TYPE), ...headers }, method, body);
  return { port, ask };
}

/** The detail of the problem document that an answer must be. */
export function problemOf(answer: RawAnswer, status: number): string {
  assert.equal(answer.status, status, answer.body);
  assert.match(answer.headers['content-type'] ?? '', /^application\/problem\+json/);
  return JSON.parse(answer.body).detail;
}
