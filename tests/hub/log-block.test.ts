import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  EVENT_KINDS,
  type HubEvent,
  LANES,
  type Lane,
  type Message,
} from '../../hub/core/event.ts';
import {
  BlockBuilder,
  SOURCES_MAX,
  StoredBlock,
  TOPICS_MAX,
} from '../../hub/log/block/block-body.ts';
import { HEADER_BYTES, readBody, readHeader, sealBlock } from '../../hub/log/block/block-format.ts';
import { FakeClock } from '../support/fake-clock.ts';

const ENCODING_AT = 13;

async function sealed(
  messages: readonly Message[],
  { lane = 'normal' as Lane, offset = 0, clock = new FakeClock(), stepMs = 0 } = {},
): Promise<Buffer> {
  const builder = new BlockBuilder();
  for (const message of messages) {
    builder.add(message, clock);
    clock.advance(stepMs);
  }
  const { count, firstReceivedMs, lastReceivedMs, firstMonotonicMs, clockSynced } = builder;
  const times = { firstReceivedMs, lastReceivedMs, firstMonotonicMs, clockSynced };
  const facts = { lane, count, ...times, bootId: clock.bootId };
  const place = await sealBlock(builder.body(), facts);
  return place(offset, 7);
}

async function opened(bytes: Buffer, lane: Lane = 'normal', offset = 0): Promise<HubEvent[]> {
  const header = readHeader(lane, offset, bytes);
  const block = new StoredBlock(header, await readBody(header, bytes));
  return Array.from({ length: block.count }, (_, index) => block.eventAt(index));
}

const anyMessage: fc.Arbitrary<Message> = fc.record({
  topic: fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.constantFrom('__proto__', 'constructor', '$SYS/x', '/', 'a//b', 'é/日本/🌊', ''),
  ),
  payload: fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
  source: fc.constantFrom('mqtt', 'bridge:pico', 'hub', 'bridge:ü'),
  kind: fc.constantFrom(...EVENT_KINDS),
});

test('a block reads back as it was written', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyMessage, { minLength: 1, maxLength: 40 }),
      fc.constantFrom(...LANES),
      fc.maxSafeNat(),
      fc.integer({ min: 0, max: 100_000 }),
      async (messages, lane, offset, stepMs) => {
        const clock = new FakeClock();
        const [wallMs, monotonicMs] = [clock.wallMs(), clock.monotonicMs()];
        const events = await opened(
          await sealed(messages, { lane, offset, clock, stepMs }),
          lane,
          offset,
        );
        assert.deepEqual(
          events,
          messages.map((message, index) => ({
            ...message,
            lane,
            offset: offset + index,
            receivedMs: wallMs + index * stepMs,
            timeQuality: 'synced',
            monotonicMs: monotonicMs + index * stepMs,
            bootId: clock.bootId,
          })),
        );
      },
    ),
    { numRuns: 100 },
  );
});

test('payloads from nothing to 256 KiB, compressed where it pays and not where it does not', async () => {
  const random = Buffer.from(Array.from({ length: 256 * 1024 }, (_, at) => (at * 7919 * at) >>> 5));
  const cases: [payload: Buffer, encoding: number][] = [
    [Buffer.alloc(0), 0],
    [Buffer.from('short'), 0],
    [Buffer.alloc(2_000, 'compressible '), 1],
    [Buffer.alloc(256 * 1024, 'compressible '), 1],
  ];
  for (const [payload, encoding] of cases) {
    const bytes = await sealed([{ topic: 't', source: 'mqtt', payload }]);
    assert.equal(bytes[ENCODING_AT], encoding, `${payload.length} bytes`);
    assert.deepEqual((await opened(bytes))[0]?.payload, payload);
  }
  const [event] = await opened(await sealed([{ topic: 't', source: 'mqtt', payload: random }]));
  assert.deepEqual(event?.payload, random);
});

test('as many topics and sources as the indices hold, then the builder says it is full', async () => {
  const builder = new BlockBuilder();
  const clock = new FakeClock();
  const payload = Buffer.from('1');
  for (let index = 0; index < TOPICS_MAX; index++) {
    assert.equal(builder.full, false);
    builder.add({ topic: `t/${index}`, source: 'mqtt', payload }, clock);
  }
  assert.equal(builder.full, true);
  const { count, firstReceivedMs, lastReceivedMs, firstMonotonicMs, clockSynced } = builder;
  const times = { firstReceivedMs, lastReceivedMs, firstMonotonicMs, clockSynced };
  const place = await sealBlock(builder.body(), {
    lane: 'bulk',
    count,
    ...times,
    bootId: clock.bootId,
  });
  const events = await opened(place(5, 0), 'bulk', 5);
  assert.equal(events.length, TOPICS_MAX);
  for (const index of [0, 1, 255, 256, TOPICS_MAX - 1]) {
    assert.equal(events[index]?.topic, `t/${index}`);
  }
  const messages = Array.from({ length: SOURCES_MAX }, (_, index) => ({
    topic: 't',
    source: `bridge:${index}`,
    payload,
  }));
  const sources = (await opened(await sealed(messages))).map(({ source }) => source);
  assert.deepEqual(
    sources,
    messages.map(({ source }) => source),
  );
});

test('long topics count: a body never outgrows what a reader takes', () => {
  const builder = new BlockBuilder();
  const topic = 'x'.repeat(60_000);
  builder.add({ topic, source: 'mqtt', payload: Buffer.alloc(0) }, new FakeClock());
  assert.ok(builder.bytes > topic.length);
  assert.ok(Math.abs(builder.bytes - builder.body().length) < 20);
});

test('any flipped bit, any cut, and a block under a wrong key are refused', async () => {
  const bytes = await sealed([{ topic: 't', source: 'mqtt', payload: Buffer.from('21.5') }]);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = Buffer.from(bytes);
    damaged.writeUInt8(damaged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    assert.throws(() => readHeader('normal', 0, damaged), { code: 'LOG_CORRUPT' }, `bit ${bit}`);
  }
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => readHeader('normal', 0, bytes.subarray(0, length)), {
      code: 'LOG_CORRUPT',
    });
  }
  assert.ok(bytes.length > HEADER_BYTES);
  assert.throws(() => readHeader('normal', 1, bytes), /block normal\/1: it says it is normal\/0/);
  assert.throws(() => readHeader('alarm', 0, bytes), /block alarm\/0: it says it is normal\/0/);
});

test('the header remembers whether the wall clock could be trusted', async () => {
  const clock = new FakeClock();
  const messages = [{ topic: 't', source: 'mqtt', payload: Buffer.from('1') }];
  assert.equal(readHeader('normal', 0, await sealed(messages, { clock })).clockSynced, true);
  clock.isSynced = false;
  assert.equal(readHeader('normal', 0, await sealed(messages, { clock })).clockSynced, false);
});
