import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HubError } from '../../hub/core/errors.ts';
import type { HubEvent, Lane } from '../../hub/core/event.ts';
import { payloadText } from '../../hub/core/payload-text.ts';
import { openLetter, sealLetter } from '../../hub/forward/dead-letter-record.ts';
import { DeadLetters } from '../../hub/forward/dead-letters.ts';
import { Settlement } from '../../hub/forward/settlement.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { deadLetterKey, deadLetterRange, numberOfKey } from '../../hub/log/keys.ts';
import type { Storage } from '../../hub/log/storage/storage.ts';
import { afterTest } from '../support/after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { interposed, MemoryDisk } from '../support/fault-storage.ts';
import { append, cursorBalance, many, SINK_ID } from '../support/forwarding.ts';
import { openTestLog, readAll } from '../support/log-fixture.ts';

const SINKS = [{ id: SINK_ID, start: 'oldest' as const }];
const WINDOW_MS = 60_000;

async function opened(t: TestContext, storage: Storage, clock = new FakeClock()) {
  const log = await openTestLog(storage, { clock, sinks: SINKS });
  afterTest(t, () => log.close());
  return log;
}

async function settleAll(log: DurableLog, letters: DeadLetters, poison: readonly number[]) {
  const { offset } = log.cursors.get(SINK_ID, 'normal');
  const events = await readAll(log, 'normal', offset);
  const to = offset + events.length;
  const none = { filtered: 0, dropped: 0, corrupt: 0, thinned: 0, full: true };
  const run = { ...none, lane: 'normal' as const, from: offset, to, events };
  const writes = events
    .filter((event) => poison.includes(event.offset))
    .map((event) => letters.add(event, `bad ${event.offset}`, 7));
  await new Settlement(log, SINK_ID, new FakeClock(), 0).settle(run, writes);
}

/** A disk on which six events were settled, of which `poison` are dead letters. */
async function filledDisk(poison: readonly number[]): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk.storage(), { clock: new FakeClock(), sinks: SINKS });
  await append(log, many(6));
  await settleAll(log, new DeadLetters(log, SINK_ID), poison);
  await log.close();
  return disk;
}

class Errors {
  readonly texts: string[] = [];
  error = (_facts: unknown, text?: string) => {
    this.texts.push(text ?? '');
  };
}

async function loaded(t: TestContext, storage: Storage) {
  const log = await opened(t, storage);
  const logger = new Errors();
  const letters = new DeadLetters(log, SINK_ID, logger);
  await letters.load();
  return { log, letters, errors: logger.texts };
}

const cursorOf = (log: DurableLog, lane: Lane = 'normal') => log.cursors.get(SINK_ID, lane);
const numbersOf = (letters: DeadLetters, page: Parameters<DeadLetters['page']>[0]) =>
  letters.page(page, ({ number }) => number);

const EVENT: HubEvent = {
  lane: 'alarm',
  offset: 41,
  kind: 'alarm',
  topic: 'a/ü',
  payload: Buffer.from([0xff, 0, 0x7b]),
  source: 'bridge:x',
  receivedMs: 1_000,
  timeQuality: 'corrected',
  monotonicMs: 12.5,
  bootId: 'boot',
  trace: { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), flags: 1 },
};

test('dead letters: a record gives back all of the event, and notices any damage', () => {
  const letter = { number: 3, reason: 'no', attempts: 2, rejectedMs: 9, retriedMs: 10 };
  const whole = { ...letter, response: 'see page 7', event: EVENT };
  const record = sealLetter(whole);
  assert.deepEqual(openLetter(record), whole);
  for (let byte = 0; byte < record.length; byte++) {
    const damaged = Buffer.from(record);
    damaged.writeUInt8(damaged.readUInt8(byte) ^ 0x10, byte);
    assert.equal(openLetter(damaged), undefined, `byte ${byte}`);
  }
  for (const length of [0, 3, 4, 5])
    assert.equal(openLetter(record.subarray(0, length)), undefined);
});

test('dead letters: those of older versions are read, as far as they go', () => {
  const place = { lane: 'normal', offset: 5, topic: 'a', receivedMs: 1_000 };
  const older = { number: 3, reason: 'no', rejectedMs: 9, ...place, payloadBase64: 'MQ==' };
  const letter = openLetter(Buffer.from(JSON.stringify(older)));
  assert.deepEqual([letter?.number, letter?.attempts, letter?.retriedMs], [3, 1, null]);
  assert.deepEqual([letter?.event.kind, letter?.event.payload.toString()], ['message', '1']);
  for (const change of [{ offset: 'x' }, { lane: 'fast' }, { payloadBase64: 1 }, { number: null }])
    assert.equal(openLetter(Buffer.from(JSON.stringify({ ...older, ...change }))), undefined);
  assert.equal(openLetter(Buffer.from('{"number":3')), undefined);
});

test('dead letters: pages go either way, and reading one stops at its end', async (t) => {
  const disk = await filledDisk([0, 1, 2, 4, 5]);
  let read = 0;
  const storage = disk.storage();
  const counting = interposed(storage, {
    async *entries(range) {
      for await (const entry of storage.entries(range)) {
        if (entry[0][0] === deadLetterRange('')?.gte[0]) read++;
        yield entry;
      }
    },
  });
  const { log, letters } = await loaded(t, counting);
  assert.deepEqual(await numbersOf(letters, { order: 'newest', limit: 2 }), [4, 3]);
  assert.deepEqual(await numbersOf(letters, { order: 'newest', limit: 9, after: 3 }), [2, 1, 0]);
  assert.deepEqual(await numbersOf(letters, { order: 'oldest', limit: 2, after: 0 }), [1, 2]);
  assert.deepEqual(await numbersOf(letters, { order: 'oldest', limit: 2, after: 4 }), []);
  log.defer(letters.remove([1, 3]));
  read = 0;
  assert.deepEqual(await numbersOf(letters, { order: 'oldest', limit: 2 }), [0, 2]);
  assert.ok(read <= 3, `${read} entries were read`);
  assert.equal((await letters.read(2))?.reason, 'bad 2');
  assert.equal(await letters.read(1), undefined, 'removed, though it is on the card yet');
});

test('dead letters: one that is on its way to the card is read when it is there', async (t) => {
  const { log, letters } = await loaded(t, (await filledDisk([0])).storage());
  log.defer([letters.add(EVENT, 'bad', 9)]);
  assert.deepEqual(await numbersOf(letters, { order: 'newest', limit: 5 }), [1, 0]);
  log.defer([letters.add({ ...EVENT, offset: 42 }, 'bad', 9)]);
  assert.equal((await letters.read(2))?.event.offset, 42);
});

test('dead letters: one that is damaged is reported and lost, the others are served', async (t) => {
  const disk = await filledDisk([1, 3, 4]);
  disk.flip(deadLetterKey(SINK_ID, 1), 20);
  const { log, letters, errors } = await loaded(t, disk.storage());
  assert.deepEqual(letters.numbers, [0, 2]);
  assert.deepEqual(errors, ['dead letters are damaged: reported as lost']);
  const { deadLettered, lost, confirmed } = cursorOf(log);
  assert.deepEqual([deadLettered, lost], [2, { corrupt: 1 }]);
  assert.deepEqual([confirmed.deadLettered, confirmed.lost], [2, { corrupt: 1 }]);
  assert.equal(log.losses.totals['normal/corrupt'], 1);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
  await new Promise<void>((resolve) => log.write([], () => resolve()));
  assert.equal(disk.keys(deadLetterRange(SINK_ID)).length, 2, 'it is not found again');
  const again = new DeadLetters(log, SINK_ID);
  await again.load();
  assert.equal(log.losses.totals['normal/corrupt'], 1, 'nor counted again');
});

test('dead letters: a table that cannot be read does not keep the hub from starting', async (t) => {
  const disk = await filledDisk([0, 1, 2, 3, 4, 5]);
  const storage = disk.storage();
  /** Letters 2 and 3 lie in a block with a bad checksum. */
  const damaged = interposed(storage, {
    async *entries(range) {
      for await (const entry of storage.entries(range)) {
        const isLetter = entry[0][0] === 0x64;
        if (isLetter && [2, 3].includes(numberOfKey(entry[0])))
          throw new HubError('LOG_CORRUPT', 'a block is damaged');
        yield entry;
      }
    },
  });
  const { log, letters, errors } = await loaded(t, damaged);
  assert.deepEqual(letters.numbers, [0, 1, 4, 5]);
  assert.ok(errors.includes('dead letters are unreadable'));
  assert.deepEqual([cursorOf(log).deadLettered, cursorOf(log).lost.corrupt], [4, 2]);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
  await append(log, many(1));
  await settleAll(log, letters, [6]);
  assert.ok((letters.numbers.at(-1) ?? 0) > 5, 'what cannot be seen keeps its number');
});

test('dead letters: whatever else storage throws is for whoever starts the hub', async (t) => {
  const disk = await filledDisk([0]);
  const storage = disk.storage();
  const failing = interposed(storage, {
    async *entries(range) {
      for await (const entry of storage.entries(range)) {
        if (entry[0][0] === 0x64) throw new HubError('LOG_NOT_OPEN', 'gone');
        yield entry;
      }
    },
  });
  await assert.rejects(loaded(t, failing), /gone/);
});

test('dead letters: letters that no cursor counts any more do not disturb the ledger', async (t) => {
  const disk = await filledDisk([1, 3]);
  const { log, letters } = await loaded(t, disk.storage());
  const before = cursorOf(log);
  log.settled(SINK_ID, 'normal', { ...before, delivered: 5, deadLettered: 1 });
  const again = new DeadLetters(log, SINK_ID);
  await again.load();
  assert.deepEqual(
    letters.numbers.map((number) => again.place(number)?.counted),
    [false, true],
  );
  const settlement = new Settlement(log, SINK_ID, new FakeClock(), 0);
  const places = again.numbers.flatMap((number) => again.place(number) ?? []);
  settlement.resolve(places, 'delivered');
  const { delivered, deadLettered } = cursorOf(log);
  assert.deepEqual([delivered, deadLettered], [6, 0]);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('dead letters: with a confirm window all counts it may go back to know of a resolution', async (t) => {
  const clock = new FakeClock();
  const log = await opened(t, new MemoryDisk().storage(), clock);
  await append(log, many(6));
  const settlement = new Settlement(log, SINK_ID, clock, WINDOW_MS);
  const letters = new DeadLetters(log, SINK_ID);
  settlement.seen('one');
  const events = await readAll(log);
  const none = { filtered: 0, dropped: 0, corrupt: 0, thinned: 0, full: true };
  const settle = async (from: number, to: number) => {
    const run = { ...none, lane: 'normal' as const, from, to, events: events.slice(from, to) };
    const [first] = run.events;
    assert.ok(first);
    await settlement.settle(run, [letters.add(first, 'bad', 0)]);
    clock.advance(WINDOW_MS / 2);
  };
  await settle(0, 2); // a letter that is confirmed
  await settle(2, 4); // one in a mark
  settlement.seen('one');
  clock.advance(WINDOW_MS / 2);
  settlement.seen('one');
  await settle(4, 6); // one in neither
  const places = letters.numbers.flatMap((number) => letters.place(number) ?? []);
  settlement.resolve(places, 'delivered');
  log.defer(letters.remove([0, 1, 2]));
  assert.deepEqual([cursorOf(log).delivered, cursorOf(log).deadLettered], [6, 0]);
  const { confirmed } = cursorOf(log);
  assert.deepEqual([confirmed.delivered, confirmed.deadLettered], [confirmed.offset, 0]);
  clock.advance(WINDOW_MS / 2);
  settlement.seen('one'); // a mark from before becomes what is confirmed
  assert.equal(settlement.seen('two'), true);
  const { offset, delivered, deadLettered } = cursorOf(log);
  assert.ok(offset > 0 && offset < 6, `${offset}`);
  assert.deepEqual([delivered, deadLettered], [offset, 0]);
});

test('dead letters: a far side that forgot is sent again what it had refused since', async (t) => {
  const clock = new FakeClock();
  const disk = new MemoryDisk();
  const log = await opened(t, disk.storage(), clock);
  await append(log, many(2));
  const settlement = new Settlement(log, SINK_ID, clock, WINDOW_MS);
  const letters = new DeadLetters(log, SINK_ID);
  settlement.seen('one');
  const events = await readAll(log);
  const none = { filtered: 0, dropped: 0, corrupt: 0, thinned: 0, full: true };
  const run = { ...none, lane: 'normal' as const, from: 0, to: 2, events };
  await settlement.settle(
    run,
    events.map((event) => letters.add(event, 'bad', 0)),
  );
  assert.equal(settlement.seen('two'), true);
  log.defer(letters.removeUnsettled());
  assert.equal(letters.count, 0);
  await new Promise<void>((resolve) => log.write([], () => resolve()));
  assert.equal(disk.keys(deadLetterRange(SINK_ID)).length, 0);
});

test('payload: as JSON or text only where that says exactly what was published', () => {
  const cases: readonly [string | Buffer, unknown][] = [
    ['{"n":3, "s":"a  b"}', { json: { n: 3, s: 'a  b' } }],
    ['[1,\n null]', { json: [1, null] }],
    ['1e999', { text: '1e999' }],
    ['{"id":12345678901234567890}', { text: '{"id":12345678901234567890}' }],
    ['{"a":1,"a":2}', { text: '{"a":1,"a":2}' }],
    ['on', { text: 'on' }],
    ['', { text: '' }],
    [Buffer.from([0xff, 0xfe]), { base64: '//4=' }],
  ];
  for (const [payload, expected] of cases)
    assert.deepEqual(payloadText(Buffer.from(payload)), expected, String(payload));
});
