import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { HubError } from '../../hub/core/errors.ts';
import { LANES } from '../../hub/core/event.ts';
import { DELIVERED } from '../../hub/core/sink.ts';
import type { Forwarder } from '../../hub/forward/forwarder.ts';
import type { SkipTarget } from '../../hub/forward/skipper.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { offsetAt } from '../../hub/log/read/offset-at.ts';
import { afterTest } from '../support/after-test.ts';
import {
  append,
  cursorBalance,
  forwarderOf,
  forwarding,
  many,
  offsets,
  openTestLog,
  SINK_ID,
  testLog,
} from '../support/forwarding.ts';
import { hanging, MemorySink } from '../support/memory-sink.ts';
import { operationsIn, payloadsOf, recorderOf } from '../support/operating.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const down = new HubError('SINK_DISCONNECTED', 'the far side is down');

const skip = (log: DurableLog, { operating }: Forwarder, target: SkipTarget) =>
  operating.skip(target, {}, recorderOf(log, 'skipped'));
const tails = (log: DurableLog) => ({
  to: Object.fromEntries(LANES.map((lane) => [lane, log.range(lane).tail])),
});
const skippedOf = (log: DurableLog) =>
  LANES.map((lane) => log.cursors.get(SINK_ID, lane).lost.skipped ?? 0);

test('skip: past everything there is; what comes then is sent, and the ledger is exact', async (t) => {
  const log = await testLog(t);
  await append(log, many(40));
  await append(log, many(5), 'bulk');
  const { sink, forwarder } = await forwarding(t, log);
  sink.connected = () => Promise.reject(down);
  await forwarder.start();
  await until('backoff', () => forwarder.status().state === 'backoff');
  const lanes = await skip(log, forwarder, tails(log));
  assert.deepEqual(lanes, [
    { lane: 'normal', skippedEvents: 40, fromOffset: 0, toOffset: 40 },
    { lane: 'bulk', skippedEvents: 5, fromOffset: 0, toOffset: 5 },
  ]);
  assert.deepEqual(skippedOf(log), [0, 40, 5]);
  assert.equal(forwarder.status().lostEvents, 45);
  sink.connected = () => ({});
  await append(log, many(3));
  await until('the new ones', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(
    sink.taken.filter((id) => !id.startsWith('alarm')),
    offsets(40, 43),
  );
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
  assert.equal(log.range('normal').head, 0, 'nothing is deleted');
  const [operation] = await operationsIn(log);
  assert.deepEqual([operation?.operation, operation?.details['skippedEvents']], ['skipped', 45]);
  await until('the loss is reported', async () => (await payloadsOf(log, 'loss')).length === 2);
  const losses = (await payloadsOf(log, 'loss')).map((text) => JSON.parse(text));
  const normal = losses.find(({ lane }) => lane === 'normal');
  const { reason, sink: of, events, firstOffset, lastOffset } = normal;
  assert.deepEqual([reason, of, events, firstOffset, lastOffset], ['skipped', SINK_ID, 40, 0, 39]);
  assert.deepEqual(log.status().lost, [], 'the log has lost nothing');
});

test('skip: one event that blocks the head, in a lane where others are not wanted', async (t) => {
  const log = await testLog(t);
  const topics = ['x', 'x', 'stuck', 'a', 'x', 'a'];
  await append(log, topics);
  const { sink, forwarder } = await forwarding(t, log, { topics: ['a', 'stuck'] });
  sink.answer = ({ events }) => (events.some(({ topic }) => topic === 'stuck') ? down : DELIVERED);
  await forwarder.start();
  await until('stuck', () => forwarder.counters().retries > 2);
  const lanes = await skip(log, forwarder, { events: 1, lanes: LANES });
  assert.deepEqual(lanes, [{ lane: 'normal', skippedEvents: 1, fromOffset: 0, toOffset: 3 }]);
  await until('the others', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(sink.taken, ['normal/3', 'normal/5']);
  const { filtered, lost } = log.cursors.get(SINK_ID, 'normal');
  assert.deepEqual([filtered, lost], [3, { skipped: 1 }], 'what is not wanted is not skipped');
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('skip: so many events across blocks and lanes, alarms first', async (t) => {
  const log = await testLog(t);
  for (let block = 0; block < 4; block++) await append(log, many(10));
  await append(log, many(3), 'alarm');
  const { sink, forwarder } = await forwarding(t, log);
  sink.connected = () => Promise.reject(down);
  await forwarder.start();
  await skip(log, forwarder, { events: 28, lanes: LANES });
  assert.deepEqual(skippedOf(log), [3, 25, 0]);
  await skip(log, forwarder, { events: 1_000, lanes: ['bulk'] });
  assert.deepEqual(skippedOf(log), [3, 25, 0], 'there is nothing in that lane');
  assert.equal((await operationsIn(log)).length, 1, 'which is no event');
  sink.connected = () => ({});
  await until('the rest', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(
    sink.taken.filter((id) => id.startsWith('normal')),
    offsets(25, 40),
  );
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('skip: up to a time, exactly, also within one block', async (t) => {
  const log = await testLog(t);
  await append(log, many(10));
  await delay(20);
  const timeMs = Date.now();
  await append(log, many(10));
  const [first, second] = await log.read('normal', 0, 1e6);
  assert.ok(first && second, 'two blocks');
  assert.equal(await offsetAt(log, 'normal', 0), 0);
  assert.equal(await offsetAt(log, 'normal', timeMs), 10);
  assert.equal(await offsetAt(log, 'normal', timeMs + 3_600_000), 20);
  for (let index = 0; index < second.count; index++) {
    const { receivedMs } = second.eventAt(index);
    const at = await offsetAt(log, 'normal', receivedMs);
    assert.ok(at <= 10 + index);
    assert.equal((await log.read('normal', at, 1))[0]?.eventAt(at - 10).receivedMs, receivedMs);
  }
});

test('skip: while a delivery hangs, and while the sink is paused', async (t) => {
  const log = await testLog(t);
  await append(log, many(10));
  const { sink, forwarder } = await forwarding(t, log);
  sink.answer = (_batch, signal) => (sink.batches.length === 1 ? hanging(signal) : DELIVERED);
  await forwarder.start();
  await until('under way', () => sink.batches.length === 1);
  await skip(log, forwarder, { to: { normal: 4 } });
  await until('the rest', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(
    sink.taken.filter((id) => id.startsWith('normal')),
    offsets(4, 10),
  );
  const actor = { via: 'api', address: '::1' } as const;
  await forwarder.operating.pause(actor, recorderOf(log, 'paused'));
  await append(log, many(5));
  await skip(log, forwarder, { to: { normal: 12, alarm: 0 } });
  assert.equal(forwarder.status().state, 'paused');
  await forwarder.operating.resume(recorderOf(log, 'resumed'));
  await until('all', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(
    sink.taken.filter((id) => id.startsWith('normal')),
    [...offsets(4, 10), ...offsets(12, 15)],
  );
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('skip: what was skipped stays so after a restart, and can be replayed', async (t) => {
  const folder = await temporaryFolder(t);
  const before = await openTestLog(folder);
  await append(before, many(20));
  const stopped = forwarderOf(before, new MemorySink());
  await skipBeforeStart(before, stopped);
  await before.close();
  const log = await openTestLog(folder);
  afterTest(t, () => log.close());
  const { sink, forwarder } = await forwarding(t, log);
  await forwarder.start();
  await until('nothing waits', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(
    sink.taken.filter((id) => id.startsWith('normal')),
    [],
  );
  await forwarder.replays.request({ fromMs: 0, toMs: Date.now() + 60_000 });
  await until('the replay', () => forwarder.replays.job(1)?.state === 'finished');
  assert.equal(sink.replayed.filter((id) => id.startsWith('1:normal')).length, 20);
});

async function skipBeforeStart(log: DurableLog, forwarder: Forwarder): Promise<void> {
  await forwarder.start();
  await forwarder.operating.pause({ via: 'api', address: '::1' }, recorderOf(log, 'paused'));
  await skip(log, forwarder, tails(log));
  await forwarder.operating.resume(recorderOf(log, 'resumed'));
  await forwarder.stop();
}

test('skip: a far side that forgets gets again what it had, and not what was skipped', async (t) => {
  const log = await testLog(t);
  await append(log, many(3));
  const { sink, forwarder } = await forwarding(t, log, {
    confirmWindowMs: 3_600_000,
    batch: { eventsMax: 5, bytesMax: 1024 ** 2, lingerMs: 0 },
  });
  let instance = 'first';
  let isStuck = true;
  sink.connected = () => ({ instance });
  sink.answer = ({ lane, events }) =>
    isStuck && lane === 'normal' && events.some(({ offset }) => offset >= 8) ? down : DELIVERED;
  await forwarder.start();
  await until('the first', () => sink.taken.length === 3);
  await append(log, many(10));
  await until('stuck in a block', () => forwarder.counters().retries > 2);
  await until('and not before', () => log.cursors.get(SINK_ID, 'normal').offset === 8);
  await skip(log, forwarder, { to: { normal: 11 } });
  assert.equal(log.cursors.get(SINK_ID, 'normal').offset, 11);
  // batches begin elsewhere when it is all sent again: one of them would reach over the edge
  instance = 'second';
  isStuck = false;
  const again = () => sink.taken.filter((id) => id === 'normal/0').length === 2;
  await until('all again', () => forwarder.status().lagEvents === 0 && again());
  const normal = sink.taken.filter((id) => id.startsWith('normal'));
  assert.deepEqual(new Set(normal), new Set([...offsets(0, 8), ...offsets(11, 13)]));
  assert.deepEqual(skippedOf(log), [0, 3, 0]);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});
