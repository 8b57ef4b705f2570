import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { HubError } from '../../hub/core/errors.ts';
import { LANES, type Lane } from '../../hub/core/event.ts';
import { DELIVERED } from '../../hub/core/sink.ts';
import { type ReplayJob, replayEnded } from '../../hub/core/status.ts';
import type { Forwarder } from '../../hub/forward/forwarder.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { afterTest } from '../support/after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/fault-storage.ts';
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
import { openTestLog as openMemoryLog } from '../support/log-fixture.ts';
import { MemorySink } from '../support/memory-sink.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const MINUTE_MS = 60_000;
const START_MS = new FakeClock().wallMs();
const ALL = { fromMs: START_MS, toMs: START_MS + 100 * MINUTE_MS };

/** `events` a minute, a commit each, from START_MS on. */
async function appendMinutes(
  log: DurableLog,
  clock: FakeClock,
  minutes: number,
  events = 10,
  lane: Lane = 'normal',
): Promise<void> {
  for (let minute = 0; minute < minutes; minute++) {
    await append(log, many(events), lane);
    clock.advance(MINUTE_MS);
  }
}

async function delivered(forwarder: Forwarder): Promise<void> {
  await until('all delivered', () => forwarder.status().lagEvents === 0);
}

async function ended(forwarder: Forwarder, id: number): Promise<ReplayJob> {
  await until('the replay has ended', () => forwarder.replays.job(id)?.endedMs !== null);
  const job = forwarder.replays.job(id);
  assert.ok(job);
  return job;
}

const marked = (id: number, ofs: readonly string[]) => ofs.map((offset) => `${id}:${offset}`);

/** Nothing is passed over without being counted. */
function assertBalanced(job: ReplayJob): void {
  const { replayedEvents, refusedEvents, missingEvents, thinnedEvents, filteredEvents } = job;
  const sum = replayedEvents + refusedEvents + missingEvents + thinnedEvents + filteredEvents;
  assert.equal(job.doneEvents, sum, JSON.stringify(job));
  assert.ok(job.doneEvents <= job.totalEvents);
}

/** A log whose minutes have all been delivered. */
async function deliveredMinutes(t: TestContext, minutes: number, events = 10) {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  await appendMinutes(log, clock, minutes, events);
  const parts = await forwarding(t, log, { clock });
  await parts.forwarder.start();
  await delivered(parts.forwarder);
  return { clock, log, ...parts };
}

test('replay: sends a past range once more, in order, marked, and nothing else', async (t) => {
  const { forwarder, sink, log } = await deliveredMinutes(t, 20);
  const before = LANES.map((lane) => log.cursors.get(SINK_ID, lane));
  const fromMs = START_MS + 5 * MINUTE_MS;
  const job = await forwarder.replays.request({ fromMs, toMs: fromMs + 3 * MINUTE_MS });
  assert.equal(job?.state, 'queued');
  const { id, totalEvents } = job;
  assert.equal(totalEvents, 30);
  const done = await ended(forwarder, id);
  assert.deepEqual(sink.replayed, marked(id, offsets(50, 80)));
  assert.deepEqual(sink.taken, offsets(0, 200), 'live events came once, unmarked');
  assert.equal(done.state, 'finished');
  assert.equal(done.replayedEvents, 30);
  assertBalanced(done);
  assert.deepEqual(forwarder.status().replay, { running: null, queued: 0, replayedEvents: 30 });
  assert.deepEqual(
    LANES.map((lane) => log.cursors.get(SINK_ID, lane)),
    before,
    'the ledger',
  );
});

test('replay: leaves out what is outside of the range but in its blocks', async (t) => {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  const appending: Promise<void>[] = [];
  for (let event = 0; event < 100; event++) {
    appending.push(append(log, [event % 2 === 0 ? 'a' : 'b']));
    clock.advance(1_000);
  }
  await Promise.all(appending);
  const { forwarder, sink } = await forwarding(t, log, { clock, topics: ['a'] });
  await forwarder.start();
  await delivered(forwarder);
  const [block] = await log.read('normal', 0, 1);
  assert.equal(block?.count, 100, 'all in one block');
  const range = { fromMs: START_MS + 20_000, toMs: START_MS + 40_000 };
  const job = await forwarder.replays.request(range);
  const done = await ended(forwarder, job?.id ?? 0);
  const expected = offsets(20, 40).filter((_, index) => index % 2 === 0);
  assert.deepEqual(sink.replayed, marked(1, expected));
  assert.equal(done.filteredEvents, 90);
  assertBalanced(done);
});

test('replay: drains alarms first, and all lanes', async (t) => {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  for (const lane of ['bulk', 'normal', 'alarm'] as const) await append(log, many(3), lane);
  const { forwarder, sink } = await forwarding(t, log, { clock });
  await forwarder.start();
  await delivered(forwarder);
  await forwarder.replays.request(ALL);
  await ended(forwarder, 1);
  const expected = LANES.flatMap((lane) => offsets(0, 3, lane));
  assert.deepEqual(sink.replayed, marked(1, expected));
});

test('replay: live events come first, also between the batches of a replay', async (t) => {
  const { forwarder, sink, log } = await deliveredMinutes(t, 30, 100);
  let published = 0;
  const lives: { readonly live: number; readonly at: number }[] = [];
  sink.answer = async (batch) => {
    if (batch.replay === undefined)
      lives.push({ live: batch.events.length, at: sink.batches.length });
    else if (published < 5) {
      published++;
      await append(log, many(1)); // arrives while a batch of the replay is under way
    }
    return DELIVERED;
  };
  const batchesBefore = sink.batches.length;
  await forwarder.replays.request(ALL);
  await ended(forwarder, 1);
  await delivered(forwarder);
  assert.equal(sink.replayed.length, 3_000);
  assert.equal(lives.length, 5);
  // each live one is sent right after the batch during which it came
  assert.deepEqual(
    lives.map(({ at }) => at - batchesBefore),
    [2, 4, 6, 8, 10],
  );
});

test('replay: goes on while live events gather for a batch', async (t) => {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  await append(log, many(500));
  const batch = { eventsMax: 100, bytesMax: 1024 ** 2, lingerMs: 60_000 };
  const { forwarder, sink } = await forwarding(t, log, { clock, batch });
  await forwarder.start();
  await delivered(forwarder);
  clock.advance(1);
  await append(log, many(1)); // would be waited for a minute
  await forwarder.replays.request({ fromMs: START_MS, toMs: START_MS + 1 });
  await ended(forwarder, 1);
  assert.equal(sink.replayed.length, 500);
  assert.equal(sink.taken.length, 500, 'the live one still gathers');
  clock.advance(60_000);
  await append(log, many(99));
  await delivered(forwarder);
  assert.deepEqual(sink.taken, offsets(0, 600));
});

test('replay: what the sink has not had yet comes live and is not replayed', async (t) => {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  await append(log, many(50));
  const { forwarder, sink } = await forwarding(t, log, { clock });
  await forwarder.start();
  await delivered(forwarder);
  sink.answer = () => new HubError('SINK_DISCONNECTED', 'down');
  await append(log, many(50));
  const job = await forwarder.replays.request(ALL);
  assert.equal(job?.totalEvents, 50);
  sink.answer = () => DELIVERED;
  await ended(forwarder, 1);
  assert.deepEqual(sink.replayed, marked(1, offsets(0, 50)));
  assert.deepEqual(sink.taken, offsets(0, 100));
});

test('replay: goes on where it was after a crash', async (t) => {
  const clock = new FakeClock();
  const folder = await temporaryFolder(t);
  const before = await openTestLog(folder, { clock });
  await appendMinutes(before, clock, 10, 100);
  const first = await forwarding(t, before, { clock });
  await first.forwarder.start();
  await delivered(first.forwarder);
  let batches = 0;
  first.sink.answer = async () => {
    if (++batches === 4) await append(before, many(1)); // carries the progress of three along
    return batches <= 4 ? DELIVERED : new HubError('SINK_DISCONNECTED', 'down');
  };
  await first.forwarder.replays.request(ALL);
  await until('a part of it', () => batches > 5);
  assert.equal(first.sink.replayed.length, 400);
  await first.forwarder.stop();
  await before.close();

  const log = await openTestLog(folder, { clock });
  afterTest(t, () => log.close());
  const { sink, forwarder } = await forwarding(t, log, { clock });
  assert.equal(forwarder.replays.job(1)?.state, 'running');
  await forwarder.start();
  const done = await ended(forwarder, 1);
  const all = new Set([...first.sink.replayed, ...sink.replayed]);
  assert.deepEqual([...all].sort(), marked(1, offsets(0, 1_000)).sort());
  assert.ok(sink.replayed.length <= 700, 'it does not begin again');
  assertBalanced(done);
  const next = await forwarder.replays.request(ALL);
  assert.equal(next?.id, 2, 'numbers are not used twice');
  await ended(forwarder, 2);
});

test('replay: can be cancelled, while it runs and while it waits', async (t) => {
  const { forwarder, sink, log, clock } = await deliveredMinutes(t, 10, 100);
  let letGo = () => {};
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  sink.answer = async () => {
    await held;
    return DELIVERED;
  };
  const running = await forwarder.replays.request(ALL);
  const waiting = await forwarder.replays.request(ALL);
  const last = await forwarder.replays.request(ALL);
  assert.ok(running && waiting && last);
  await until('a batch is under way', () => sink.batches.length > 10);
  assert.equal(forwarder.status().replay.running?.id, running.id);
  assert.equal(forwarder.status().replay.queued, 2);
  assert.equal((await forwarder.replays.cancel(waiting.id))?.state, 'cancelled');
  assert.equal((await forwarder.replays.cancel(running.id))?.state, 'cancelled');
  assert.equal(await forwarder.replays.cancel(99), undefined);
  letGo();
  await append(log, many(10));
  await delivered(forwarder);
  const taken = sink.replayed.filter((event) => event.startsWith(`${running.id}:`));
  assert.ok(taken.length <= 100, 'at most the batch that was under way');
  const done = await ended(forwarder, last.id);
  assert.equal(done.replayedEvents, 1_000, 'what was cancelled counts for no other one');
  assertBalanced(done);
  assert.deepEqual(forwarder.status().replay.running, null);
  assert.equal((await forwarder.replays.cancel(running.id))?.state, 'cancelled', 'again');
  clock.advance(1);
});

test('replay: keeps its range from retention, but not from a log that needs room', async (t) => {
  const clock = new FakeClock();
  const log = await testLog(t, clock); // keeps an hour
  await appendMinutes(log, clock, 10);
  const { forwarder, sink } = await forwarding(t, log, { clock });
  await forwarder.start();
  await delivered(forwarder);
  sink.answer = (batch) =>
    batch.replay === undefined ? DELIVERED : new HubError('SINK_DISCONNECTED', 'down');
  await forwarder.replays.request({ fromMs: START_MS, toMs: START_MS + 5 * MINUTE_MS });
  await until('it has been tried', () => forwarder.counters().retries > 0);
  clock.advance(180 * MINUTE_MS);
  await append(log, many(1));
  await new Promise((resolve) => setTimeout(resolve, 2_500)); // two rounds of housekeeping
  assert.equal(log.range('normal').head, 0, 'held');
  sink.answer = () => DELIVERED;
  const done = await ended(forwarder, 1);
  assert.equal(done.replayedEvents, 50);
  assert.equal(done.missingEvents, 0);
  await until('trimmed', () => log.range('normal').head > 50);
});

test('replay: a log that needs room takes it from a replay, which counts what is missing', async (t) => {
  const clock = new FakeClock();
  const folder = await temporaryFolder(t);
  const log = await openTestLog(folder, { clock, bytesMax: 200_000 });
  afterTest(t, () => log.close());
  const payload = randomBytes(1_000);
  for (let event = 0; event < 100; event++) await append(log, ['a'], 'normal', payload);
  const { forwarder, sink } = await forwarding(t, log, { clock });
  await forwarder.start();
  await delivered(forwarder);
  let isDown = true;
  sink.answer = (batch) =>
    isDown && batch.replay !== undefined ? new HubError('SINK_DISCONNECTED', 'down') : DELIVERED;
  await forwarder.replays.request(ALL);
  await until('it has been tried', () => forwarder.counters().retries > 0);
  for (let event = 0; event < 130; event++) await append(log, ['a'], 'normal', payload);
  await until('room was made', () => log.range('normal').head > 0);
  const { head } = log.range('normal');
  isDown = false;
  const done = await ended(forwarder, 1);
  assert.equal(done.state, 'finished');
  assert.ok(head > 20 && head < 100, `head ${head}`);
  assertBalanced(done);
  assert.equal(done.doneEvents, 100);
  // what had been read before it went is still sent
  assert.ok(done.missingEvents + done.replayedEvents === 100);
  await delivered(forwarder);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
  assert.equal(forwarder.status().lostEvents, 0, 'nothing of it is a loss of the sink');
  assert.equal(log.status().lostEvents, 0);
});

test('replay: what is gone from the log is counted as missing', async (t) => {
  const { forwarder, sink, log, clock } = await deliveredMinutes(t, 10);
  clock.advance(120 * MINUTE_MS);
  await append(log, many(10));
  await until('trimmed', () => log.range('normal').head === 100);
  await delivered(forwarder);
  const job = await forwarder.replays.request({ fromMs: START_MS, toMs: clock.wallMs() + 1 });
  assert.equal(job?.totalEvents, 10);
  const done = await ended(forwarder, 1);
  assert.deepEqual(sink.replayed, marked(1, offsets(100, 110)));
  assertBalanced(done);
});

test('replay: poison is counted, not kept as a dead letter; the rest is sent', async (t) => {
  const { forwarder, sink, log } = await deliveredMinutes(t, 10);
  sink.answer = (batch) => {
    const poison = batch.events.some(({ offset }) => offset === 17 || offset === 58);
    return poison && batch.replay !== undefined ? new HubError('SINK_REJECTED', 'bad') : DELIVERED;
  };
  await forwarder.replays.request(ALL);
  const done = await ended(forwarder, 1);
  const expected = offsets(0, 100).filter((_, offset) => offset !== 17 && offset !== 58);
  assert.deepEqual(sink.replayed, marked(1, expected));
  assert.equal(done.refusedEvents, 2);
  assert.match(done.detail ?? '', /normal\/17 of a: bad/);
  assert.equal(forwarder.status().deadLetters, 0);
  assertBalanced(done);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('replay: a far side that takes a part gets the other part again', async (t) => {
  const { forwarder, sink } = await deliveredMinutes(t, 10);
  let first = true;
  sink.answer = ({ events }) => {
    const retry = first ? events.map((_, index) => index).filter((index) => index % 2 === 1) : [];
    first = false;
    return { rejected: [], retry };
  };
  await forwarder.replays.request(ALL);
  const done = await ended(forwarder, 1);
  assert.equal(done.replayedEvents, 100);
  assert.deepEqual([...sink.replayed].sort(), marked(1, offsets(0, 100)).sort());
});

test('replay: ends when the far side refuses everything, without halting the sink', async (t) => {
  const { forwarder, sink, log } = await deliveredMinutes(t, 30);
  sink.answer = (batch) =>
    batch.replay === undefined ? DELIVERED : new HubError('SINK_REJECTED', 'no replays here');
  await forwarder.replays.request(ALL);
  const done = await ended(forwarder, 1);
  assert.equal(done.state, 'failed');
  assert.match(done.detail ?? '', /refused \d+ events in a row.*no replays here/);
  assertBalanced(done);
  await append(log, many(5));
  await delivered(forwarder);
  assert.deepEqual(sink.taken.slice(-5), offsets(300, 305));
});

test('replay: an empty range has ended at once; too many are refused; old ones are forgotten', async (t) => {
  const { forwarder, sink } = await deliveredMinutes(t, 2);
  const never = await forwarder.replays.request({ fromMs: 0, toMs: 1 });
  assert.equal(never?.state, 'finished');
  assert.equal(never?.totalEvents, 0);
  let isDown = true;
  sink.answer = () => (isDown ? new HubError('SINK_DISCONNECTED', 'down') : DELIVERED);
  const asked = await Promise.all(Array.from({ length: 25 }, () => forwarder.replays.request(ALL)));
  assert.equal(asked.filter((job) => job !== undefined).length, 17, 'one and sixteen');
  assert.equal(forwarder.status().replay.queued, 16);
  isDown = false;
  await until('all have ended', () => forwarder.status().replay.running === null);
  assert.equal(forwarder.replays.jobs().length, 16);
  assert.equal(sink.replayed.length, 17 * 20);
});

test('replay: what is asked for and what is cancelled survives a power cut', async (t) => {
  const clock = new FakeClock();
  const disk = new MemoryDisk();
  const open = () =>
    openMemoryLog(disk.storage(), { clock, sinks: [{ id: SINK_ID, start: 'oldest' }] });
  let log = await open();
  await append(log, many(10));
  const { forwarder, sink } = await forwarding(t, log, { clock });
  await forwarder.start();
  await delivered(forwarder);
  sink.answer = () => new HubError('SINK_DISCONNECTED', 'down');
  await forwarder.replays.request(ALL);
  await forwarder.replays.request(ALL);
  await forwarder.replays.cancel(1);
  disk.powerCut();
  log = await open();
  afterTest(t, () => log.close());
  const [first, second] = log.replays.of(SINK_ID);
  assert.equal(first?.state, 'cancelled');
  assert.ok(second && !replayEnded(second.state), 'it waits, or its turn has come');
  assert.equal(log.replays.nextId(SINK_ID), 3);
});

test('replay: is sent again when the far side restarts before it was durable', async (t) => {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  await append(log, many(300));
  const { forwarder, sink } = await forwarding(t, log, { clock, confirmWindowMs: 10_000 });
  let instance = 'one';
  sink.connected = () => ({ instance });
  await forwarder.start();
  await delivered(forwarder);
  for (let second = 0; second < 30; second += 3) {
    clock.advance(3_000); // the live events are confirmed
    await append(log, many(1));
    await delivered(forwarder);
  }
  await forwarder.replays.request({ fromMs: START_MS, toMs: START_MS + 1 });
  await until('sent', () => sink.replayed.length === 300);
  assert.equal(forwarder.replays.job(1)?.state, 'running', 'not yet for good');
  instance = 'two';
  clock.advance(3_000);
  await until('sent again', () => sink.replayed.length === 600);
  for (let second = 0; second < 30; second += 3) {
    clock.advance(3_000);
    await append(log, many(1));
    await delivered(forwarder);
  }
  const done = await ended(forwarder, 1);
  assert.equal(done.state, 'finished');
  assertBalanced(done);
  assert.equal(done.replayedEvents, 300);
});

test('replay: the other sinks have nothing to do with it', async (t) => {
  const clock = new FakeClock();
  const folder = await temporaryFolder(t);
  const log = await openTestLog(folder, { clock, sinks: [SINK_ID, 'other'] });
  afterTest(t, () => log.close());
  await append(log, many(50));
  const [ours, other] = [await forwarding(t, log, { clock }), new MemorySink()];
  const otherForwarder = forwarderOf(log, other, { clock, id: 'other' });
  afterTest(t, () => otherForwarder.stop());
  for (const forwarder of [ours.forwarder, otherForwarder]) {
    await forwarder.start();
    await delivered(forwarder);
  }
  await ours.forwarder.replays.request(ALL);
  await ended(ours.forwarder, 1);
  assert.equal(ours.sink.replayed.length, 50);
  assert.deepEqual(other.replayed, []);
  assert.deepEqual(other.taken, offsets(0, 50));
  assert.deepEqual(otherForwarder.replays.jobs(), []);
});
