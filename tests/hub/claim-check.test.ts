import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { cloudEventEncoder } from '../../hub/core/cloud-event.ts';
import { HubError } from '../../hub/core/errors.ts';
import type { Batch, HubEvent } from '../../hub/core/event.ts';
import { cloudEventBytesAbove } from '../../hub/core/event-size.ts';
import { DELIVERED, type Delivery } from '../../hub/core/sink.ts';
import {
  type Checked,
  type ClaimCheckOptions,
  checked,
} from '../../hub/forward/claim-check/claim-check.ts';
import { ClaimCheckedSink } from '../../hub/forward/claim-check/claim-checked-sink.ts';
import type { ObjectStore } from '../../hub/forward/claim-check/object-store.ts';
import { decodeForTest, eventOf } from '../contract/sink-events.ts';
import { afterTest } from '../support/after-test.ts';
import { MemorySink } from '../support/memory-sink.ts';
import { objectFarSide, storeFor } from '../support/object-far-side.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';
import { until } from '../support/until.ts';

const LIMIT = 1024;
const never = (): AbortSignal => new AbortController().signal;
const sizeOf = ({ payload, reference }: HubEvent): number => (reference ? 200 : payload.length);
const bytesAbove = (event: HubEvent, bytesMax: number) =>
  sizeOf(event) > bytesMax ? sizeOf(event) : undefined;

function optionsFor(store: ObjectStore | undefined): ClaimCheckOptions {
  const whyNoStore = 'configure object_storage to send it by reference';
  const about = { hubId: 'gw', logId: 'a1b2', decode: decodeForTest };
  return { ...about, bytesMax: LIMIT, store, whyNoStore };
}

/** Events whose payload has these sizes, from offset 10 on. */
function batchOfSizes(sizes: readonly number[]): Batch {
  const events = sizes.map((size, i) =>
    eventOf({ offset: 10 + i, payload: Buffer.alloc(size, `${i}`) }),
  );
  return { lane: 'normal', events };
}

const offsetsOf = ({ events }: Batch): number[] => events.map(({ offset }) => offset);
const check = (sizes: readonly number[], store?: ObjectStore): Checked =>
  checked(batchOfSizes(sizes), bytesAbove, optionsFor(store));

test('claim check: without a store what is too large stays behind, with the reason', () => {
  const { batch, rejected, objects, indices } = check([10, 1_468_006, LIMIT, LIMIT + 1]);
  assert.deepEqual(offsetsOf(batch), [10, 12], 'the limit itself still fits');
  assert.deepEqual(indices, [0, 2]);
  assert.deepEqual(objects, []);
  const why = 'more than the 1 KiB that this sink takes; configure object_storage to send it';
  assert.deepEqual(
    rejected.map(({ index, reason }) => [index, reason]),
    [
      [1, `1.4 MiB is ${why} by reference`],
      [3, `1 KiB is ${why} by reference`],
    ],
  );
});

test('claim check: with a store the event carries where its data is', async (t) => {
  const store = storeFor(await objectFarSide(t));
  const { batch, rejected, objects } = check([10, 2_000, 20], store);
  assert.deepEqual(rejected, []);
  assert.deepEqual(offsetsOf(batch), [10, 11, 12]);
  const [small, large] = batch.events;
  assert.equal(small?.reference, undefined);
  const sha256 = createHash('sha256').update(Buffer.alloc(2_000, '1')).digest('hex');
  const key = `holdfast/gw/a1b2/normal/11-${sha256.slice(0, 16)}`;
  assert.deepEqual(large?.reference, { url: store.urlOf(key), bytes: 2_000, sha256 });
  const [object] = objects;
  assert.equal(objects.length, 1);
  assert.equal(object?.key, key);
  assert.equal(object.eventId, 'gw.a1b2.normal.11');
  assert.deepEqual(check([10, 2_000, 20], store).objects, objects, 'the same at every try');
});

test('claim check: an event that is too large even without its data is refused', async (t) => {
  const store = storeFor(await objectFarSide(t));
  const always = (_: HubEvent, bytesMax: number) => bytesMax + 1_024;
  const { batch, rejected, objects } = checked(batchOfSizes([5]), always, optionsFor(store));
  assert.equal(batch.events.length + objects.length, 0);
  assert.match(rejected[0]?.reason ?? '', /this sink takes; it takes 2 KiB even without its data$/);
});

test('claim check: an aggregate is stored as it would have been sent', async (t) => {
  const store = storeFor(await objectFarSide(t));
  const event = eventOf({ offset: 1, kind: 'aggregate', payload: Buffer.alloc(2_000) });
  const decode = () => ({ ...decodeForTest(eventOf({ offset: 1 })), json: '{"outward":true}' });
  const options = { ...optionsFor(store), decode };
  const { objects } = checked({ lane: 'bulk', events: [event] }, bytesAbove, options);
  assert.equal(objects[0]?.content.toString(), '{"outward":true}');
  assert.equal(objects[0].type, 'application/json');
});

/** A sink behind a claim check, and what it was sent. */
async function sinkWith(t: TestContext) {
  const side = await objectFarSide(t);
  const store = storeFor(side);
  const inner = new MemorySink();
  const sink = new ClaimCheckedSink(inner, bytesAbove, optionsFor(store));
  afterTest(t, () => sink.close(never()));
  const deliver = async (batch: Batch): Promise<Delivery> =>
    await sink.send(await sink.encode(batch), never());
  return { side, inner, sink, deliver };
}

test('claim check: the answers of the sink are about the events as they came', async () => {
  const inner = new MemorySink();
  const sink = new ClaimCheckedSink(inner, bytesAbove, optionsFor(undefined));
  inner.answer = () => ({ rejected: [{ index: 1, reason: 'bad' }], retry: [2] });
  const batch = batchOfSizes([2_000, 1, 2, 3_000, 3]);
  const delivery = await sink.send(await sink.encode(batch), never());
  assert.deepEqual(delivery.retry, [4]);
  assert.deepEqual(
    delivery.rejected.map(({ index }) => index),
    [0, 3, 2],
  );
  assert.deepEqual(inner.taken, ['normal/11']);
});

test('claim check: a batch of which nothing is left is not sent', async () => {
  const inner = new MemorySink();
  const sink = new ClaimCheckedSink(inner, bytesAbove, optionsFor(undefined));
  const claimed = await sink.encode(batchOfSizes([2_000, 3_000]));
  const delivery = await sink.send(claimed, never());
  assert.equal(delivery.rejected.length, 2);
  assert.deepEqual(inner.batches, []);
  await assert.rejects(sink.send(claimed, AbortSignal.abort(new Error('stop'))), /stop/);
});

test('claim check: nothing is sent before its data is stored', async (t) => {
  const { side, inner, deliver } = await sinkWith(t);
  let stored = 0;
  inner.answer = () => {
    stored = side.objects.size;
    return DELIVERED;
  };
  assert.deepEqual(await deliver(batchOfSizes([2_000, 1, 3_000, 4_000, 5_000])), DELIVERED);
  assert.equal(stored, 4);
});

test('claim check: two objects of a batch are on their way at a time', async (t) => {
  const { side, inner, sink } = await sinkWith(t);
  side.mode = 'hang';
  const stop = new AbortController();
  const claimed = await sink.encode(batchOfSizes([2_000, 3_000, 4_000, 5_000]));
  const sending = assert.rejects(sink.send(claimed, stop.signal), /stop/);
  await until('two uploads', () => side.requests === 2);
  stop.abort(new Error('stop'));
  await sending;
  assert.equal(side.requests, 2);
  assert.deepEqual(inner.batches, []);
});

test('claim check: what is stored counts as sent', async (t) => {
  const side = await objectFarSide(t);
  const inner = Object.assign(new MemorySink(), { sizeOf: () => 50, wireBytes: () => 70 });
  const sink = new ClaimCheckedSink(inner, bytesAbove, optionsFor(storeFor(side)));
  afterTest(t, () => sink.close(never()));
  const claimed = await sink.encode(batchOfSizes([1, 20_000]));
  const size = sink.sizeOf?.(claimed) ?? 0;
  assert.ok(size > 20_050 && size < 22_000, `${size}`);
  assert.equal(sink.wireBytes?.(), 70);
  await sink.send(claimed, never());
  const bytes = sink.wireBytes?.() ?? 0;
  assert.ok(Math.abs(bytes - 70 - (size - 50)) < 600, `${bytes} went, ${size} was the guess`);
  const plain = new ClaimCheckedSink(new MemorySink(), bytesAbove, optionsFor(undefined));
  assert.deepEqual([plain.sizeOf, plain.wireBytes], [undefined, undefined]);
});

test('claim check: when storing fails nothing is sent, and what was stored is not stored again', async (t) => {
  const { side, inner, deliver } = await sinkWith(t);
  const batch = batchOfSizes([2_000, 3_000, 4_000]);
  await deliver({ ...batch, events: batch.events.slice(0, 2) });
  assert.equal(inner.batches.length, 1);
  side.mode = '500';
  await assert.rejects(deliver(batch), { code: 'SINK_DISCONNECTED' });
  assert.equal(inner.batches.length, 1);
  side.mode = 'ok';
  await deliver(batch);
  assert.deepEqual(
    side.puts.map((key) => /normal\/(\d+)-/.exec(key)?.[1]).sort(),
    ['10', '11', '12'],
    'each once',
  );
});

test('claim check: an object that the storage will never take is a dead letter, the others go on', async (t) => {
  const { side, inner, deliver } = await sinkWith(t);
  await deliver(batchOfSizes([2_000]));
  side.mode = 'too-large';
  const { rejected, retry } = await deliver(batchOfSizes([2_000, 1, 3_000]));
  assert.deepEqual(retry, []);
  assert.deepEqual(
    rejected.map(({ index }) => index),
    [2],
  );
  assert.match(rejected[0]?.reason ?? '', /^object storage big: .*EntityTooLarge/);
  assert.deepEqual(inner.taken, ['normal/10', 'normal/10', 'normal/11']);
});

test('claim check: connecting and closing are those of the sink', async (t) => {
  const { inner, sink } = await sinkWith(t);
  inner.connected = () => ({ instance: 'x' });
  assert.deepEqual(await sink.connect(never()), { instance: 'x' });
  await sink.close(never());
  assert.equal(inner.closes, 1);
  inner.answer = () => new HubError('SINK_THROTTLED', 'slowly');
  const claimed = await sink.encode(batchOfSizes([1]));
  await assert.rejects(sink.send(claimed, never()), { code: 'SINK_THROTTLED' });
});

test('claim check: a CloudEvent with a reference has no data of its own', () => {
  const context = { hubId: 'gw', logId: 'a1b2', decode: decodeForTest };
  const reference = { url: 'https://s3.example/b/k"', bytes: 4, sha256: 'ab' };
  for (const content of ['payload', 'readings'] as const) {
    const encode = cloudEventEncoder({ ...context, content });
    const read = (payload: string) =>
      JSON.parse(encode({ ...eventOf({ offset: 7, payload }), reference }));
    const json = read('21.5');
    assert.equal(json.datacontenttype, 'application/json');
    assert.equal(json.dataref, 'https://s3.example/b/k"');
    assert.equal(json.datarefbytes, 4);
    assert.equal(json.datarefsha256, 'ab');
    assert.ok(!('data' in json) && !('data_base64' in json));
    assert.equal(
      json.partitionkey,
      'dev1',
      'the device and the time are still those of the payload',
    );
    assert.equal(read('not json').datacontenttype, 'application/octet-stream');
  }
});

test('claim check: no event that is too large is taken for a small one', (t) => {
  const seed = chooseSeed();
  t.diagnostic(`HOLDFAST_SEED=${seed}`);
  const random = seededRandom(seed);
  const alphabet = ['a', '/', '"', '\\', '\u0001', 'ß', '€', '😀', ' '];
  const context = { hubId: 'gw', logId: 'a1b2', decode: decodeForTest };
  for (const content of ['payload', 'readings'] as const) {
    const encode = cloudEventEncoder({ ...context, content });
    for (let round = 0; round < 2_000; round++) {
      const worst = round % 4 === 0; // takes 6 bytes in JSON, 3 in a URI
      const letter = () => (worst ? '\u0001' : alphabet[Math.floor(random() * alphabet.length)]);
      const text = (most: number) =>
        Array.from({ length: Math.floor(random() * most) }, letter).join('');
      const own = [JSON.stringify(text(300)), text(300), randomBytes(Math.floor(random() * 400))];
      const payload = own[round % own.length] ?? '';
      const event = eventOf({ offset: round, topic: `site/x/${text(300)}/${text(20)}`, payload });
      const bytes = Buffer.byteLength(encode(event));
      const bytesMax = Math.max(1, bytes + Math.floor((random() - 0.5) * 8));
      const expected = bytes > bytesMax ? bytes : undefined;
      assert.equal(cloudEventBytesAbove(event, bytesMax, encode, { content }), expected);
    }
  }
});
