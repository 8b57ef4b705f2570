import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { MqttClient } from 'mqtt';
import { sessionKey } from '../../hub/log/keys.ts';
import {
  type BrokerFixture,
  brokerFixture,
  inbox,
  untilReceived,
} from '../support/broker-fixture.ts';
import { connectRaw, publishPacket, type RawMqtt, subscribePacket } from '../support/raw-mqtt.ts';
import { until } from '../support/until.ts';

const PERSISTENT = { clean: false } as const;

/** Publishes with QoS 1 and resolves when all is acknowledged. */
async function publish(fixture: BrokerFixture, ...messages: readonly [string, string][]) {
  const client = await connectRaw(fixture.port, `publisher-${Math.random()}`);
  client.send(...messages.map(([topic, text], i) => publishPacket(topic, text, 1, i + 1)));
  await client.wait('puback', messages.length);
  await client.cut();
}

function numbered(topic: string, count: number, from = 1): [string, string][] {
  return Array.from({ length: count }, (_, i) => [topic, String(from + i)]);
}

function texts(client: RawMqtt): string[] {
  return client.of('publish').map(({ topic, payload }) => `${topic} ${payload}`);
}

/** Everything the broker has begun is done: a message sent now arrives after all of it. */
async function flush(fixture: BrokerFixture, client: MqttClient | RawMqtt): Promise<void> {
  if ('received' in client) {
    const before = client.of('pingresp').length;
    await publish(fixture, ['flush', 'x']);
    client.send({ cmd: 'pingreq' });
    await client.wait('pingresp', before + 1);
  }
}

test('devices exchange messages: wildcards and levels', async (t) => {
  const fixture = await brokerFixture(t);
  const filters: Record<string, string[]> = {
    'a/b': ['a/b'],
    'a/+': ['a/b', 'a/'],
    '+/b': ['a/b', '/b'],
    'a/#': ['a', 'a/b', 'a/', 'a/b/c'],
    '#': ['a', 'a/b', 'a/', '/b', 'a/b/c'],
    '+': ['a'],
    '+/+': ['a/b', 'a/', '/b'],
  };
  const inboxes = await Promise.all(
    Object.keys(filters).map(async (filter) => {
      const client = await fixture.client();
      const received = inbox(client);
      await client.subscribeAsync(filter, { qos: 1 });
      return [filter, received] as const;
    }),
  );
  const publisher = await fixture.client();
  for (const topic of ['a', 'a/b', 'a/', '/b', 'a/b/c']) {
    await publisher.publishAsync(topic, 'x', { qos: 1 });
  }
  for (const [filter, received] of inboxes) {
    const expected = filters[filter] ?? [];
    await untilReceived(received, expected.length);
    assert.deepEqual(received.toSorted(), expected.map((topic) => `${topic} x`).toSorted(), filter);
  }
});

test('a subscriber gets at most the QoS it was granted, whatever the filter', async (t) => {
  const fixture = await brokerFixture(t);
  for (const filter of ['q/x', 'q/+', '#']) {
    for (const granted of [0, 1, 2] as const) {
      const client = await connectRaw(fixture.port, `s${granted}${filter.length}`);
      client.send(subscribePacket(1, filter, granted));
      await client.wait('suback');
      const publisher = await connectRaw(fixture.port, 'p');
      for (const qos of [0, 1, 2] as const) {
        publisher.send(publishPacket('q/x', String(qos), qos, qos + 1));
        await client.wait('publish', qos + 1);
      }
      assert.deepEqual(
        client.of('publish').map(({ qos, payload }) => [String(payload), qos]),
        [0, 1, 2].map((qos) => [String(qos), Math.min(qos, granted)]),
        `${filter} at QoS ${granted}`,
      );
      await client.cut();
    }
  }
});

test('retained messages are sent with the granted QoS', async (t) => {
  const fixture = await brokerFixture(t);
  const publisher = await fixture.client();
  await publisher.publishAsync('r/x', 'state', { qos: 2, retain: true });
  for (const granted of [0, 1, 2] as const) {
    const client = await connectRaw(fixture.port, `s${granted}`);
    client.send(subscribePacket(1, 'r/#', granted));
    await client.wait('publish');
    const [first] = client.of('publish');
    assert.equal(first?.qos, granted);
    assert.equal(first?.retain, true);
  }
});

test('overlapping subscriptions: one copy, and a persistent queue that empties', async (t) => {
  const fixture = await brokerFixture(t, { limits: { sessionQueueEventsMax: 5 } });
  const client = await connectRaw(fixture.port, 'over', PERSISTENT);
  client.send(subscribePacket(1, 'a/#', 1), subscribePacket(2, 'a/+', 1));
  await client.wait('suback', 2);
  for (let i = 1; i <= 20; i++) {
    await publish(fixture, ['a/b', String(i)]);
    await client.wait('publish', i);
    client.send({ cmd: 'puback', messageId: client.of('publish')[i - 1]?.messageId ?? 0 });
  }
  await flush(fixture, client);
  assert.deepEqual(
    texts(client),
    numbered('a/b', 20).map((pair) => pair.join(' ')),
  );
  assert.equal(fixture.refusals()['session_queue_full'], undefined);
  await client.cut();
  await fixture.restart();
  const left = (await fixture.sessionKeys()).filter((key) => key.startsWith('so'));
  assert.deepEqual(left, []);
});

test('a retained message is not lost to one that overtakes it', async (t) => {
  // regression: aedes takes a smaller number for a duplicate and drops the message
  const fixture = await brokerFixture(t);
  const watcher = await connectRaw(fixture.port, 'w');
  watcher.send(subscribePacket(1, '#', 0));
  await watcher.wait('suback');
  const publisher = await connectRaw(fixture.port, 'p');
  publisher.send(
    publishPacket('t', '1', 0, 0, { retain: true }),
    publishPacket('t', '2'),
    publishPacket('t', '3', 0, 0, { retain: true }),
    publishPacket('t', '4'),
  );
  await watcher.wait('publish', 4);
  assert.deepEqual(texts(watcher), ['t 1', 't 2', 't 3', 't 4']);
});

test('a message that is queued for an absent client still reaches the present ones', async (t) => {
  // regression: it waits for a write, is overtaken, and was then taken for a duplicate
  const fixture = await brokerFixture(t);
  const absent = await connectRaw(fixture.port, 'absent', PERSISTENT);
  absent.send(subscribePacket(1, 'queued/#', 1));
  await absent.wait('suback');
  await absent.cut();
  const watcher = await connectRaw(fixture.port, 'w');
  watcher.send(subscribePacket(1, '#', 1));
  await watcher.wait('suback');
  const publisher = await connectRaw(fixture.port, 'p');
  const packets = Array.from({ length: 100 }, (_, i) => {
    return publishPacket(i % 2 === 0 ? 'queued/x' : 'other', String(i), 1, i + 1);
  });
  publisher.send(...packets);
  await watcher.wait('publish', 100);
  for (const topic of ['queued/x', 'other']) {
    const numbers = watcher.of('publish').filter((packet) => packet.topic === topic);
    const expected = packets.map((_, i) => i).filter((i) => (i % 2 === 0) === (topic !== 'other'));
    assert.deepEqual(
      numbers.map(({ payload }) => Number(payload)),
      expected,
    );
  }
});

test('retained messages survive a restart, are replaced, deleted, and limited', async (t) => {
  const fixture = await brokerFixture(t, { limits: { retainedMessagesMax: 3 } });
  const publisher = await connectRaw(fixture.port, 'p', PERSISTENT);
  publisher.send(publishPacket('r/2', 'two', 2, 2, { retain: true }));
  await publisher.wait('pubrec');
  publisher.send(
    publishPacket('r/0', 'old', 0, 0, { retain: true }),
    publishPacket('r/1', 'one', 1, 1, { retain: true }),
    publishPacket('r/0', 'zero', 1, 3, { retain: true }),
    publishPacket('r/3', 'too many', 1, 4, { retain: true }),
    publishPacket('r/1', '', 1, 5, { retain: true }),
  );
  await publisher.wait('puback', 4);
  assert.equal(fixture.refusals()['retained_limit'], 1);
  for (const round of ['before a restart', 'after it']) {
    const client = await connectRaw(fixture.port, `s ${round}`);
    client.send(subscribePacket(1, 'r/+', 1), subscribePacket(2, 'nothing', 1));
    await client.wait('publish', 2);
    await client.wait('suback', 2);
    assert.deepEqual(texts(client).toSorted(), ['r/0 zero', 'r/2 two'], round);
    assert.ok(client.of('publish').every(({ retain }) => retain));
    await client.cut();
    await fixture.restart();
  }
  assert.equal((await fixture.events()).length, 6, 'all of them are events');
});

test('a message with the retain flag reaches those who are subscribed without it', async (t) => {
  const fixture = await brokerFixture(t);
  const live = await connectRaw(fixture.port, 'live', PERSISTENT);
  const absent = await connectRaw(fixture.port, 'absent', PERSISTENT);
  for (const client of [live, absent]) {
    client.send(subscribePacket(1, 't', 1));
    await client.wait('suback');
  }
  await absent.cut();
  const publisher = await connectRaw(fixture.port, 'p');
  publisher.send(publishPacket('t', 'x', 1, 1, { retain: true, dup: true }));
  await live.wait('publish');
  const back = await connectRaw(fixture.port, 'absent', PERSISTENT);
  await back.wait('publish');
  for (const client of [live, back]) {
    const [packet] = client.of('publish');
    assert.equal(packet?.retain, false);
    assert.equal(packet?.dup, false);
  }
});

test('a persistent session keeps subscriptions and queue, in order, over a restart', async (t) => {
  const fixture = await brokerFixture(t);
  const before = await connectRaw(fixture.port, 'dev', PERSISTENT);
  before.send(
    {
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [
        { topic: 'x/#', qos: 1 },
        { topic: 'y', qos: 2 },
      ],
    },
    subscribePacket(2, 'gone', 1),
    { cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['gone'] },
  );
  await before.wait('unsuback');
  await before.cut();
  await publish(fixture, ...numbered('x/1', 30), ['gone', 'no']);
  await fixture.restart();
  await publish(fixture, ...numbered('x/1', 30, 31));
  const after = await connectRaw(fixture.port, 'dev', PERSISTENT);
  assert.equal(after.of('connack')[0]?.sessionPresent, true);
  await after.wait('publish', 60);
  assert.deepEqual(
    texts(after),
    numbered('x/1', 60).map((pair) => pair.join(' ')),
  );
  await publish(fixture, ['x/1', 'live']);
  await after.wait('publish', 61);
  const ids = after.of('publish').map(({ messageId }) => messageId);
  assert.equal(new Set(ids).size, 61, 'no message id is used twice');
});

test('what was not acknowledged is sent again with DUP, what was is not', async (t) => {
  const fixture = await brokerFixture(t);
  const before = await connectRaw(fixture.port, 'dev', PERSISTENT);
  before.send(subscribePacket(1, 't', 1));
  await before.wait('suback');
  await publish(fixture, ...numbered('t', 3));
  await before.wait('publish', 3);
  before.send({ cmd: 'puback', messageId: before.of('publish')[1]?.messageId ?? 0 });
  await flush(fixture, before);
  await before.cut();
  await fixture.restart();
  const after = await connectRaw(fixture.port, 'dev', PERSISTENT);
  await after.wait('publish', 2);
  assert.deepEqual(texts(after), ['t 1', 't 3']);
  assert.deepEqual(
    after.of('publish').map(({ dup }) => dup),
    [true, true],
  );
});

test('QoS 2 to a subscriber, cut at every step and over restarts: exactly once', async (t) => {
  const fixture = await brokerFixture(t);
  const first = await connectRaw(fixture.port, 'dev', PERSISTENT);
  first.send(subscribePacket(1, 't', 2));
  await first.wait('suback');
  await first.cut();
  const publisher = await connectRaw(fixture.port, 'p');
  publisher.send(publishPacket('t', 'once', 2, 1));
  await publisher.wait('pubrec');
  await fixture.restart();

  const cutBeforePubrec = await connectRaw(fixture.port, 'dev', PERSISTENT);
  await cutBeforePubrec.wait('publish');
  const messageId = cutBeforePubrec.of('publish')[0]?.messageId ?? 0;
  await cutBeforePubrec.cut();
  await fixture.restart();

  const cutBeforePubcomp = await connectRaw(fixture.port, 'dev', PERSISTENT);
  await cutBeforePubcomp.wait('publish');
  assert.equal(cutBeforePubcomp.of('publish')[0]?.messageId, messageId);
  assert.equal(cutBeforePubcomp.of('publish')[0]?.dup, true);
  cutBeforePubcomp.send({ cmd: 'pubrec', messageId });
  await cutBeforePubcomp.wait('pubrel');
  await cutBeforePubcomp.cut();

  for (const round of ['on a new connection', 'after a restart']) {
    if (round === 'after a restart') await fixture.restart();
    // regression: aedes could not send a PUBREL again, and cut the client each time
    const client = await connectRaw(fixture.port, 'dev', PERSISTENT);
    await client.wait('pubrel');
    assert.deepEqual(client.ids('pubrel'), [messageId], round);
    assert.deepEqual(texts(client), [], round);
    if (round === 'after a restart') client.send({ cmd: 'pubcomp', messageId });
    await flush(fixture, client);
    assert.equal(client.closed, false, round);
    await client.cut();
  }
  await fixture.restart();
  assert.deepEqual(
    (await fixture.sessionKeys()).filter((key) => key.startsWith('so')),
    [],
  );
});

test('a full queue drops the newest and counts them; who is there is served', async (t) => {
  const fixture = await brokerFixture(t, { limits: { sessionQueueEventsMax: 10 } });
  const before = await connectRaw(fixture.port, 'dev', PERSISTENT);
  before.send(subscribePacket(1, 't', 1));
  await before.wait('suback');
  await publish(fixture, ...numbered('t', 25));
  await before.wait('publish', 25); // it acknowledges none of them
  assert.equal(fixture.refusals()['session_queue_full'], 15);
  await flush(fixture, before);
  assert.equal(before.closed, false, 'regression: it was cut');
  await before.cut();
  const after = await connectRaw(fixture.port, 'dev', PERSISTENT);
  await after.wait('publish', 10);
  await flush(fixture, after);
  assert.deepEqual(
    texts(after),
    numbered('t', 10).map((pair) => pair.join(' ')),
  );
  assert.equal((await fixture.events()).length > 25, true, 'the log has all of them');
});

test('a clean session wipes what was there', async (t) => {
  const fixture = await brokerFixture(t);
  const before = await connectRaw(fixture.port, 'dev', PERSISTENT);
  before.send(subscribePacket(1, 't', 1));
  await before.wait('suback');
  await before.cut();
  await publish(fixture, ...numbered('t', 5));
  const clean = await connectRaw(fixture.port, 'dev', { clean: true });
  assert.equal(clean.of('connack')[0]?.sessionPresent, false);
  await flush(fixture, clean);
  assert.deepEqual(texts(clean), []);
  await clean.cut();
  await fixture.restart();
  assert.deepEqual(await fixture.sessionKeys(), []);
  const after = await connectRaw(fixture.port, 'dev', PERSISTENT);
  assert.equal(after.of('connack')[0]?.sessionPresent, false);
});

for (const [name, end] of [
  ['a lost connection', (client: RawMqtt) => client.cut()],
  ['a stop of the hub', (_client: RawMqtt, fixture: BrokerFixture) => fixture.restart()],
] as const) {
  test(`a will after ${name}: stored once, published, gone from the store`, async (t) => {
    const fixture = await brokerFixture(t);
    const will = {
      topic: 'wills/dev',
      payload: Buffer.from('lost'),
      qos: 1,
      retain: true,
    } as const;
    const watcher = await connectRaw(fixture.port, 'w');
    watcher.send(subscribePacket(1, 'wills/#', 1));
    await watcher.wait('suback');
    const client = await connectRaw(fixture.port, 'dev', { will });
    assert.deepEqual(await fixture.sessionKeys(), ['swdev']);
    await end(client, fixture);
    await until('the will is stored', () => fixture.log.acceptedEvents > 0);
    if (name === 'a lost connection') await watcher.wait('publish');
    assert.deepEqual(await fixture.events(), ['wills/dev lost']);
    assert.deepEqual(await fixture.sessionKeys(), ['srwills/dev']);
  });
}

test('a will of a client that says goodbye is forgotten', async (t) => {
  const fixture = await brokerFixture(t);
  const will = { topic: 'w', payload: Buffer.from('lost'), qos: 2, retain: false } as const;
  const client = await connectRaw(fixture.port, 'dev', { will });
  client.send({ cmd: 'disconnect' });
  await client.waitClosed();
  await fixture.restart();
  assert.deepEqual(await fixture.sessionKeys(), []);
  assert.deepEqual(await fixture.events(), []);
});

test('fan-out goes on after every way to leave', async (t: TestContext) => {
  const fixture = await brokerFixture(t);
  const stays = await connectRaw(fixture.port, 'stays');
  stays.send(subscribePacket(1, 'live', 1));
  await stays.wait('suback');
  let sent = 0;
  const ways: Record<string, (client: RawMqtt) => Promise<void>> = {
    'UNSUBSCRIBE twice in one chunk': async (client) => {
      client.send(
        { cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['live'] },
        { cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['live'] },
      );
      await client.wait('unsuback', 2);
    },
    'the same topic twice in one UNSUBSCRIBE': async (client) => {
      client.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['live', 'live'] });
      await client.wait('unsuback');
    },
    'UNSUBSCRIBE and DISCONNECT': async (client) => {
      client.send(
        { cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['live'] },
        { cmd: 'disconnect' },
      );
      await client.waitClosed();
    },
    'a lost connection': (client) => client.cut(),
    'another QoS': async (client) => {
      client.send(subscribePacket(2, 'live', 0), subscribePacket(3, 'live', 2));
      await client.wait('suback', 3);
    },
    takeover: async (client) => {
      await connectRaw(fixture.port, 'leaves');
      await client.waitClosed();
    },
  };
  for (const [name, leave] of Object.entries(ways)) {
    await t.test(name, async () => {
      const leaves = await connectRaw(fixture.port, 'leaves');
      leaves.send(subscribePacket(1, 'live', 1));
      await leaves.wait('suback');
      await leave(leaves);
      await publish(fixture, ['live', name]);
      await stays.wait('publish', ++sent);
      assert.equal(String(stays.of('publish')[sent - 1]?.payload), name);
    });
  }
});

test('damaged session state is left out, and the rest is there', async (t) => {
  const fixture = await brokerFixture(t);
  const client = await connectRaw(fixture.port, 'p');
  client.send(publishPacket('r/good', 'x', 1, 1, { retain: true }));
  await client.wait('puback');
  const bad = ['r', 'u', 'o', 'w'].map((kind) => ({
    type: 'put' as const,
    key: sessionKey(kind, 'bad', '0000000000000001'),
    value: Buffer.from('{"cut'),
  }));
  await fixture.storage.write(bad, { sync: true });
  await fixture.restart();
  const after = await connectRaw(fixture.port, 's');
  after.send(subscribePacket(1, '#', 1));
  await after.wait('publish');
  assert.deepEqual(texts(after), ['r/good x']);
  await fixture.restart();
  assert.deepEqual(await fixture.sessionKeys(), ['srr/good']);
});

test('the number of persistent sessions is bounded', async (t) => {
  const fixture = await brokerFixture(t, { limits: { sessionsMax: 2 } });
  for (const id of ['a', 'b', 'c']) {
    const client = await connectRaw(fixture.port, id, PERSISTENT);
    client.send(subscribePacket(1, 't', 1));
    if (id === 'c') await client.waitClosed();
    else await client.wait('suback');
  }
  assert.equal(fixture.refusals()['session_limit'], 1);
  for (const id of ['d', 'e', 'f']) {
    const client = await connectRaw(fixture.port, id, PERSISTENT);
    client.send(publishPacket('q', id, 2, 1));
    await client.wait('pubrec'); // the mark of the oldest is given up, not the newest message
    await client.cut();
  }
  assert.equal((await fixture.sessionKeys()).filter((key) => key.startsWith('si')).length, 2);
  await fixture.serves();
});
