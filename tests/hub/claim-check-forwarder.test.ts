import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HubError } from '../../hub/core/errors.ts';
import type { HubEvent } from '../../hub/core/event.ts';
import { DELIVERED } from '../../hub/core/sink.ts';
import { ClaimCheckedSink } from '../../hub/forward/claim-check/claim-checked-sink.ts';
import type { ObjectStore } from '../../hub/forward/claim-check/object-store.ts';
import { decodeForTest } from '../contract/sink-events.ts';
import { afterTest } from '../support/after-test.ts';
import {
  append,
  cursorBalance,
  forwarderOf,
  many,
  offsets,
  testLog,
} from '../support/forwarding.ts';
import { MemorySink } from '../support/memory-sink.ts';
import { type ObjectFarSide, objectFarSide, storeFor } from '../support/object-far-side.ts';
import { until } from '../support/until.ts';

const LARGE = Buffer.alloc(4_000, 'x');
const BYTES_MAX = 1_000;
const above = ({ payload, reference }: HubEvent, bytesMax: number) =>
  !reference && payload.length > bytesMax ? payload.length : undefined;

/** A forwarder, not started, for a sink behind a claim check. */
async function forwarderWith(t: TestContext, store: ObjectStore | undefined) {
  const inner = new MemorySink();
  const options = { hubId: 'gw', logId: 'a1b2', decode: decodeForTest, bytesMax: BYTES_MAX };
  const whyNoStore = 'configure object_storage to send it by reference';
  const sink = new ClaimCheckedSink(inner, above, { ...options, store, whyNoStore });
  const log = await testLog(t);
  const forwarder = forwarderOf(log, inner, { sink });
  afterTest(t, () => forwarder.stop());
  return { log, inner, forwarder };
}

/** One event each, large where the letter is `L`. */
async function appendAll(log: Awaited<ReturnType<typeof testLog>>, letters: string) {
  for (const [n, letter] of [...letters].entries())
    await append(log, [`dev/${n}`], 'normal', letter === 'L' ? LARGE : Buffer.from(`${n}`));
}

/** Offsets of the objects that were stored, in order and each time. */
const storedOf = (side: ObjectFarSide): number[] =>
  side.puts.map((key) => Number(/normal\/(\d+)-/.exec(key)?.[1]));

for (const letters of ['Lssss', 'ssLss', 'ssssL', 'LLLLL', 'LsLsL']) {
  test(`claim check: large events of ${letters} go by reference, in order`, async (t) => {
    const side = await objectFarSide(t);
    const { log, inner, forwarder } = await forwarderWith(t, storeFor(side));
    const references: (string | undefined)[] = [];
    inner.answer = ({ events }) => {
      references.push(...events.map(({ reference }) => reference?.url));
      return DELIVERED;
    };
    await appendAll(log, letters);
    await forwarder.start();
    await until('delivered', () => inner.taken.length === letters.length);
    assert.deepEqual(inner.taken, offsets(0, letters.length));
    const large = [...letters].flatMap((letter, n) => (letter === 'L' ? [n] : []));
    assert.deepEqual(storedOf(side).sort(), large);
    for (const [n, letter] of [...letters].entries()) {
      const url = references[n];
      assert.equal(url !== undefined, letter === 'L');
      if (url) assert.equal(await (await fetch(url)).text(), LARGE.toString());
    }
    assert.deepEqual(cursorBalance(log), [0, 0, 0]);
  });

  test(`claim check: large events of ${letters} are dead letters without a store`, async (t) => {
    const { log, inner, forwarder } = await forwarderWith(t, undefined);
    await appendAll(log, letters);
    await forwarder.start();
    await until('settled', () => forwarder.status().lagEvents === 0);
    const small = [...letters].flatMap((letter, n) => (letter === 's' ? [`normal/${n}`] : []));
    assert.deepEqual(inner.taken, small);
    assert.ok(inner.batches.flat().every((offset) => small.includes(`normal/${offset}`)));
    assert.equal(forwarder.status().deadLetters, letters.length - small.length);
    assert.deepEqual(cursorBalance(log), [0, 0, 0]);
  });
}

test('claim check: while the storage is away the batch waits, and no event is to blame', async (t) => {
  const side = await objectFarSide(t);
  const { log, inner, forwarder } = await forwarderWith(t, storeFor(side));
  side.mode = '500';
  await appendAll(log, 'ssLss');
  await forwarder.start();
  // 5 answers about one event would make it a dead letter
  await until('more tries than an event has', () => side.requests > 8);
  const { state, detail, lagEvents } = forwarder.status();
  assert.equal(lagEvents, 5);
  assert.ok(['backoff', 'connecting', 'reading', 'sending'].includes(state), state);
  assert.match(detail ?? '', /^object storage big: .* answered 500/);
  assert.deepEqual(inner.batches, [], 'nothing was sent without its data');
  side.mode = 'ok';
  await until('delivered', () => inner.taken.length === 5);
  assert.deepEqual(inner.taken, offsets(0, 5));
  assert.equal(forwarder.status().deadLetters, 0);
});

test('claim check: wrong credentials halt the sink, with the reason', async (t) => {
  const side = await objectFarSide(t);
  const credentials = { ...side.account, secretAccessKey: 'wrong' };
  const { log, forwarder } = await forwarderWith(t, storeFor(side, { credentials }));
  await appendAll(log, 'L');
  await forwarder.start();
  await until('halted', () => forwarder.status().state === 'halted');
  assert.match(forwarder.status().detail ?? '', /SignatureDoesNotMatch/);
});

test('claim check: halving finds poison among large events, and stores each once', async (t) => {
  const side = await objectFarSide(t);
  const { log, inner, forwarder } = await forwarderWith(t, storeFor(side));
  const poison = new Set([3, 6]);
  inner.answer = ({ events }) =>
    events.some(({ offset }) => poison.has(offset))
      ? new HubError('SINK_REJECTED', 'bad value')
      : DELIVERED;
  await appendAll(log, 'LsLLsLLs');
  await forwarder.start();
  await until('settled', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(inner.taken, [
    'normal/0',
    'normal/1',
    'normal/2',
    'normal/4',
    'normal/5',
    'normal/7',
  ]);
  assert.equal(forwarder.status().deadLetters, 2);
  assert.deepEqual(storedOf(side).sort(), [0, 2, 3, 5, 6]);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('claim check: halving without a store tells poison and size apart', async (t) => {
  const { log, inner, forwarder } = await forwarderWith(t, undefined);
  inner.answer = ({ events }) =>
    events.some(({ offset }) => offset === 4)
      ? new HubError('SINK_REJECTED', 'bad value')
      : DELIVERED;
  await appendAll(log, 'LsLLsLLs');
  await forwarder.start();
  await until('settled', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(inner.taken, ['normal/1', 'normal/7']);
  assert.equal(forwarder.status().deadLetters, 6);
});

test('claim check: any number of events that are too large do not look like a wrong address', async (t) => {
  const { log, inner, forwarder } = await forwarderWith(t, undefined);
  await append(log, many(1_250), 'normal', Buffer.alloc(BYTES_MAX + 1));
  await appendAll(log, 's');
  await forwarder.start();
  await until('settled', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(inner.taken, ['normal/1250']);
  assert.equal(forwarder.status().deadLetters, 1_250);
});
