import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HubError } from '../../hub/core/errors.ts';
import { type Batch, LANES } from '../../hub/core/event.ts';
import { DELIVERED, type Delivery } from '../../hub/core/sink.ts';
import type { DeadLetter } from '../../hub/forward/dead-letter-record.ts';
import type { Forwarder } from '../../hub/forward/forwarder.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/fault-storage.ts';
import {
  append,
  cursorBalance,
  forwarderOf,
  forwarding,
  many,
  offsets,
  SINK_ID,
  type Tuning,
  testLog,
} from '../support/forwarding.ts';
import { openTestLog as openMemoryLog } from '../support/log-fixture.ts';
import { MemorySink } from '../support/memory-sink.ts';
import { until } from '../support/until.ts';

/** Refuses these offsets, by name. */
function refusing(poison: ReadonlySet<number>, reason = 'bad') {
  return ({ events }: Batch): Delivery => ({
    rejected: events.flatMap(({ offset }, index) =>
      poison.has(offset) ? [{ index, reason }] : [],
    ),
    retry: [],
  });
}

const cursorOf = (log: DurableLog) => log.cursors.get(SINK_ID, 'normal');

function countsOf(log: DurableLog) {
  const { delivered, deadLettered, lost } = cursorOf(log);
  return { delivered, deadLettered, poison: lost.poison ?? 0 };
}

const lettersOf = (forwarder: Forwarder): Promise<readonly DeadLetter[]> =>
  forwarder.deadLetters.page({ order: 'oldest', limit: 1_000 }, (letter) => letter);

async function settled(forwarder: Forwarder): Promise<void> {
  await until('all settled', () => forwarder.status().lagEvents === 0);
}

async function retried(forwarder: Forwarder): Promise<void> {
  await until('all sent again', () => forwarder.retries.counts().waiting === 0);
}

/** Ten events, of which `poison` are dead letters. */
async function withLetters(t: TestContext, poison: readonly number[], tuning: Tuning = {}) {
  const log = await testLog(t);
  await append(log, many(10));
  const { sink, forwarder } = await forwarding(t, log, tuning);
  sink.answer = refusing(new Set(poison));
  await forwarder.start();
  await settled(forwarder);
  assert.equal(forwarder.deadLetters.count, poison.length);
  return { log, sink, forwarder };
}

test('retry: the far side takes each letter once, with its place in the log, and the ledger moves', async (t) => {
  const { log, sink, forwarder } = await withLetters(t, [2, 5, 6]);
  const before = new Map((await lettersOf(forwarder)).map(({ event }) => [event.offset, event]));
  const sent: Batch[] = [];
  sink.answer = (batch) => {
    sent.push(batch);
    return DELIVERED;
  };
  assert.equal(forwarder.retries.request({ numbers: [0, 2] }), 2);
  await retried(forwarder);
  assert.deepEqual(
    sent.flatMap(({ events }) => events),
    [before.get(2), before.get(6)],
  );
  assert.deepEqual(
    sent.map(({ replay, retry }) => [replay, typeof retry]),
    [[undefined, 'number']],
  );
  assert.deepEqual(countsOf(log), { delivered: 9, deadLettered: 1, poison: 0 });
  assert.deepEqual(
    (await lettersOf(forwarder)).map(({ number }) => number),
    [1],
  );
  assert.equal(forwarder.retries.request('all'), 1);
  await retried(forwarder);
  assert.deepEqual([...sink.taken].sort(), offsets(0, 10));
  assert.deepEqual(countsOf(log), { delivered: 10, deadLettered: 0, poison: 0 });
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
  assert.deepEqual([forwarder.status().deadLetters, forwarder.counters().delivered], [0, 10]);
});

test('retry: what is refused again stays, with the new reason and one more attempt', async (t) => {
  const { log, sink, forwarder } = await withLetters(t, [2, 5]);
  sink.answer = (batch) => {
    const { rejected, retry } = refusing(new Set([5]), 'still bad')(batch);
    return { rejected: rejected.map((one) => ({ ...one, response: 'see page 7' })), retry };
  };
  forwarder.retries.request('all');
  await retried(forwarder);
  const [letter, ...others] = await lettersOf(forwarder);
  assert.equal(others.length, 0);
  assert.deepEqual(
    [letter?.number, letter?.event.offset, letter?.reason, letter?.response, letter?.attempts],
    [1, 5, 'still bad', 'see page 7', 2],
  );
  assert.ok((letter?.retriedMs ?? 0) > 0);
  assert.deepEqual(countsOf(log), { delivered: 9, deadLettered: 1, poison: 0 });
  const { waiting, taken, refused } = forwarder.retries.counts();
  assert.deepEqual([waiting, taken, refused], [0, 1, 1]);
});

test('retry: a far side that refuses batches as a whole takes the good ones all the same', async (t) => {
  const { log, sink, forwarder } = await withLetters(t, [1, 2, 3, 4, 5, 6]);
  sink.answer = ({ events }) => {
    const bad = events.some(({ offset }) => offset === 4);
    return bad ? new HubError('SINK_REJECTED', 'no', { response: 'out of range' }) : DELIVERED;
  };
  forwarder.retries.request('all');
  await retried(forwarder);
  const [letter] = await lettersOf(forwarder);
  assert.deepEqual([letter?.event.offset, letter?.response], [4, 'out of range']);
  assert.deepEqual(countsOf(log), { delivered: 9, deadLettered: 1, poison: 0 });
});

test('retry: waits while the far side is down, and no outage is an attempt', async (t) => {
  const { sink, forwarder } = await withLetters(t, [3]);
  let down = 5;
  sink.answer = () => (down-- > 0 ? new HubError('SINK_DISCONNECTED', 'away') : DELIVERED);
  forwarder.retries.request('all');
  await until('a try', () => down < 4);
  assert.equal(forwarder.retries.counts().waiting, 1);
  await retried(forwarder);
  assert.equal(forwarder.deadLetters.count, 0);
});

test('retry: live events go first, and a batch of letters is within the limits of the sink', async (t) => {
  const batch = { eventsMax: 2, bytesMax: 1024, lingerMs: 0 };
  const { log, sink, forwarder } = await withLetters(t, [0, 1, 2, 3, 4], { batch });
  const order: string[] = [];
  let added = false;
  sink.answer = async ({ events, retry }) => {
    order.push(`${retry === undefined ? 'live' : 'retry'}:${events.map(({ offset }) => offset)}`);
    if (!added) {
      added = true;
      await append(log, many(1));
    }
    return DELIVERED;
  };
  forwarder.retries.request('all');
  await retried(forwarder);
  await settled(forwarder);
  assert.deepEqual(order, ['retry:0,1', 'live:10', 'retry:2,3', 'retry:4']);
});

test('retry: letters of several lanes go in the order of their numbers, one lane a batch', async (t) => {
  const log = await testLog(t);
  const { sink, forwarder } = await forwarding(t, log);
  sink.answer = ({ events }) => ({
    rejected: events.map((_, index) => ({ index, reason: 'no' })),
    retry: [],
  });
  await forwarder.start();
  for (const lane of ['alarm', 'normal', 'alarm', 'normal'] as const) {
    await append(log, many(1), lane);
    await settled(forwarder);
  }
  sink.batches.length = 0;
  sink.answer = ({ lane, events }) => {
    for (const event of events) assert.equal(event.lane, lane);
    return DELIVERED;
  };
  forwarder.retries.request('all');
  await retried(forwarder);
  assert.deepEqual(sink.taken, ['alarm/0', 'normal/0', 'alarm/1', 'normal/1']);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('discard: is a loss with a reason, in the ledger of the sink and of the log', async (t) => {
  const { log, sink, forwarder } = await withLetters(t, [2, 3, 7]);
  assert.deepEqual(await forwarder.retries.discard({ numbers: [0, 1] }), {
    discarded: 2,
    underWay: 0,
  });
  assert.deepEqual(countsOf(log), { delivered: 7, deadLettered: 1, poison: 2 });
  assert.equal(log.losses.totals['normal/poison'], 2);
  assert.deepEqual(await forwarder.retries.discard('all'), { discarded: 1, underWay: 0 });
  assert.deepEqual(countsOf(log), { delivered: 7, deadLettered: 0, poison: 3 });
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
  assert.equal(sink.taken.length, 7);
  assert.deepEqual(await forwarder.retries.discard('all'), { discarded: 0, underWay: 0 });
});

test('discard: what the far side has in its hands is left alone; what only waits is not', async (t) => {
  const { log, sink, forwarder } = await withLetters(t, [2, 3]);
  let answer: (delivery: Delivery) => void = () => {};
  sink.answer = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  const before = sink.batches.length;
  forwarder.retries.request({ numbers: [0] });
  await until('it is being sent', () => sink.batches.length > before);
  forwarder.retries.request({ numbers: [1] });
  assert.deepEqual(await forwarder.retries.discard('all'), { discarded: 1, underWay: 1 });
  answer(DELIVERED);
  await retried(forwarder);
  assert.deepEqual(countsOf(log), { delivered: 9, deadLettered: 0, poison: 1 });
  assert.deepEqual(sink.taken.includes('normal/3'), false);
});

test('discard: letters that wait for a far side that is down can be given up', async (t) => {
  const { log, sink, forwarder } = await withLetters(t, [2, 3, 4], {
    retry: { delayMinMs: 500, delayMaxMs: 500, attemptsMax: 5 },
  });
  sink.answer = () => new HubError('SINK_DISCONNECTED', 'away');
  forwarder.retries.request('all');
  await until('down', () => forwarder.status().state === 'backoff');
  assert.deepEqual(await forwarder.retries.discard({ numbers: [1] }), {
    discarded: 1,
    underWay: 0,
  });
  assert.deepEqual(forwarder.retries.counts().waiting, 2);
  assert.deepEqual(countsOf(log), { delivered: 7, deadLettered: 2, poison: 1 });
  sink.answer = () => DELIVERED;
  await retried(forwarder);
  assert.deepEqual(sink.taken.slice(-2), ['normal/2', 'normal/4'], 'not the discarded one');
});

interface Machine {
  readonly log: DurableLog;
  readonly forwarder: Forwarder;
  readonly sink: MemorySink;
}

async function booted(disk: MemoryDisk, clock = new FakeClock()): Promise<Machine> {
  const sinks = [{ id: SINK_ID, start: 'oldest' as const }];
  const log = await openMemoryLog(disk.storage(), { clock, sinks });
  const sink = new MemorySink();
  const forwarder = forwarderOf(log, sink, { clock });
  return { log, forwarder, sink };
}

/** The books of all lanes agree, with the letters that there are. */
async function assertBooks({ log, forwarder }: Machine): Promise<void> {
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
  const letters = await lettersOf(forwarder);
  for (const lane of LANES) {
    const { deadLettered } = log.cursors.get(SINK_ID, lane);
    assert.equal(letters.filter(({ event }) => event.lane === lane).length, deadLettered, lane);
  }
}

test('retry: a power cut at any moment leaves the letter or the delivery, and the ledger exact', async () => {
  const outcomes = new Set<string>();
  for (let cutAfter = 0; cutAfter < 12; cutAfter++) {
    const disk = new MemoryDisk();
    const first = await booted(disk);
    first.sink.answer = refusing(new Set([1, 3, 5]));
    await append(first.log, many(6));
    await first.forwarder.start();
    await settled(first.forwarder);
    first.sink.answer = () => DELIVERED;
    first.forwarder.retries.request({ numbers: [0, 1] });
    void first.forwarder.retries.discard({ numbers: [2] }).catch(() => undefined);
    for (let turn = 0; turn < cutAfter; turn++)
      await new Promise((resolve) => setImmediate(resolve));
    disk.powerCut();
    void first.forwarder.stop(); // in vain, but it must not wait for ever
    const second = await booted(disk);
    second.sink.answer = refusing(new Set([1, 3, 5]));
    await second.forwarder.start();
    await settled(second.forwarder);
    await assertBooks(second);
    const poison = cursorOf(second.log).lost.poison ?? 0;
    assert.equal(second.log.losses.totals['normal/poison'] ?? 0, poison, 'both or neither');
    outcomes.add(`${second.forwarder.deadLetters.count} left, ${poison} lost`);
    second.sink.answer = () => DELIVERED;
    second.forwarder.retries.request('all');
    await retried(second.forwarder);
    await assertBooks(second);
    const kept = new Set([...first.sink.taken, ...second.sink.taken]);
    assert.equal(kept.size + poison, 6, `cut after ${cutAfter}: each is there or counted as lost`);
    await second.forwarder.stop();
    await second.log.close();
  }
  assert.ok(outcomes.size > 2, `before, between and after: ${[...outcomes]}`);
});

test('discard: is durable when it is answered', async () => {
  const disk = new MemoryDisk();
  const first = await booted(disk);
  first.sink.answer = refusing(new Set([1, 3]));
  await append(first.log, many(4));
  await first.forwarder.start();
  await settled(first.forwarder);
  await first.forwarder.retries.discard({ numbers: [1] });
  disk.powerCut();
  void first.forwarder.stop();
  const second = await booted(disk);
  second.sink.answer = refusing(new Set([4]));
  await second.forwarder.start();
  await assertBooks(second);
  assert.equal(second.log.losses.totals['normal/poison'], 1);
  await append(second.log, many(1));
  await settled(second.forwarder);
  assert.deepEqual(second.forwarder.deadLetters.numbers, [0, 2], 'no number is used twice');
  await second.forwarder.stop();
  await second.log.close();
});

test('retry: with a confirm window a letter stays until the far side has it for good', async (t) => {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  await append(log, many(4));
  const { sink, forwarder } = await forwarding(t, log, { clock, confirmWindowMs: 8_000 });
  let instance = 'one';
  sink.connected = () => ({ instance });
  sink.answer = refusing(new Set([1]));
  await forwarder.start();
  await settled(forwarder);
  const look = async (afterMs: number) => {
    const { connects } = sink;
    clock.advance(afterMs);
    forwarder.retries.request({ numbers: [] }); // wakes it
    await until('it looked', () => sink.connects > connects);
  };
  for (let window = 0; window < 3; window++) await look(8_000);
  assert.equal(cursorOf(log).confirmed.offset, 4);
  sink.answer = () => DELIVERED;
  forwarder.retries.request('all');
  await until('taken', () => sink.taken.includes('normal/1'));
  await until('counted', () => forwarder.retries.counts().taken === 1);
  assert.equal(forwarder.deadLetters.count, 1, 'not for good yet');
  assert.deepEqual(await forwarder.retries.discard('all'), { discarded: 0, underWay: 1 });
  assert.deepEqual(countsOf(log), { delivered: 3, deadLettered: 1, poison: 0 });
  sink.answer = () => new HubError('SINK_DISCONNECTED', 'away');
  instance = 'two'; // it has forgotten what it took
  await look(2_000);
  for (let step = 0; step < 3; step++) await look(8_000);
  assert.equal(forwarder.deadLetters.count, 1, 'another one that lives on proves nothing');
  sink.answer = () => DELIVERED;
  await until('sent once more', () => sink.taken.filter((one) => one === 'normal/1').length === 2);
  for (let step = 0; step < 5; step++) await look(4_000);
  await until('confirmed', () => forwarder.deadLetters.count === 0);
  assert.deepEqual(countsOf(log), { delivered: 4, deadLettered: 0, poison: 0 });
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});
