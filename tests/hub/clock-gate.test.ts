import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HubError } from '../../hub/core/errors.ts';
import type { Batch, HubEvent } from '../../hub/core/event.ts';
import { DELIVERED } from '../../hub/core/sink.ts';
import { ClockWait } from '../../hub/forward/clock-gate.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { append, forwarding, many, testLog } from '../support/forwarding.ts';
import { until } from '../support/until.ts';

const DAY_MS = 86_400_000;

async function behind(t: TestContext, waitMaxMs: number) {
  const clock = new FakeClock();
  clock.isSynced = false;
  const log = await testLog(t, clock);
  const clockWait = new ClockWait(log, clock, waitMaxMs);
  const { sink, forwarder } = await forwarding(t, log, { clockWait });
  const synchronise = () => {
    clock.jump(30 * DAY_MS);
    clock.isSynced = true;
    clock.advance(1);
  };
  return { clock, log, sink, forwarder, synchronise, trueMs: clock.wallMs() + 30 * DAY_MS };
}

test('what waited for its far side with a provisional time is sent with the right one', async (t) => {
  const { log, sink, forwarder, synchronise, trueMs } = await behind(t, 0);
  const sent: HubEvent[][] = [];
  let down = true;
  sink.answer = ({ events }: Batch) => {
    sent.push([...events]);
    return down ? new HubError('SINK_DISCONNECTED', 'the far side is away') : DELIVERED;
  };
  await append(log, many(250)); // two batches and a half: sent, prepared ahead, and in the log
  await forwarder.start();
  await until('two tries', () => sent.length >= 2);
  assert.deepEqual(
    new Set(sent.flat().map(({ timeQuality }) => timeQuality)),
    new Set(['estimated']),
  );
  synchronise();
  log.boots.look();
  sent.splice(0);
  down = false;
  await until('all sent', () => sink.taken.length === 250);
  const last = sent.flat().slice(-250);
  assert.deepEqual(new Set(last.map(({ timeQuality }) => timeQuality)), new Set(['corrected']));
  assert.deepEqual(new Set(last.map(({ receivedMs }) => receivedMs)), new Set([trueMs]));
  assert.equal(new Set(sink.taken).size, 250);
});

test('whoever stops waiting because the clock is right finds the times corrected', async (t) => {
  const { clock, log, sink, forwarder, synchronise, trueMs } = await behind(t, DAY_MS);
  const qualities: string[] = [];
  sink.encoding = ({ events }) => qualities.push(...events.map(({ timeQuality }) => timeQuality));
  await append(log, many(3));
  await forwarder.start();
  await until('it waits', () => forwarder.status().detail === 'waits for the clock');
  const wait = new ClockWait(log, clock, DAY_MS);
  synchronise(); // and nobody has looked yet
  assert.equal(wait.waiting, false);
  const [block] = await log.read('normal', 0, 1);
  assert.equal(block?.firstReceivedMs, trueMs);
  await until('all sent', () => sink.taken.length === 3);
  assert.deepEqual(qualities, ['corrected', 'corrected', 'corrected']);
});

test('what an earlier boot left with a sure time does not wait, what is behind it does', async (t) => {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  await append(log, many(3));
  clock.isSynced = false;
  clock.advance(1_000);
  await append(log, many(3)); // the server was lost: corrected by the same boot
  const clockWait = new ClockWait(log, clock, DAY_MS);
  const { sink, forwarder } = await forwarding(t, log, { clockWait });
  await forwarder.start();
  await until('all sent', () => sink.taken.length === 6);
  assert.equal(forwarder.status().detail, undefined);
});

test('alarms wait no longer than the rest, and the sink says what it waits for', async (t) => {
  const { clock, log, sink, forwarder } = await behind(t, 60_000);
  await append(log, many(2), 'alarm');
  await append(log, many(2));
  await forwarder.start();
  await until('it waits', () => forwarder.status().detail === 'waits for the clock');
  assert.equal(forwarder.status().state, 'reading');
  assert.deepEqual(sink.batches, []);
  clock.advance(59_999);
  assert.equal(forwarder.status().detail, 'waits for the clock');
  clock.advance(1);
  await until('all sent', () => sink.taken.length === 4);
  assert.deepEqual(sink.taken.slice(0, 2), ['alarm/0', 'alarm/1']);
  assert.equal(forwarder.status().detail, undefined);
});
