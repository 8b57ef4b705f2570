import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { type BrokerFixture, brokerFixture } from '../support/broker-fixture.ts';
import { connectPacket, connectRaw, openRaw, publishPacket } from '../support/raw-mqtt.ts';
import { until } from '../support/until.ts';

/** Long enough for an acknowledgement that must not come to come: one takes a millisecond. */
const SILENCE_MS = 60;

async function acceptedOnly(fixture: BrokerFixture, expected: readonly string[]): Promise<void> {
  await until(`${expected.length} events`, () => fixture.log.acceptedEvents >= expected.length);
  assert.deepEqual(await fixture.events(), expected);
}

for (const [qos, answer] of [
  [1, 'puback'],
  [2, 'pubrec'],
] as const) {
  test(`${answer.toUpperCase()} leaves only after the write to storage`, async (t) => {
    const fixture = await brokerFixture(t);
    const client = await connectRaw(fixture.port, 'c', { clean: false });
    fixture.storage.hold();
    client.send(publishPacket('a/b', 'x', qos, 7));
    await until('the write is under way', () => fixture.storage.waiting > 0);
    await delay(SILENCE_MS);
    assert.deepEqual(client.ids(answer), []);
    fixture.storage.letGo();
    await client.wait(answer);
    assert.deepEqual(client.ids(answer), [7]);
    await acceptedOnly(fixture, ['a/b x']);
  });
}

test('QoS 0 is stored too', async (t) => {
  const fixture = await brokerFixture(t);
  const client = await connectRaw(fixture.port, 'c');
  client.send(publishPacket('a', '1'), publishPacket('a', ''), publishPacket('a', '3'));
  await acceptedOnly(fixture, ['a 1', 'a ', 'a 3']);
});

test('acknowledgements and events keep the order of arrival of a client', async (t) => {
  const fixture = await brokerFixture(t);
  const client = await connectRaw(fixture.port, 'c');
  const count = 3_000;
  const ids = Array.from({ length: count }, (_, i) => i + 1);
  for (let i = 0; i < count; i += 7) {
    const some = ids.slice(i, i + 7);
    client.send(...some.map((id) => publishPacket(`t/${id % 5}`, String(id), 1, id)));
    if (i % 70 === 0) await nextTurn();
  }
  await client.wait('puback', count);
  assert.deepEqual(client.ids('puback'), ids);
  assert.deepEqual(
    await fixture.events(),
    ids.map((id) => `t/${id % 5} ${id}`),
  );
});

test('QoS 2 is acknowledged in order, each message stored once', async (t) => {
  const fixture = await brokerFixture(t);
  const client = await connectRaw(fixture.port, 'c', { clean: false });
  const ids = Array.from({ length: 500 }, (_, i) => i + 1);
  client.send(...ids.map((id) => publishPacket('t', String(id), 2, id)));
  await client.wait('pubrec', ids.length);
  assert.deepEqual(client.ids('pubrec'), ids);
  client.send(...ids.map((messageId) => ({ cmd: 'pubrel' as const, messageId })));
  await client.wait('pubcomp', ids.length);
  assert.deepEqual(
    await fixture.events(),
    ids.map((id) => `t ${id}`),
  );
  assert.deepEqual(await fixture.sessionKeys(), [], 'no mark is left');
});

test('a QoS 2 message that is sent again is stored once', async (t: TestContext) => {
  const fixture = await brokerFixture(t);
  const again = publishPacket('t', 'x', 2, 5, { dup: true });

  await t.test('on the same connection, in one chunk and after', async () => {
    const client = await connectRaw(fixture.port, 'c', { clean: false });
    client.send(publishPacket('t', 'x', 2, 5), again);
    await client.wait('pubrec', 2);
    client.send(again);
    await client.wait('pubrec', 3);
    await client.cut();
    await acceptedOnly(fixture, ['t x']);
  });
  await t.test('on a new connection', async () => {
    const client = await connectRaw(fixture.port, 'c', { clean: false });
    client.send(again);
    await client.wait('pubrec');
    await client.cut();
    await acceptedOnly(fixture, ['t x']);
  });
  await t.test('after a restart of the hub', async () => {
    await fixture.restart();
    const client = await connectRaw(fixture.port, 'c', { clean: false });
    client.send(again);
    await client.wait('pubrec');
    await acceptedOnly(fixture, ['t x']);
    client.send({ cmd: 'pubrel', messageId: 5 });
    await client.wait('pubcomp');
    assert.deepEqual(await fixture.sessionKeys(), []);
    await client.cut();
  });
  await t.test('and after PUBCOMP the same id is a new message', async () => {
    const client = await connectRaw(fixture.port, 'c', { clean: false });
    client.send(publishPacket('t', 'x', 2, 5));
    await client.wait('pubrec');
    await acceptedOnly(fixture, ['t x', 't x']);
  });
});

test('PUBCOMP leaves only after the mark is gone from storage', async (t) => {
  const fixture = await brokerFixture(t);
  const client = await connectRaw(fixture.port, 'c', { clean: false });
  client.send(publishPacket('t', 'x', 2, 5));
  await client.wait('pubrec');
  assert.deepEqual(await fixture.sessionKeys(), ['sic|5']);
  fixture.storage.hold();
  client.send({ cmd: 'pubrel', messageId: 5 });
  await until('the write is under way', () => fixture.storage.waiting > 0);
  await delay(SILENCE_MS);
  assert.deepEqual(client.ids('pubcomp'), []);
  fixture.storage.letGo();
  await client.wait('pubcomp');
  assert.deepEqual(await fixture.sessionKeys(), []);
});

test('PUBREL of an unknown message is answered', async (t) => {
  const fixture = await brokerFixture(t);
  const client = await connectRaw(fixture.port, 'c');
  client.send({ cmd: 'pubrel', messageId: 77 });
  await client.wait('pubcomp');
  assert.deepEqual(client.ids('pubcomp'), [77]);
});

test('a mark that was left does not swallow a new message under its id', async (t) => {
  const fixture = await brokerFixture(t);
  const device = await connectRaw(fixture.port, 'dev', { clean: false });
  device.send(publishPacket('t', 'before the reset', 2, 1));
  await device.wait('pubrec');
  await device.cut();
  for (const payload of ['after the reset', 'and once more']) {
    // a device that lost its memory begins with id 1 again
    const client = await connectRaw(fixture.port, 'dev', { clean: false });
    client.send(publishPacket('t', payload, 2, 1));
    await client.wait('pubrec');
    await client.cut();
    if (payload === 'after the reset') await fixture.restart();
  }
  const events = ['t before the reset', 't after the reset', 't and once more'];
  await acceptedOnly(fixture, events);
  // what says that it is a copy is one, also of a client that makes the payload anew
  const client = await connectRaw(fixture.port, 'dev', { clean: false });
  client.send(publishPacket('t', 'and once more, at 12:01', 2, 1, { dup: true }));
  await client.wait('pubrec');
  await acceptedOnly(fixture, events);
});

test('a clean session forgets the marks of the one before', async (t) => {
  const fixture = await brokerFixture(t);
  const before = await connectRaw(fixture.port, 'c', { clean: false });
  before.send(publishPacket('t', 'x', 2, 5));
  await before.wait('pubrec');
  await before.cut();
  const after = await connectRaw(fixture.port, 'c', { clean: true });
  after.send(publishPacket('t', 'x', 2, 5));
  await after.wait('pubrec');
  await acceptedOnly(fixture, ['t x', 't x']);
  assert.deepEqual(await fixture.sessionKeys(), []);
});

test('a client that is gone while its message waits: the message is kept', async (t) => {
  const fixture = await brokerFixture(t);
  const client = await connectRaw(fixture.port, 'c');
  fixture.storage.hold();
  client.send(publishPacket('t', 'x', 1, 5), publishPacket('t', 'y', 2, 6));
  await until('the write is under way', () => fixture.storage.waiting > 0);
  await client.cut();
  fixture.storage.letGo();
  await acceptedOnly(fixture, ['t x', 't y']);
  await fixture.serves();
});

test('takeover: the same id with messages under way loses none and repeats none', async (t) => {
  const fixture = await brokerFixture(t);
  const first = await connectRaw(fixture.port, 'c', { clean: false });
  fixture.storage.hold();
  first.send(publishPacket('t', 'one', 1, 1), publishPacket('t', 'two', 2, 2));
  await until('the write is under way', () => fixture.storage.waiting > 0);
  const second = await openRaw(fixture.port);
  second.send(
    connectPacket('c', { clean: false }),
    publishPacket('t', 'two', 2, 2, { dup: true }),
    publishPacket('t', 'three', 1, 3),
  );
  await first.waitClosed();
  fixture.storage.letGo();
  await second.wait('pubrec');
  await second.wait('puback');
  await acceptedOnly(fixture, ['t one', 't two', 't three']);
  assert.equal(fixture.broker.clients, 1);
});

test('what is sent before CONNACK is not overtaken by what is sent after', async (t) => {
  const fixture = await brokerFixture(t);
  for (let round = 0; round < 10; round++) {
    const client = await openRaw(fixture.port);
    const ids = Array.from({ length: 40 }, (_, i) => i + 1);
    const packets = ids.map((id) => publishPacket(`r/${round}`, String(id), 1, id));
    client.send(connectPacket(`c${round}`), ...packets.slice(0, 10));
    for (let i = 10; i < packets.length; i += 3) {
      await nextTurn();
      client.send(...packets.slice(i, i + 3));
    }
    await client.wait('puback', ids.length);
    assert.deepEqual(client.ids('puback'), ids);
    await client.cut();
  }
  const expected = Array.from({ length: 10 }, (_, round) =>
    Array.from({ length: 40 }, (_, i) => `r/${round} ${i + 1}`),
  );
  await acceptedOnly(fixture, expected.flat());
});

test('a client that vanishes and returns all the time leaves nothing behind', async (t) => {
  const fixture = await brokerFixture(t);
  for (let i = 0; i < 60; i++) {
    const client = await openRaw(fixture.port);
    client.send(connectPacket('same', { clean: i % 3 > 0 }), publishPacket('t', String(i), 1, 1));
    if (i % 2 === 0) await client.wait('puback');
    await client.cut();
  }
  await until('nobody is connected', () => fixture.broker.clients === 0);
  await fixture.serves();
});
