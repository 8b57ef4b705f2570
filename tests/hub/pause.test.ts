import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { HubError } from '../../hub/core/errors.ts';
import { DELIVERED } from '../../hub/core/sink.ts';
import type { Forwarder } from '../../hub/forward/forwarder.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { pauseKey } from '../../hub/log/keys.ts';
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
import { operationsIn, recorderOf, SOMEBODY } from '../support/operating.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const down = new HubError('SINK_DISCONNECTED', 'the far side is down');
/** Many times what a forwarder of these tests takes to send something. */
const QUIET_MS = 150;

const pause = (log: DurableLog, { operating }: Forwarder) =>
  operating.pause(SOMEBODY, recorderOf(log, 'paused'));
const resume = (log: DurableLog, { operating }: Forwarder) =>
  operating.resume(recorderOf(log, 'resumed'));

test('pause: nothing leaves, not even an alarm, and nothing is lost or sent twice', async (t) => {
  const log = await testLog(t);
  await append(log, many(50));
  const { sink, forwarder } = await forwarding(t, log);
  await forwarder.start();
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.equal(await pause(log, forwarder), 'done');
  assert.equal(forwarder.status().state, 'paused');
  assert.match(forwarder.status().detail ?? '', /^paused by pi@gateway \(cli\) at 20/);
  const sent = sink.taken.length;
  await append(log, many(30));
  await append(log, many(3), 'alarm');
  await delay(QUIET_MS);
  assert.equal(sink.taken.length, sent, 'nothing leaves');
  const [alarm, normal] = forwarder.status().lanes;
  assert.deepEqual([alarm?.queued, normal?.queued], [4, 30], 'it counts as lag, the event too');
  assert.equal(forwarder.status().state, 'paused');
  assert.equal(await pause(log, forwarder), 'done', 'once more changes nothing');
  await resume(log, forwarder);
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(sink.taken.toSorted(), [...new Set(sink.taken)].toSorted(), 'none twice');
  assert.equal(sink.taken.length, 85);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
  const operations = await operationsIn(log);
  assert.deepEqual(
    operations.map(({ operation }) => operation),
    ['paused', 'resumed'],
    'what changed something is written down, once',
  );
  const [first, second] = operations;
  assert.deepEqual([first?.sink, first?.actor], [SINK_ID, SOMEBODY]);
  assert.ok(Math.abs(Date.parse(first?.time ?? '') - Date.now()) < 60_000);
  assert.ok(Number(second?.details['pausedMs']) >= QUIET_MS);
});

test('pause: survives a restart, and resuming does too', async (t) => {
  const folder = await temporaryFolder(t);
  const states: string[] = [];
  for (const step of ['pause', 'nothing', 'resume', 'nothing']) {
    const log = await openTestLog(folder);
    await append(log, many(10));
    const sink = new MemorySink();
    const forwarder = forwarderOf(log, sink);
    await forwarder.start();
    if (step === 'pause') await pause(log, forwarder);
    if (step === 'resume') await resume(log, forwarder);
    const { state } = forwarder.status();
    states.push(state === 'paused' ? `paused, ${sink.taken.length > 0 ? 'sent' : 'quiet'}` : 'on');
    if (state !== 'paused') await until('all sent', () => forwarder.status().lagEvents === 0);
    await forwarder.stop();
    await log.close();
  }
  assert.deepEqual(states.slice(1), ['paused, quiet', 'on', 'on']);
});

test('pause: a damaged record of it still says that nothing may be sent', async (t) => {
  const folder = await temporaryFolder(t);
  const before = await openTestLog(folder);
  await append(before, many(10));
  const value = Buffer.from('no record');
  await new Promise<void>((resolve) => {
    before.write([{ type: 'put', key: pauseKey(SINK_ID), value }], () => resolve());
  });
  await before.close();
  const log = await openTestLog(folder);
  afterTest(t, () => log.close());
  const { sink, forwarder } = await forwarding(t, log);
  await forwarder.start();
  assert.deepEqual([forwarder.status().state, forwarder.status().detail], ['paused', 'paused']);
  await delay(QUIET_MS);
  assert.equal(sink.connects, 0);
  await resume(log, forwarder);
  await until('all delivered', () => forwarder.status().lagEvents === 0);
});

for (const [state, setUp] of [
  ['connecting', (sink: MemorySink) => (sink.connected = hanging)],
  ['backoff', (sink: MemorySink) => (sink.connected = () => Promise.reject(down))],
  [
    'halted',
    (sink: MemorySink) =>
      (sink.connected = () => Promise.reject(new HubError('SINK_REFUSED', 'no'))),
  ],
] as const) {
  test(`pause: works at once while ${state}, and resuming connects at once`, async (t) => {
    const log = await testLog(t);
    await append(log, many(5));
    const retry = { delayMinMs: 3_600_000, delayMaxMs: 3_600_000, attemptsMax: 5 };
    const { sink, forwarder } = await forwarding(t, log, { retry });
    setUp(sink);
    await forwarder.start();
    await until(state, () => forwarder.status().state === state);
    const startedMs = performance.now();
    await pause(log, forwarder);
    assert.ok(performance.now() - startedMs < 1_000);
    assert.equal(forwarder.status().state, 'paused');
    const { connects } = sink;
    await delay(QUIET_MS);
    assert.equal(sink.connects, connects);
    sink.connected = () => ({});
    await resume(log, forwarder);
    await until('all delivered', () => forwarder.status().lagEvents === 0, 2_000);
  });
}

test('pause: a delivery under way ends, and is settled as the far side said', async (t) => {
  const log = await testLog(t);
  await append(log, many(100));
  const { sink, forwarder } = await forwarding(t, log);
  let answer = () => {};
  sink.answer = () =>
    new Promise((resolve) => {
      answer = () => resolve(DELIVERED);
    });
  await forwarder.start();
  await until('under way', () => sink.batches.length === 1);
  const paused = pause(log, forwarder);
  answer();
  await paused;
  assert.deepEqual([forwarder.status().state, forwarder.status().deliveredEvents], ['paused', 100]);
  sink.answer = () => DELIVERED;
  await resume(log, forwarder);
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(
    sink.taken.filter((id) => id.startsWith('normal')),
    offsets(0, 100),
  );
});

test('pause: a delivery that hangs is aborted, and sent after resuming', async (t) => {
  const log = await testLog(t);
  await append(log, many(20));
  const { sink, forwarder } = await forwarding(t, log);
  sink.answer = (_batch, signal) => hanging(signal);
  await forwarder.start();
  await until('under way', () => sink.batches.length === 1);
  await pause(log, forwarder);
  assert.equal(forwarder.status().state, 'paused');
  assert.equal(forwarder.status().deliveredEvents, 0);
  assert.equal(forwarder.counters().retries, 0, 'it is no failure of the far side');
  sink.answer = () => DELIVERED;
  await resume(log, forwarder);
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.equal(sink.connects, 2, 'it connects again after what was thrown');
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('pause: a replay waits too', async (t) => {
  const log = await testLog(t);
  await append(log, many(20));
  const { sink, forwarder } = await forwarding(t, log);
  await forwarder.start();
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  await pause(log, forwarder);
  const range = { fromMs: 0, toMs: Date.now() + 60_000 };
  const job = await forwarder.replays.request(range, recorderOf(log, 'replay_requested'));
  await delay(QUIET_MS);
  assert.deepEqual(sink.replayed, []);
  await resume(log, forwarder);
  await until('the replay', () => forwarder.replays.job(1)?.state === 'finished');
  assert.equal(sink.replayed.length, 20);
  const [, requested] = await operationsIn(log);
  assert.equal(requested?.operation, 'replay_requested');
  assert.deepEqual(
    [requested?.details['replay'], requested?.details['totalEvents']],
    [job?.id, job?.totalEvents],
  );
});

test('pause: is not in effect when it could not be made durable', async (t) => {
  const log = await testLog(t);
  const { forwarder } = await forwarding(t, log);
  await forwarder.start();
  await until('reading', () => forwarder.status().state === 'reading');
  await log.close();
  await assert.rejects(pause(log, forwarder), /closed|closing|stopping/);
  assert.equal(forwarder.operating.paused, undefined);
  assert.notEqual(forwarder.status().state, 'paused');
});

test('pause: the hub stops while it is so, and while somebody waits', async (t) => {
  const log = await testLog(t);
  await append(log, many(5));
  const { sink, forwarder } = await forwarding(t, log);
  sink.answer = () => new Promise(() => {});
  await forwarder.start();
  await until('under way', () => sink.batches.length === 1);
  const asked = pause(log, forwarder);
  asked.catch(() => undefined);
  await forwarder.stop();
  await assert.rejects(asked, /stopping/);
  await assert.rejects(resume(log, forwarder), /stopping/);
});
