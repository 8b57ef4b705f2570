import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { HubError } from '../../hub/core/errors.ts';
import type { Lane, Message } from '../../hub/core/event.ts';
import { Outages } from '../../hub/forward/outages.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { OutageRecords } from '../../hub/log/outage-records.ts';
import { afterTest } from '../support/after-test.ts';
import { FakeSchedule } from '../support/fake-schedule.ts';
import { openTestLog, SINK_ID, testLog } from '../support/forwarding.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const gone = new HubError('SINK_DISCONNECTED', 'cloud.example cannot be reached');

/** Outages over a log, with lanes and time that a test moves. */
async function historyOf(log: DurableLog, schedule: FakeSchedule, sink = SINK_ID) {
  const told: Message[] = [];
  const lanes = {
    alarm: { tail: 0, settled: 0 },
    normal: { tail: 0, settled: 0 },
    bulk: { tail: 0, settled: 0 },
  };
  const outages = new Outages({
    sink,
    clock: schedule.clock,
    schedule,
    records: new OutageRecords(log, sink),
    lane: (lane: Lane) => {
      const { tail, settled } = lanes[lane];
      return { tail, settled, queued: tail - settled };
    },
    tell: (message) => told.push(message),
  });
  await outages.load();
  const events = () => told.map(({ payload }) => JSON.parse(payload.toString()));
  return { outages, lanes, told, events };
}

async function fixture(t: TestContext) {
  const schedule = new FakeSchedule();
  const log = await testLog(t, schedule.clock);
  return { log, schedule, ...(await historyOf(log, schedule)) };
}

test('outages: from the first failure to the first delivery, with what happened in it', async (t) => {
  const { outages, schedule, lanes } = await fixture(t);
  lanes.normal = { tail: 100, settled: 90 };
  const startedMs = schedule.clock.wallMs();
  outages.failed(gone);
  await schedule.pass(5 * MINUTE_MS);
  outages.failed(new HubError('SINK_TIMEOUT', 'no answer'));
  outages.failed(new HubError('SINK_THROTTLED', 'slower'));
  assert.equal(outages.current()?.lengthMs, 5 * MINUTE_MS);
  lanes.normal.tail = 1_000;
  outages.taken();
  assert.equal(outages.current(), null);
  lanes.normal = { tail: 1_200, settled: 999 };
  await schedule.pass(20 * SECOND_MS);
  outages.taken();
  lanes.normal.settled = 1_000;
  await schedule.pass(SECOND_MS);
  outages.taken();
  assert.deepEqual(outages.list(), [
    {
      sink: SINK_ID,
      id: 1,
      startedMs,
      endedMs: startedMs + 5 * MINUTE_MS,
      lengthMs: 5 * MINUTE_MS,
      interruptions: 1,
      tries: 3,
      hubStarts: 0,
      reboots: 0,
      firstError: { code: 'SINK_DISCONNECTED', text: gone.message },
      lastError: { code: 'SINK_THROTTLED', text: 'slower' },
      backlogAtStart: 10,
      backlogAtEnd: 910,
      drainedAfterMs: 21 * SECOND_MS,
    },
  ]);
  assert.deepEqual(outages.counters(), { outages: 1, seconds: 300 });
});

test('outages: being asked for less, a bad event or a stopping log is none', async (t) => {
  const { outages } = await fixture(t);
  for (const code of ['SINK_THROTTLED', 'SINK_REJECTED', 'LOG_CLOSED', 'LOG_NOT_OPEN'] as const)
    outages.failed(new HubError(code, 'x'));
  assert.deepEqual(outages.list(), []);
  outages.failed(new TypeError('a sink that throws nonsense'));
  assert.equal(outages.list().length, 1);
});

test('outages: a link that flaps is one outage with its interruptions', async (t) => {
  const { outages, schedule } = await fixture(t);
  for (let n = 0; n < 5; n++) {
    outages.failed(gone);
    await schedule.pass(4 * SECOND_MS);
    outages.taken();
    await schedule.pass(9 * SECOND_MS);
  }
  await schedule.pass(2 * SECOND_MS);
  outages.failed(gone);
  const [second, first] = outages.list();
  assert.deepEqual([first?.interruptions, first?.tries], [5, 5]);
  assert.equal(first?.lengthMs, 4 * 13 * SECOND_MS + 4 * SECOND_MS);
  assert.deepEqual([second?.id, second?.interruptions], [2, 1]);
  assert.deepEqual(outages.counters(), { outages: 2, seconds: 20 }, 'only while it was down');
});

test('outages: the wall clock may jump in the middle of one', async (t) => {
  const { outages, schedule } = await fixture(t);
  outages.failed(gone);
  await schedule.pass(MINUTE_MS);
  schedule.clock.jump(-3_600_000);
  await schedule.pass(MINUTE_MS);
  outages.taken();
  const [outage] = outages.list();
  assert.equal(outage?.lengthMs, 2 * MINUTE_MS);
  assert.ok((outage?.endedMs ?? 0) >= (outage?.startedMs ?? Number.POSITIVE_INFINITY));
});

test('outages: a restart and a reboot in the middle continue the same one', async (t) => {
  const folder = await temporaryFolder(t);
  const schedule = new FakeSchedule();
  const { clock } = schedule;
  const run = async (work: (history: Awaited<ReturnType<typeof historyOf>>) => Promise<void>) => {
    const log = await openTestLog(folder, { clock });
    const history = await historyOf(log, schedule);
    await work(history);
    history.outages.stop();
    await log.close();
    return history;
  };
  const startedMs = clock.wallMs();
  const first = await run(async ({ outages }) => {
    outages.failed(gone);
    await schedule.pass(30 * SECOND_MS);
  });
  assert.deepEqual(
    first.events().map(({ state }) => state),
    ['began'],
  );
  clock.advance(30 * SECOND_MS);
  await run(async ({ outages }) => {
    assert.deepEqual([outages.current()?.lengthMs, outages.current()?.hubStarts], [60_000, 1]);
    outages.failed(gone);
    await schedule.pass(MINUTE_MS);
  });
  clock.reboot();
  clock.jump(MINUTE_MS); // the hour that went by while the machine was off, on its clock
  const last = await run(async ({ outages }) => {
    await schedule.pass(30 * SECOND_MS);
    outages.taken();
    const [outage, ...others] = outages.list();
    assert.deepEqual(others, []);
    const { id, tries, hubStarts, reboots, lengthMs } = outage ?? {};
    assert.deepEqual([id, tries, hubStarts, reboots], [1, 2, 2, 1]);
    assert.equal(outage?.startedMs, startedMs);
    assert.ok((lengthMs ?? 0) >= 2 * MINUTE_MS, `${lengthMs}: at least what it was running`);
  });
  assert.deepEqual(
    last.events().map(({ state }) => state),
    ['ended'],
    'began was told before',
  );
  await run(async ({ outages }) => assert.equal(outages.list().length, 1));
});

test('outages: a hundred are kept, the newest', async (t) => {
  const folder = await temporaryFolder(t);
  const schedule = new FakeSchedule();
  const log = await openTestLog(folder, { clock: schedule.clock });
  const { outages } = await historyOf(log, schedule);
  for (let n = 0; n < 130; n++) {
    outages.failed(gone);
    await schedule.pass(SECOND_MS);
    outages.taken();
    await schedule.pass(MINUTE_MS);
  }
  const ids = outages.list().map(({ id }) => id);
  assert.deepEqual([ids.length, ids[0], ids.at(-1)], [100, 130, 31]);
  await log.close();
  const again = await openTestLog(folder, { clock: schedule.clock });
  afterTest(t, () => again.close());
  const history = await historyOf(again, schedule);
  assert.deepEqual(
    history.outages.list().map(({ id }) => id),
    ids,
  );
});

test('outages: a damaged record is forgotten, the others are there', async (t) => {
  const { outages, schedule, log } = await fixture(t);
  for (let n = 0; n < 3; n++) {
    outages.failed(gone);
    await schedule.pass(MINUTE_MS);
    outages.taken();
    await schedule.pass(MINUTE_MS);
  }
  const [, second] = [...(await entriesOf(log))];
  assert.ok(second);
  const [key, value] = second;
  value[value.length - 3] = (value[value.length - 3] ?? 0) ^ 1;
  await new Promise<void>((resolve) => log.write([{ type: 'put', key, value }], () => resolve()));
  const history = await historyOf(log, schedule);
  assert.deepEqual(
    history.outages.list().map(({ id }) => id),
    [3, 1],
  );
});

async function entriesOf(log: DurableLog): Promise<[Buffer, Buffer][]> {
  await new Promise<void>((resolve) => log.write([], () => resolve()));
  const entries: [Buffer, Buffer][] = [];
  const range = { gte: Buffer.from('u'), lt: Buffer.from('v') };
  for await (const [key, value] of log.entries(range))
    entries.push([Buffer.from(key), Buffer.from(value)]);
  return entries;
}

test('outages: one that lasted 10 s is an event, and its end another', async (t) => {
  const { outages, schedule, told, events } = await fixture(t);
  outages.failed(gone);
  await schedule.pass(9 * SECOND_MS);
  assert.equal(told.length, 0);
  await schedule.pass(2 * SECOND_MS);
  outages.taken();
  const { topic, kind, source } = told[0] ?? {};
  assert.deepEqual([topic, kind, source], ['holdfast/outage', 'outage', 'hub']);
  const [began, ended] = events();
  assert.deepEqual([began.state, began.toTime, began.lengthMs], ['began', null, 10_000]);
  assert.deepEqual([ended.state, ended.lengthMs, ended.sink], ['ended', 11_000, SINK_ID]);
  assert.match(ended.toTime, /^\d{4}-.*Z$/);
  outages.failed(gone);
  await schedule.pass(MINUTE_MS);
  assert.equal(told.length, 3);
});

test('outages: a link that goes down four times a minute is told of once a minute', async (t) => {
  const { outages, schedule, events } = await fixture(t);
  for (let n = 0; n < 20; n++) {
    outages.failed(gone);
    await schedule.pass(12 * SECOND_MS);
    outages.taken();
    await schedule.pass(3 * SECOND_MS);
  }
  const count = events().length;
  assert.ok(count >= 2 * 4 && count <= 2 * 5, `${count} events in 5 minutes`);
});

test('outages: whatever the link does, at most one pair of events a minute, in pairs', async (t) => {
  const { log, schedule } = await fixture(t);
  const step = fc.record({
    fails: fc.boolean(),
    afterMs: fc.integer({ min: 1, max: 40 * SECOND_MS }),
  });
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { outages, events } = await historyOf(log, schedule, `sink-${++run}`);
      for (const { fails, afterMs } of steps) {
        if (fails) outages.failed(gone);
        else outages.taken();
        await schedule.pass(afterMs);
      }
      outages.stop();
      const states = events().map(({ state }) => state);
      states.forEach((state, index) => {
        assert.equal(state, index % 2 === 0 ? 'began' : 'ended');
      });
      const lastedMs = steps.reduce((sum, { afterMs }) => sum + afterMs, 0);
      assert.ok(states.length <= 2 * (lastedMs / MINUTE_MS + 1), states.join());
    }),
    { numRuns: 60 },
  );
});
