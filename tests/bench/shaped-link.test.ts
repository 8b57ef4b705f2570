import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { afterTest } from '../support/after-test.ts';
import { shapedLink } from '../support/shaped-link.ts';
import { until } from '../support/until.ts';

/** Says everything again that is said to it. */
async function echo(t: TestContext): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  }).listen(0, '127.0.0.1');
  afterTest(t, () => server.close());
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return address.port;
}

async function client(t: TestContext, port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  afterTest(t, () => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

test('a shaped link takes its round trip, and two connections share the bandwidth', async (t) => {
  const shape = { roundTripMs: 200, bitsPerSecond: 2_000_000 };
  const link = await shapedLink(t, await echo(t), shape);
  const first = await client(t, link.port);
  const startedMs = performance.now();
  first.write('x');
  await once(first, 'data');
  const tookMs = performance.now() - startedMs;
  assert.ok(tookMs >= 199, `${tookMs} ms for a round trip`);
  const second = await client(t, link.port);
  const bytes = 60_000;
  let back = 0;
  for (const socket of [first, second]) {
    socket.on('data', (chunk: Buffer) => {
      back += chunk.length;
    });
  }
  const beginMs = performance.now();
  for (const socket of [first, second]) socket.write(Buffer.alloc(bytes));
  await until('all back', () => back === 2 * bytes);
  const pacedMs = (2 * bytes * 8_000) / shape.bitsPerSecond + shape.roundTripMs;
  const sharedMs = performance.now() - beginMs;
  assert.ok(sharedMs >= pacedMs * 0.95, `${sharedMs} ms, not ${pacedMs}`);
  assert.ok(link.bytesUp >= 2 * bytes);
});

test('a blackhole swallows and says nothing', async (t) => {
  const link = await shapedLink(t, await echo(t), { roundTripMs: 10, bitsPerSecond: 1e8 });
  const socket = await client(t, link.port);
  link.blackhole = true;
  let answered = false;
  socket.on('data', () => {
    answered = true;
  });
  socket.write('x');
  await delay(200);
  assert.deepEqual([answered, socket.destroyed], [false, false]);
  link.blackhole = false;
  socket.write('y');
  await until('an answer', () => answered);
});
