import assert from 'node:assert/strict';
import { createServer, get as httpGet, type IncomingMessage, type Server } from 'node:http';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createApi } from '../../hub/api/server.ts';
import { EventStreams } from '../../hub/api/stream.ts';
import { afterTest } from '../support/after-test.ts';
import { FixedView, latestOf, STATUS } from '../support/fixed-view.ts';
import { until } from '../support/until.ts';

interface StreamEvent {
  readonly event: string;
  readonly id: number;
  readonly data: unknown;
}

function parse(text: string): StreamEvent[] {
  return text
    .split('\n\n')
    .filter((part) => part.startsWith('event: '))
    .map((part) => {
      const [event = '', id = '', data = ''] = part.split('\n');
      return { event: event.slice(7), id: Number(id.slice(4)), data: JSON.parse(data.slice(6)) };
    });
}

function open(port: number, path = '/api/v1/stream') {
  return new Promise<{ response: IncomingMessage; text: () => string }>((resolve, reject) => {
    const request = httpGet({ port, host: '127.0.0.1', path, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('error', () => undefined); // cut by the server
      resolve({ response, text: () => text });
    });
    request.on('error', reject);
  });
}

async function startApi(t: TestContext) {
  const view = new FixedView();
  const api = createApi({
    view,
    hubId: 'hub',
    host: '127.0.0.1',
    port: 0,
    consoleDir: '',
    logger: { error: () => undefined },
  });
  afterTest(t, () => api.close());
  const { port } = await api.listen();
  return { view, api, port };
}

/** The streams alone, with short times. */
async function startStreams(
  t: TestContext,
  options: { heartbeatMs?: number; streamsMax?: number },
) {
  const view = new FixedView();
  const streams = new EventStreams({ view, statusIntervalMs: 20, ...options });
  const server: Server = createServer((_, response) => streams.add(response, {}));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterTest(t, () => {
    streams.close();
    server.close();
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { view, streams, port };
}

test('the stream: sends the status at once and readings as they come, numbered', async (t) => {
  const { view, port } = await startApi(t);
  const { response, text } = await open(port);
  assert.equal(response.statusCode, 200);
  assert.match(response.headers['content-type'] ?? '', /^text\/event-stream/);
  assert.equal(response.headers['cache-control'], 'no-store');
  assert.equal(response.headers['x-content-type-options'], 'nosniff');
  await until('status', () => parse(text()).length === 1);
  view.publish([latestOf('d1', 1), latestOf('d2', 2)]);
  await until('readings', () => parse(text()).length === 2);
  const [status, readings] = parse(text());
  assert.equal(status?.event, 'status');
  assert.deepEqual(status?.data, STATUS);
  assert.equal(readings?.event, 'readings');
  assert.deepEqual(readings?.data, [latestOf('d1', 1), latestOf('d2', 2)]);
  assert.ok((readings?.id ?? 0) > (status?.id ?? 0));
  response.destroy();
  await until('left', () => view.listeners.size === 0);
});

test('the stream: parts large updates and uses one subscription for all', async (t) => {
  const { view, port } = await startApi(t);
  const clients = await Promise.all([open(port), open(port), open(port)]);
  assert.equal(view.listeners.size, 1);
  const many = Array.from({ length: 1_200 }, (_, i) => latestOf(`d${i}`, i));
  view.publish(many);
  for (const { text } of clients) {
    const parts = () => parse(text()).filter(({ event }) => event === 'readings');
    await until('all parts', () => parts().length === 3);
    assert.deepEqual(
      parts().flatMap(({ data }) => data),
      many,
    );
  }
});

test('the stream: repeats the status and says that it is still there', async (t) => {
  const { port } = await startStreams(t, { heartbeatMs: 20 });
  const { text } = await open(port);
  await until('status again', () => parse(text()).length >= 3);
  await until('heartbeat', () => text().includes('\n\n: still here\n\n'));
});

test('the stream: is given to fifty at most', async (t) => {
  const { view, port } = await startApi(t);
  const clients = await Promise.all(Array.from({ length: 50 }, () => open(port)));
  const { response, text } = await open(port);
  assert.equal(response.statusCode, 503);
  await until('a problem', () => text().includes('50 streams'));
  clients[0]?.response.destroy();
  let status = 0;
  while (status !== 200) {
    const client = await open(port);
    status = client.response.statusCode ?? 0;
    client.response.resume();
  }
  assert.equal(view.listeners.size, 1);
});

test('the stream: cuts a reader that does not read, and no other', async (t) => {
  const { view, streams, port } = await startStreams(t, {});
  const slow = connect(port, '127.0.0.1');
  slow.on('error', () => undefined);
  slow.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  slow.pause();
  const quick = await open(port);
  await until('both listen', () => streams.size === 2);
  const many = Array.from({ length: 5_000 }, (_, i) => latestOf(`device-${i}`, i));
  let published = 0;
  while (streams.size === 2 && published < 200) {
    view.publish(many); // 0.7 MB
    published++;
    // The quick one must have read before the next: it is the slow one that is to be cut.
    const expected = published * 10;
    await until('read', () => quick.text().split('event: readings').length > expected);
    await nextTurn();
  }
  assert.ok(published < 200, 'cut');
  assert.equal(streams.size, 1);
  slow.destroy();
});

test('the stream: ends with the API', async (t) => {
  const { api, view, port } = await startApi(t);
  const { response } = await open(port);
  const closed = new Promise((resolve) => response.once('close', resolve));
  await api.close();
  await closed;
  assert.equal(view.listeners.size, 0);
});
