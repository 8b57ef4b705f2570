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
import type { TraceContext } from '../../hub/core/trace.ts';
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
  const { traced } = builder;
  const facts = { lane, count, ...times, traced, bootId: clock.bootId };
  const place = await sealBlock(builder.body(), facts);
  return place(offset, 7);
}

async function opened(bytes: Buffer, lane: Lane = 'normal', offset = 0): Promise<HubEvent[]> {
  const header = readHeader(lane, offset, bytes);
  const block = new StoredBlock(header, await readBody(header, bytes));
  return Array.from({ length: block.count }, (_, index) => block.eventAt(index));
}

const hex = (digits: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'), { minLength: digits, maxLength: digits })
    .map((all) => all.join(''));
const anyTrace: fc.Arbitrary<TraceContext> = fc.record(
  { traceId: hex(32), spanId: hex(16), flags: fc.nat({ max: 255 }) },
  { noNullPrototype: true },
);

const anyPlainMessage: fc.Arbitrary<Message> = fc.record({
  topic: fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.constantFrom('__proto__', 'constructor', '$SYS/x', '/', 'a//b', 'é/日本/🌊', ''),
  ),
  payload: fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
  source: fc.constantFrom('mqtt', 'bridge:pico', 'hub', 'bridge:ü'),
  kind: fc.constantFrom(...EVENT_KINDS),
});
const anyMessage: fc.Arbitrary<Message> = fc
  .tuple(anyPlainMessage, fc.option(anyTrace, { nil: undefined, freq: 3 }))
  .map(([message, trace]) => (trace ? { ...message, trace } : message));

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
          events.map((event) => ({ ...event, payload: event.payload })),
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

const TRACE = { traceId: 'a1'.repeat(16), spanId: 'b2'.repeat(8), flags: 1 };

for (const trace of [undefined, TRACE])
  test(`any flipped bit, any cut and a wrong key are refused, ${trace ? 'with' : 'without'} a trace`, async () => {
    const bytes = await sealed([
      { topic: 't', source: 'mqtt', payload: Buffer.from('21.5'), trace },
    ]);
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

/** Written by the hub before there were traces: two messages, and a loss. */
const OLD_BLOCK =
  '48464201d374074c03000000010001002a00000000000000000080aa6db779420000000080842e4101234567' +
  '89abcdef0700000000000000460000000e000000030006736974652f6106736974652f620d686f6c64666173' +
  '742f6c6f737303046d717474086272696467653a7803687562000000000432312e3501000107000204020e02' +
  '7b7d';

test('blocks from before there were traces are read, and written the same', async () => {
  const messages: readonly Message[] = [
    { topic: 'site/a', source: 'mqtt', payload: Buffer.from('21.5') },
    { topic: 'site/b', source: 'bridge:x', payload: Buffer.alloc(0) },
    { topic: 'holdfast/loss', source: 'hub', kind: 'loss', payload: Buffer.from('{}') },
  ];
  const written = await sealed(messages, { offset: 42, stepMs: 7 });
  assert.equal(written.toString('hex'), OLD_BLOCK);
  const events = await opened(Buffer.from(OLD_BLOCK, 'hex'), 'normal', 42);
  assert.deepEqual(
    events.map(({ topic, kind, payload }) => [topic, kind, payload.toString()]),
    [
      ['site/a', 'message', '21.5'],
      ['site/b', 'message', ''],
      ['holdfast/loss', 'loss', '{}'],
    ],
  );
  assert.ok(events.every((event) => !('trace' in event)));
});

test('a trace takes 25 bytes, and makes the block one that older hubs set aside', async () => {
  const plain: Message = { topic: 't', source: 'mqtt', payload: Buffer.from('21.5') };
  const without = await sealed([plain, plain]);
  const one = await sealed([plain, { ...plain, trace: TRACE }]);
  assert.equal(one.length - without.length, 25);
  assert.deepEqual([without[3], one[3]], [1, 4]);
  const [first, second] = await opened(one);
  assert.equal(first?.trace, undefined);
  assert.deepEqual(second?.trace, TRACE);
  assert.deepEqual(second?.payload, plain.payload);
});

test('ids that are none leave nothing of another event in the block', async () => {
  const odd = { traceId: 'xyz', spanId: 'f', flags: 1 };
  const message = { topic: 't', source: 'mqtt', payload: Buffer.from('1'), trace: odd };
  const [event] = await opened(await sealed([message]));
  assert.deepEqual(event?.trace, { traceId: '0'.repeat(32), spanId: '0'.repeat(16), flags: 1 });
});
