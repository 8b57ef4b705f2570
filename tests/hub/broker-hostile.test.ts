import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Packet } from 'mqtt-packet';
import { HubError } from '../../hub/core/errors.ts';
import { REFUSAL_REASONS } from '../../hub/intake/broker/refusals.ts';
import { BrokerFixture, brokerFixture } from '../support/broker-fixture.ts';
import {
  connectPacket,
  connectRaw,
  openRaw,
  publishPacket,
  type RawMqtt,
  subscribePacket,
} from '../support/raw-mqtt.ts';
import { until } from '../support/until.ts';

/** One packet of bytes as they are: the generator refuses what is wrong. */
function rawPublish(topic: Buffer, qos = 1): Buffer {
  const id = qos > 0 ? [0, 9] : [];
  const body = Buffer.concat([
    Buffer.from([topic.length >> 8, topic.length & 255]),
    topic,
    Buffer.from(id),
  ]);
  const length = [];
  for (let rest = body.length; ; rest >>= 7) {
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    if (rest <= 0x7f) break;
  }
  return Buffer.concat([Buffer.from([0x30 | (qos << 1), ...length]), body]);
}

async function afterEach(
  t: TestContext,
  fixture: BrokerFixture,
  name: string,
  attack: () => Promise<void>,
) {
  await t.test(name, async () => {
    await attack();
    await fixture.serves();
  });
}

test('client ids that are names of object members are ids like any other', async (t) => {
  const fixture = await brokerFixture(t);
  for (const id of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '__defineGetter__']) {
    await afterEach(t, fixture, id, async () => {
      for (let round = 0; round < 2; round++) {
        const client = await connectRaw(fixture.port, id, { clean: false });
        client.send(subscribePacket(1, id, 1), subscribePacket(2, `${id}/#`, 1));
        await client.wait('suback', 2);
        client.send(publishPacket(id, 'x', 2, 3, { retain: true }), publishPacket(id, 'y', 1, 4));
        await client.wait('pubrec');
        await client.wait('publish', 2);
        await client.cut();
      }
    });
  }
});

test('client ids and wills that are refused get a CONNACK that says so', async (t) => {
  const fixture = await brokerFixture(t);
  const will = (topic: string) => {
    return { will: { topic, payload: Buffer.from('x'), qos: 1, retain: false } } as const;
  };
  const nobody = Buffer.from([0x10, 12, 0, 4, ...Buffer.from('MQTT'), 4, 0, 0, 0, 0, 0]);
  const cases: [string, Packet | Buffer, number, string][] = [
    ['an id of 65 kB', connectPacket('x'.repeat(65_000)), 2, 'client_id_too_long'],
    ['a control character', connectPacket('a\u0007b'), 2, 'client_id_characters'],
    ['a NUL', connectPacket('a\u0000b'), 2, 'client_id_characters'],
    ['no id for a session', nobody, 2, 'client_id_missing'],
    ['a will to $SYS', connectPacket('c', will('$SYS/x')), 5, 'reserved_topic'],
    ['a will to a wildcard', connectPacket('c', will('a/+')), 5, 'topic_wildcard'],
    ['a will of 17 levels', connectPacket('c', will('a/'.repeat(16))), 5, 'topic_too_deep'],
    ['MQTT 5', connectPacket('c', { protocolVersion: 5 }), 1, 'protocol_version'],
  ];
  for (const [name, packet, returnCode, reason] of cases) {
    await afterEach(t, fixture, name, async () => {
      const before = fixture.refusals()[reason] ?? 0;
      const client = await openRaw(fixture.port);
      client.send(packet);
      await client.waitClosed();
      assert.equal(client.of('connack')[0]?.returnCode, returnCode);
      assert.equal(fixture.refusals()[reason], before + 1);
    });
  }
  assert.deepEqual(await fixture.sessionKeys(), [], 'no will is kept');
});

test('an empty client id with a clean session gets an id', async (t) => {
  const fixture = await brokerFixture(t);
  const [one, two] = [await connectRaw(fixture.port, ''), await connectRaw(fixture.port, '')];
  for (const client of [one, two]) {
    client.send(publishPacket('t', 'x', 1, 1));
    await client.wait('puback');
  }
  assert.equal(fixture.broker.clients, 2);
});

test('topics that are refused: counted, the client is cut, nothing is stored', async (t) => {
  const fixture = await brokerFixture(t);
  const cases: [string, Buffer, string][] = [
    ['a NUL', Buffer.from('a\u0000b'), 'topic_characters'],
    ['invalid UTF-8', Buffer.from([0x61, 0xff, 0xfe]), 'topic_characters'],
    ['U+FFFD', Buffer.from('a\ufffd'), 'topic_characters'],
    ['17 levels', Buffer.from('a/'.repeat(16)), 'topic_too_deep'],
    ['200 levels', Buffer.from('a/'.repeat(199)), 'topic_too_deep'],
    ['10,000 levels', Buffer.from('/'.repeat(9_999)), 'topic_too_deep'],
    ['600 bytes', Buffer.from('x'.repeat(600)), 'topic_too_long'],
    ['$SYS/x', Buffer.from('$SYS/x'), 'reserved_topic'],
    ['$share/x', Buffer.from('$share/x'), 'reserved_topic'],
    ['no topic', Buffer.alloc(0), 'malformed_packet'],
    ['+', Buffer.from('a/+'), 'topic_wildcard'],
    ['#', Buffer.from('#'), 'topic_wildcard'],
  ];
  let stored = 0;
  for (const [name, topic, reason] of cases) {
    for (const qos of [0, 1, 2]) {
      await afterEach(t, fixture, `${name} at QoS ${qos}`, async () => {
        const before = fixture.refusals()[reason] ?? 0;
        const client = await connectRaw(fixture.port, 'bad');
        client.send(rawPublish(topic, qos));
        await client.waitClosed();
        assert.equal(fixture.refusals()[reason], before + 1, reason);
        assert.equal(fixture.log.acceptedEvents, stored);
        stored++; // by the well-behaved client
      });
    }
  }
});

test('subscriptions that are refused are answered with 0x80 and not restored later', async (t) => {
  const fixture = await brokerFixture(t);
  const client = await connectRaw(fixture.port, 'dev', { clean: false });
  const topics = ['fine', '$SYS/#', 'x'.repeat(600), 'a/'.repeat(20)];
  client.send({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: topics.map((topic) => ({ topic, qos: 1 as const })),
  });
  await client.wait('suback');
  assert.deepEqual(client.of('suback')[0]?.granted, [1, 128, 128, 128]);
  await client.cut();
  await fixture.restart();
  // regression: a session kept the refused ones as well, and got them at its return
  assert.deepEqual(await fixture.sessionKeys(), ['sudev|fine']);
  const back = await connectRaw(fixture.port, 'dev', { clean: false });
  assert.equal(back.of('connack')[0]?.sessionPresent, true);
  await fixture.serves();
});

for (const clean of [true, false]) {
  test(`subscriptions are bounded (${clean ? 'clean' : 'persistent'} session)`, async (t) => {
    const fixture = await brokerFixture(t);
    const client = await connectRaw(fixture.port, 'flood', { clean });
    const startMs = performance.now();
    client.send({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: Array.from({ length: 10_000 }, (_, i) => ({
        topic: `t/${i}`,
        qos: 1 as const,
      })),
    });
    await client.wait('suback');
    // regression: aedes stores all of a packet once for each, 100,000,000 writes
    assert.ok(performance.now() - startMs < 3_000);
    const granted = client.of('suback')[0]?.granted ?? [];
    assert.equal(granted.filter((code) => code === 1).length, 100);
    assert.equal(fixture.refusals()['subscription_limit'], 9_900);
    await fixture.serves();
    for (let id = 2; id < 500; id++) client.send(subscribePacket(id, `one/${id}`, 1));
    await client.wait('suback', 499);
    assert.ok(
      client
        .of('suback')
        .slice(1)
        .every(({ granted: [code] }) => code === 128),
    );
    client.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['t/0'] });
    await client.wait('unsuback');
    client.send(subscribePacket(10, 'again', 1));
    await client.wait('suback', 500);
    assert.deepEqual(client.of('suback').at(-1)?.granted, [1]);
    await fixture.serves();
  });
}

test('bytes that are no MQTT', async (t) => {
  const fixture = await brokerFixture(t);
  const attacks: Record<string, () => Promise<RawMqtt>> = {
    'garbage instead of CONNECT': async () => {
      const client = await openRaw(fixture.port);
      client.send(Buffer.from('GET / HTTP/1.1\r\nHost: hub\r\n\r\n'.repeat(20)));
      return client;
    },
    'random bytes': async () => {
      const client = await openRaw(fixture.port);
      client.send(Buffer.from(Array.from({ length: 5_000 }, (_, i) => 0xf0 | ((i * 7) % 256))));
      return client;
    },
    'PUBLISH before CONNECT': async () => {
      const client = await openRaw(fixture.port);
      client.send(publishPacket('t', 'x', 1, 1));
      return client;
    },
    'CONNECT twice': async () => {
      const client = await connectRaw(fixture.port, 'c');
      client.send(connectPacket('c'));
      return client;
    },
    'garbage after CONNECT': async () => {
      const client = await connectRaw(fixture.port, 'c');
      client.send(Buffer.from([0x36, 2, 0, 0]));
      return client;
    },
    'a message id of 0': async () => {
      const client = await connectRaw(fixture.port, 'c');
      client.send(Buffer.from([0x32, 5, 0, 1, 0x61, 0, 0]));
      return client;
    },
    'SUBSCRIBE to nothing': async () => {
      const client = await connectRaw(fixture.port, 'c');
      client.send(Buffer.from([0x82, 5, 0, 1, 0, 0, 1]));
      return client;
    },
    'an acknowledgement too short': async () => {
      const client = await connectRaw(fixture.port, 'c');
      client.send(Buffer.from([0x62, 1, 0]));
      return client;
    },
  };
  for (const [name, attack] of Object.entries(attacks)) {
    await afterEach(t, fixture, name, async () => {
      const client = await attack();
      await client.waitClosed();
      assert.equal(client.of('puback').length, 0);
    });
  }
  assert.ok((fixture.refusals()['malformed_packet'] ?? 0) >= 6);
});

test('a packet of 1 MiB is refused, wherever it stands', async (t) => {
  const fixture = await brokerFixture(t);
  const large = publishPacket('t', Buffer.alloc(1024 * 1024), 1, 1);
  const fits = publishPacket('t', Buffer.alloc(200_000), 1, 2);
  for (const packets of [[large], [fits, large], [publishPacket('t', 'x', 0), large]]) {
    const client = await connectRaw(fixture.port, 'c');
    client.send(...packets);
    await client.waitClosed();
    await fixture.serves();
  }
  const beforeConnect = await openRaw(fixture.port);
  beforeConnect.send(large);
  await beforeConnect.waitClosed();
  assert.equal(fixture.refusals()['packet_too_large'], 4);
});

test('half a CONNECT, then silence: others are served, and a stop does not wait', async (t) => {
  const fixture = await brokerFixture(t);
  const half = await openRaw(fixture.port);
  half.send(Buffer.from([0x10, 20, 0, 4, 0x4d, 0x51]));
  const idle = await Promise.all(Array.from({ length: 500 }, () => openRaw(fixture.port)));
  await fixture.serves();
  const startMs = performance.now();
  await fixture.restart();
  assert.ok(performance.now() - startMs < 3_000);
  for (const client of [half, ...idle]) await client.waitClosed();
  await fixture.serves();
});

test('more clients than allowed are refused, and one that leaves makes room', async (t) => {
  const fixture = await brokerFixture(t, { limits: { clientsMax: 3 } });
  const clients = [];
  for (const id of ['a', 'b', 'c']) clients.push(await connectRaw(fixture.port, id));
  const fourth = await openRaw(fixture.port);
  await fourth.waitClosed();
  assert.equal(fixture.refusals()['too_many_clients'], 1);
  await clients[0]?.cut();
  await until('the place is free', () => fixture.broker.clients === 2);
  await fixture.serves();
});

test('half-open QoS 2 messages are bounded', async (t) => {
  const fixture = await brokerFixture(t, { limits: { inflightMax: 100 } });
  const client = await connectRaw(fixture.port, 'c', { clean: false });
  client.send(...Array.from({ length: 2_000 }, (_, i) => publishPacket('t', 'x', 2, i + 1)));
  await client.waitClosed();
  assert.ok((fixture.refusals()['inflight_limit'] ?? 0) > 0);
  const marks = (await fixture.sessionKeys()).length;
  assert.ok(marks <= 100, `${marks} marks`);
  await fixture.serves();
});

test('`anonymous: false` refuses with 5, and touches nobody else', async (t) => {
  const fixture = await brokerFixture(t, { anonymous: false });
  for (const clean of [true, false]) {
    const client = await openRaw(fixture.port);
    client.send(connectPacket('c', { clean }), publishPacket('t', 'x', 1, 1));
    await client.waitClosed();
    assert.equal(client.of('connack')[0]?.returnCode, 5);
    assert.equal(client.of('puback').length, 0);
  }
  assert.equal(fixture.refusals()['not_authorized'], 2);
  assert.equal(fixture.log.acceptedEvents, 0);
});

test('a client that is refused does not wipe the marks of the one whose id it names', async (t) => {
  const fixture = await brokerFixture(t);
  const client = await connectRaw(fixture.port, 'dev', { clean: false });
  client.send(publishPacket('t', 'x', 2, 5));
  await client.wait('pubrec');
  const thief = await openRaw(fixture.port);
  const payload = Buffer.from('x');
  const will = { topic: '$SYS/x', payload, qos: 0, retain: false } as const;
  thief.send(connectPacket('dev', { clean: true, will }));
  await thief.waitClosed();
  assert.equal(client.closed, false);
  client.send(publishPacket('t', 'x', 2, 5, { dup: true }));
  await client.wait('pubrec', 2);
  assert.deepEqual(await fixture.events(), ['t x']);
});

test('an address that is taken is a HubError', async (t) => {
  const fixture = await brokerFixture(t);
  const other = new BrokerFixture(`${fixture.folder}/other`, { port: fixture.port });
  await assert.rejects(other.start(), (error) => {
    assert.ok(error instanceof HubError);
    assert.equal(error.code, 'SERVICE_UNAVAILABLE');
    assert.match(error.message, /cannot listen for MQTT on 127\.0\.0\.1:\d+.*EADDRINUSE/);
    return true;
  });
  await other.stop();
});

test('every reason that is counted is in the list', async (t) => {
  const fixture = await brokerFixture(t);
  const client = await connectRaw(fixture.port, 'c');
  client.send(rawPublish(Buffer.from('a/+')));
  await client.waitClosed();
  for (const reason of fixture.broker.refusals().keys())
    assert.ok(REFUSAL_REASONS.includes(reason));
  assert.equal(new Set(REFUSAL_REASONS).size, REFUSAL_REASONS.length);
});
