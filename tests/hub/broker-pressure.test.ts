import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import mqttPacket from 'mqtt-packet';
import { Admission } from '../../hub/intake/broker/admission.ts';
import { cursorAt } from '../../hub/log/cursor-state.ts';
import { type BrokerFixture, brokerFixture } from '../support/broker-fixture.ts';
import {
  connectPacket,
  connectRaw,
  openRaw,
  publishPacket,
  type RawMqtt,
} from '../support/raw-mqtt.ts';
import { until } from '../support/until.ts';

/** A sink that takes nothing keeps the log full. */
const SMALL_LOG = {
  log: { bytesMax: 64 * 1024, whenFull: 'block', sinks: [{ id: 'sink', start: 'oldest' }] },
} as const;
/** Far more than the buffers of both ends hold. */
const FLOOD_BYTES = 24 * 1024 * 1024;
const SETTLE_MS = 300;

/** Publishes until the log is full, and answers the messages that were acknowledged. */
async function fill(fixture: BrokerFixture): Promise<number> {
  const client = await connectRaw(fixture.port, 'filler');
  let id = 0;
  while (!fixture.log.status().full) {
    id++;
    client.send(publishPacket('fill', incompressible(4_096), 1, id));
    await until('an answer or a full log', () => {
      return client.ids('puback').length === id || fixture.log.status().full;
    });
  }
  await client.cut();
  return id;
}

function incompressible(bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, () => Math.floor(Math.random() * 256)));
}

/** Makes room in the log as a sink does that has settled everything. */
function makeRoom({ log }: BrokerFixture): void {
  log.settled('sink', 'normal', cursorAt(log.range('normal').tail));
}

/** Bytes of this client that the hub has taken off the wire. */
function takenBytes(client: RawMqtt): number {
  return client.socket.bytesWritten - client.socket.writableLength;
}

test('a full log with `block`: no PUBACK, and the socket is not read any more', async (t) => {
  const fixture = await brokerFixture(t, SMALL_LOG);
  await fill(fixture);
  const accepted = fixture.log.acceptedEvents;
  const client = await connectRaw(fixture.port, 'flood');
  const payload = Buffer.alloc(1_000, 'x');
  let id = 0;
  let taken = -1;
  // until the other end takes nothing more: both ends' buffers are full
  while (taken !== takenBytes(client)) {
    taken = takenBytes(client);
    for (let bytes = 0; bytes < FLOOD_BYTES / 8; bytes += payload.length) {
      id = (id % 65_535) + 1;
      client.send(publishPacket('t', payload, id % 2 === 0 ? 1 : 0, id));
    }
    await delay(SETTLE_MS);
  }
  assert.deepEqual(client.ids('puback'), []);
  assert.equal(fixture.log.acceptedEvents, accepted);
  assert.ok(fixture.log.waiting <= 2, `${fixture.log.waiting} wait in the log`);
  assert.ok(fixture.log.pendingBytes < 1024 * 1024);
});

test('messages that come one by one are not read either while one waits', async (t) => {
  // regression: aedes reads one chunk more for every piece that arrives
  const fixture = await brokerFixture(t, SMALL_LOG);
  await fill(fixture);
  const client = await connectRaw(fixture.port, 'drip');
  for (let id = 1; id <= 200; id++) {
    client.send(publishPacket('t', Buffer.alloc(100), 1, id));
    await delay(1);
  }
  const { waiting } = fixture.log;
  assert.ok(waiting <= 1, `${waiting} of the drip are in the log's queue`);
  assert.deepEqual(client.ids('puback'), []);
});

test('clients that come back and publish again do not fill memory', async (t) => {
  // regression: each connection left its messages in the log's queue, which nobody can take back
  const fixture = await brokerFixture(t, SMALL_LOG);
  await fill(fixture);
  for (let round = 0; round < 40; round++) {
    const client = await connectRaw(fixture.port, 'impatient', { clean: false });
    client.send(
      ...Array.from({ length: 50 }, (_, i) => publishPacket('t', Buffer.alloc(500), 1, i + 1)),
      publishPacket('t', 'two', 2, 60, { dup: round > 0 }),
    );
    await delay(2);
    await client.cut();
  }
  assert.ok(fixture.log.waiting <= 40, `${fixture.log.waiting} wait in the log`);
});

test('when the card does not keep up, memory is bounded and order is kept', async (t) => {
  const fixture = await brokerFixture(t);
  fixture.storage.hold();
  const payload = Buffer.alloc(1_000, 'x');
  const ids = Array.from({ length: 150 }, (_, i) => i + 1);
  const names = Array.from({ length: 60 }, (_, i) => `c${i}`);
  const clients = await Promise.all(names.map((name) => connectRaw(fixture.port, name)));
  for (const [i, client] of clients.entries()) {
    client.send(...ids.map((id) => publishPacket(`${names[i]}/${id}`, payload, 1, id)));
  }
  await until('the hub has enough', () => fixture.intake.congested('t'));
  await delay(SETTLE_MS);
  assert.ok(fixture.log.pendingBytes < 3 * 1024 * 1024, `${fixture.log.pendingBytes} bytes pend`);
  fixture.storage.letGo();
  for (const client of clients) {
    await client.wait('puback', ids.length);
    assert.deepEqual(client.ids('puback'), ids);
  }
  const topics = (await fixture.events()).map((event) => event.split(' ')[0]);
  for (const name of names) {
    assert.deepEqual(
      topics.filter((topic) => topic?.startsWith(`${name}/`)),
      ids.map((id) => `${name}/${id}`),
    );
  }
});

test('room in the log lets the waiting go on, in order', async (t) => {
  const fixture = await brokerFixture(t, SMALL_LOG);
  await fill(fixture);
  const client = await connectRaw(fixture.port, 'c', { clean: false });
  const ids = Array.from({ length: 20 }, (_, i) => i + 1);
  for (const id of ids) client.send(publishPacket('late', String(id), id % 2 === 0 ? 2 : 1, id));
  await until('it waits', () => fixture.broker.waitingClients > 0);
  makeRoom(fixture);
  await client.wait('puback', 10);
  await client.wait('pubrec', 10);
  assert.deepEqual(
    client.ids('puback'),
    ids.filter((id) => id % 2 === 1),
  );
  assert.deepEqual(
    client.ids('pubrec'),
    ids.filter((id) => id % 2 === 0),
  );
  const late = (await fixture.events()).filter((event) => event.startsWith('late'));
  assert.deepEqual(
    late.map((event) => Number(event.split(' ')[1])).toSorted((a, b) => a - b),
    ids,
  );
});

test('a frozen subscriber is cut, and the PUBACKs of others do not wait for it', async (t) => {
  const fixture = await brokerFixture(t);
  const frozen = await connectRaw(fixture.port, 'frozen');
  frozen.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] });
  await frozen.wait('suback');
  frozen.socket.pause();
  const publisher = await connectRaw(fixture.port, 'p');
  let slowestMs = 0;
  const payload = Buffer.alloc(100_000, 'x');
  for (let id = 1; id <= 250; id++) {
    const startMs = performance.now();
    publisher.send(publishPacket('big', payload, 1, id));
    await publisher.wait('puback', id);
    slowestMs = Math.max(slowestMs, performance.now() - startMs);
  }
  assert.ok(slowestMs < 1_000, `a PUBACK took ${slowestMs} ms`);
  await until('the frozen one is cut', () => (fixture.refusals()['too_slow'] ?? 0) > 0);
  await until('its place is free', () => fixture.broker.clients === 1);
  frozen.socket.destroy();
  await fixture.serves();
});

test('Admission: what is held of a client that leaves is told so, the others go on', () => {
  const trace: string[] = [];
  let congested = true;
  const admission = new Admission(
    () => congested,
    (client) => trace.push(`released ${Reflect.get(client, 'id')}`),
  );
  const [a, b] = [{ id: 'a' }, { id: 'b' }];
  for (const [client, name] of [
    [a, 'a1'],
    [b, 'b1'],
    [a, 'a2'],
  ] as const) {
    assert.equal(admission.mustHold(client, 't'), true);
    admission.hold(
      client,
      't',
      () => trace.push(`go ${name}`),
      () => trace.push(`gone ${name}`),
    );
  }
  admission.release();
  assert.deepEqual(trace, []);
  admission.leave(b);
  congested = false;
  assert.equal(admission.mustHold(a, 't'), true, 'a later one must not overtake');
  admission.release();
  assert.deepEqual(trace, ['gone b1', 'go a1', 'go a2', 'released a']);
  assert.equal(admission.mustHold(a, 't'), false);
});

test('the first packets of a connection are bounded', async (t) => {
  const fixture = await brokerFixture(t);
  const client = await openRaw(fixture.port);
  const many = Array.from({ length: 1_500 }, () => mqttPacket.generate({ cmd: 'pingreq' }));
  client.send(connectPacket('c'), ...many);
  await client.waitClosed();
  await fixture.serves();
});
