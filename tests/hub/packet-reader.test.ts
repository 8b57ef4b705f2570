import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import fc from 'fast-check';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { type PacketParser, readPublishes } from '../../hub/intake/broker/packet-reader.ts';

const LIMIT_BYTES = 1024 * 1024;

/** What one parser made of some bytes. */
interface Outcome {
  readonly packets: Record<string, unknown>[];
  failed: boolean;
}

function reader(bytesMax = LIMIT_BYTES) {
  // aedes reaches into the same private parts
  const parser = mqttPacket.parser() as unknown as PacketParser;
  const facts = { packets: [] as Record<string, unknown>[], failed: false, tooLarge: 0 };
  readPublishes(parser, { bytesMax, tooLarge: () => facts.tooLarge++ });
  listen(parser, facts);
  return { parser, facts };
}

function listen(parser: PacketParser, outcome: Outcome): void {
  parser.on('packet', (packet: object) => outcome.packets.push(fieldsOf(packet)));
  parser.on('error', () => {
    outcome.failed = true;
  });
}

/** The fields that mean something; payloads as hex, as equal bytes may lie in other buffers. */
function fieldsOf(packet: object): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(packet)) {
    if (value === undefined || value === null) continue;
    fields[name] = Buffer.isBuffer(value) ? value.toString('hex') : value;
  }
  return fields;
}

/** Feeds until the first error, as aedes does: it cuts the connection then. */
function feed(parser: PacketParser, outcome: Outcome, chunks: readonly Buffer[]): void {
  for (const chunk of chunks) {
    if (outcome.failed) return;
    parser.parse(chunk);
  }
}

/**
 * What mqtt-packet makes of it, given one packet at a time: from a longer buffer it reads over the
 * end of a packet that is too short. A PUBLISH that it lets pass against the standard is an error.
 */
function reference(bytes: Buffer): Outcome {
  const parser = mqttPacket.parser() as unknown as PacketParser;
  const outcome: Outcome = { packets: [], failed: false };
  parser.on('packet', (packet: Packet) => {
    const nameless = packet.cmd === 'publish' && packet.topic === '';
    const unnumbered = packet.cmd === 'publish' && packet.qos > 0 && (packet.messageId ?? 0) < 1;
    if (nameless || unnumbered) outcome.failed = true;
    else outcome.packets.push(fieldsOf(packet));
  });
  parser.on('error', () => {
    outcome.failed = true;
  });
  let at = 0;
  while (at < bytes.length && !outcome.failed) {
    const end = packetEnd(bytes, at);
    if (end > bytes.length) break;
    parser.parse(bytes.subarray(at, end));
    at = end;
  }
  return outcome;
}

/** Where the packet at `at` ends; beyond the bytes when it is not whole. */
function packetEnd(bytes: Buffer, at: number): number {
  let length = 0;
  for (let i = 0; i < 4; i++) {
    const byte = bytes[at + 1 + i];
    if (byte === undefined) return Number.POSITIVE_INFINITY;
    length += (byte & 0x7f) * 128 ** i;
    if (byte < 0x80) return at + 2 + i + length;
  }
  return bytes.length;
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

function publishBytes(
  payloadBytes: number,
  topic = 'site/a/dev1/temp',
  qos: 0 | 1 | 2 = 1,
): Buffer {
  const payload = Buffer.alloc(payloadBytes, 0x61);
  const messageId = qos > 0 ? { messageId: 7 } : {};
  const fields = { cmd: 'publish', topic, payload, qos, dup: false, retain: false } as const;
  return mqttPacket.generate({ ...fields, ...messageId });
}

const topics = fc.oneof(
  fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }),
  fc.constantFrom('a', 'site/a/dev1/temp', '\u0000', 'ü/π/\u{1f600}'),
);
const payloads = fc.oneof(
  { arbitrary: fc.uint8Array({ maxLength: 200 }), weight: 8 },
  // around each length of the length field, and beyond one chunk of a socket
  { arbitrary: fc.constantFrom(100, 127, 128, 16_383, 16_384, 70_000), weight: 1 },
);
const publishes = fc
  .record({
    topic: topics,
    payload: payloads,
    qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
    retain: fc.boolean(),
    dup: fc.boolean(),
    messageId: fc.integer({ min: 1, max: 65_535 }),
  })
  .map(({ payload, qos, dup, messageId, ...rest }): Packet => {
    const bytes = typeof payload === 'number' ? Buffer.alloc(payload, 'x') : Buffer.from(payload);
    const base = { cmd: 'publish' as const, ...rest, payload: bytes, qos };
    return qos > 0 ? { ...base, dup, messageId } : { ...base, dup: false };
  });
const others = fc.constantFrom<Packet>(
  { cmd: 'pingreq' },
  { cmd: 'pubrel', messageId: 9 },
  { cmd: 'puback', messageId: 10 },
  { cmd: 'subscribe', messageId: 11, subscriptions: [{ topic: 'a/#', qos: 1 }] },
  { cmd: 'unsubscribe', messageId: 12, unsubscriptions: ['a/#'] },
  { cmd: 'connect', clientId: 'c', keepalive: 5, clean: true, protocolId: 'MQTT' },
);
const streams = fc
  .array(fc.oneof({ arbitrary: publishes, weight: 5 }, { arbitrary: others, weight: 1 }), {
    maxLength: 12,
  })
  .map((packets) => Buffer.concat(packets.map((packet) => mqttPacket.generate(packet))));
const cuts = fc.oneof(
  fc.constant([1]),
  fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 8 }),
  fc.constant([65_536]),
);

test('gives the same packets as mqtt-packet, however the bytes are cut', () => {
  fc.assert(
    fc.property(streams, cuts, (bytes, sizes) => {
      const { parser, facts } = reader();
      feed(parser, facts, cut(bytes, sizes));
      const expected = reference(bytes);
      assert.deepEqual(facts.packets, expected.packets);
      assert.equal(facts.failed, expected.failed);
    }),
    { numRuns: 300 },
  );
});

test('fails where mqtt-packet fails, after the same packets', () => {
  const damaged = fc.tuple(streams, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 6 }));
  fc.assert(
    fc.property(damaged, cuts, ([bytes, where, wrong], sizes) => {
      const broken = Buffer.from(bytes);
      broken.set(wrong.slice(0, broken.length), where % Math.max(1, broken.length - wrong.length));
      const { parser, facts } = reader(256 * 1024 * 1024);
      feed(parser, facts, cut(broken, sizes));
      const expected = reference(broken);
      assert.deepEqual(facts.packets, expected.packets);
      assert.equal(facts.failed, expected.failed);
    }),
    { numRuns: 500 },
  );
});

for (const [name, bytes] of [
  ['a length of five bytes', [0x30, 0x80, 0x80, 0x80, 0x80, 0x01]],
  ['a QoS of 3', [0x36, 4, 0, 1, 0x61, 0x62]],
  ['a topic longer than the packet', [0x30, 4, 0, 9, 0x61, 0x62]],
  ['a PUBLISH too short for a topic', [0x30, 1, 0]],
  ['a PUBLISH without a topic', [0x30, 2, 0, 0]],
  ['a PUBLISH that ends in its message id', [0x32, 4, 0, 1, 0x61, 0x62]],
  ['a message id of 0', [0x32, 5, 0, 1, 0x61, 0, 0]],
  ['a packet type that does not exist', [0x00, 0]],
] as const) {
  test(`malformed: ${name} is an error`, () => {
    const { parser, facts } = reader();
    feed(parser, facts, [Buffer.from(bytes)]);
    assert.equal(facts.failed, true);
    assert.equal(facts.packets.length, 0);
    assert.equal(reference(Buffer.from(bytes)).failed, true);
  });
}

test('a packet over the limit is refused by its length, before its bytes are there', () => {
  const { parser, facts } = reader(1000);
  feed(parser, facts, [publishBytes(900), Buffer.from([0x30, 0xe9, 0x07])]); // 1001
  assert.equal(facts.packets.length, 1);
  assert.equal(facts.tooLarge, 1);
  assert.equal(facts.failed, true);
});

test('a packet at the limit passes', () => {
  const bytes = publishBytes(960, 'a', 0);
  const { parser, facts } = reader(bytes.length - 3);
  feed(parser, facts, cut(bytes, [7]));
  assert.equal(facts.packets.length, 1);
  assert.equal(facts.failed, false);
});

test('the limit holds for the packet after a large one that came in pieces', () => {
  // regression: the end of the first packet and all that followed went to mqtt-packet unlimited
  const first = publishBytes(100_000);
  const next = Buffer.from([0x32, 0xff, 0xff, 0xff, 0x7f, 0, 1, 0x61]);
  const { parser, facts } = reader(256 * 1024);
  feed(parser, facts, [first.subarray(0, 70_000), Buffer.concat([first.subarray(70_000), next])]);
  assert.equal(facts.packets.length, 1);
  assert.equal(facts.tooLarge, 1);
  assert.equal(facts.failed, true);
});

test('the limit holds for the other packets, and for MQTT 5', () => {
  for (const start of [
    Buffer.from([0x10, 0x80, 0x80, 0x40]),
    Buffer.concat([
      mqttPacket.generate({ cmd: 'connect', clientId: 'c', keepalive: 0, protocolVersion: 5 }),
      Buffer.from([0x30, 0x80, 0x80, 0x40]),
    ]),
  ]) {
    const { parser, facts } = reader(1000);
    feed(parser, facts, [start]);
    assert.equal(facts.tooLarge, 1);
    assert.equal(facts.failed, true);
  }
});

test('MQTT 5 is left to mqtt-packet', () => {
  const bytes = Buffer.concat([
    mqttPacket.generate({ cmd: 'connect', clientId: 'c', keepalive: 0, protocolVersion: 5 }),
    mqttPacket.generate(
      {
        cmd: 'publish',
        topic: 'a',
        payload: 'b',
        qos: 1,
        dup: false,
        retain: false,
        messageId: 3,
        properties: { contentType: 'text/plain' },
      },
      { protocolVersion: 5 },
    ),
  ]);
  for (const size of [1, 5, bytes.length]) {
    const { parser, facts } = reader();
    feed(parser, facts, cut(bytes, [size]));
    assert.deepEqual(facts.packets, reference(bytes).packets);
    assert.equal(facts.packets.length, 2);
  }
});

test('a client that is closed at a packet gets none of the rest of the chunk', () => {
  const { parser, facts } = reader();
  parser.once('packet', () => parser.removeAllListeners('packet')); // what aedes does at a close
  feed(parser, facts, [Buffer.concat([publishBytes(10), publishBytes(10), publishBytes(10)])]);
  assert.equal(facts.packets.length, 1);
  assert.equal(facts.failed, false);
});

test('one byte at a time costs no more copying than a few times the packet', () => {
  const bytes = publishBytes(300_000);
  let copied = 0;
  const copy = Buffer.prototype.copy;
  const copying = mock.method(
    Buffer.prototype,
    'copy',
    function counted(this: Buffer, ...args: Parameters<typeof copy>) {
      const count = copy.apply(this, args);
      copied += count;
      return count;
    },
  );
  const joining = mock.method(Buffer, 'concat');
  try {
    const { parser, facts } = reader();
    feed(parser, facts, cut(bytes, [1]));
    assert.equal(facts.packets.length, 1);
    assert.ok(copied >= bytes.length, 'the test counts the copies');
    assert.ok(copied < 4 * bytes.length, `${copied} bytes copied for ${bytes.length}`);
    assert.ok(joining.mock.callCount() <= 4, 'only a fixed header is joined');
  } finally {
    copying.mock.restore();
    joining.mock.restore();
  }
});

test('an announced length takes no memory before its bytes come', () => {
  const { parser } = reader(256 * 1024 * 1024);
  const allocating = mock.method(Buffer, 'allocUnsafe');
  try {
    parser.parse(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 0x61]));
    for (const { arguments: args } of allocating.mock.calls) assert.ok(Number(args[0]) <= 4096);
    assert.equal(allocating.mock.callCount(), 1);
  } finally {
    allocating.mock.restore();
  }
});
