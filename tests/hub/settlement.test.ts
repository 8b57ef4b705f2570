import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Clock } from '../../hub/core/clock.ts';
import type { Run } from '../../hub/forward/batcher.ts';
import { DEAD_LETTERS_MAX, DeadLetters } from '../../hub/forward/dead-letters.ts';
import { Settlement } from '../../hub/forward/settlement.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import type { Storage } from '../../hub/log/storage/storage.ts';
import { afterTest } from '../support/after-test.ts';
import { interposed } from '../support/fault-storage.ts';
import {
  append,
  cursorBalance,
  many,
  openTestLog,
  SINK_ID,
  testLog,
} from '../support/forwarding.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const WINDOW_MS = 60_000;

function handClock(): Clock & { nowMs: number } {
  const clock = {
    nowMs: 1_000,
    wallMs: () => clock.nowMs,
    monotonicMs: () => clock.nowMs,
    synced: () => true,
    sync: () => ({ state: 'synced' as const }),
    bootId: 'boot',
  };
  return clock;
}

async function runOf(log: DurableLog, from: number, to: number): Promise<Run> {
  const events = (await log.read('normal', from, 1_000_000)).flatMap((block) =>
    Array.from({ length: block.count }, (_, index) => block.eventAt(index)),
  );
  return {
    lane: 'normal',
    from,
    to,
    events: events.filter(({ offset }) => offset >= from && offset < to),
    filtered: 0,
    dropped: 0,
    corrupt: 0,
    thinned: 0,
    full: false,
  };
}

const confirmedOf = (log: DurableLog) => log.cursors.get(SINK_ID, 'normal').confirmed.offset;
const offsetOf = (log: DurableLog) => log.cursors.get(SINK_ID, 'normal').offset;

async function windowed(t: TestContext, events: number) {
  const clock = handClock();
  const log = await testLog(t, clock);
  await append(log, many(events));
  const settlement = new Settlement(log, SINK_ID, clock, WINDOW_MS);
  return { clock, log, settlement };
}

test('settlement: without a confirm window an acknowledgement is final', async (t) => {
  const log = await testLog(t);
  await append(log, many(5));
  const settlement = new Settlement(log, SINK_ID, handClock(), 0);
  await settlement.settle(await runOf(log, 0, 3), []);
  assert.equal(confirmedOf(log), 3);
  assert.equal(settlement.seen('another'), false);
  assert.equal(offsetOf(log), 3);
  assert.equal(settlement.checkIntervalMs, Number.POSITIVE_INFINITY);
});

test('settlement: every offset is delivered, filtered, a dead letter or lost', async (t) => {
  const log = await testLog(t);
  await append(log, many(10));
  const settlement = new Settlement(log, SINK_ID, handClock(), 0);
  const letters = new DeadLetters(log, SINK_ID);
  const run = await runOf(log, 0, 10);
  const [poison] = run.events;
  assert.ok(poison);
  const part = { ...run, events: run.events.slice(0, 4), filtered: 3, dropped: 2, corrupt: 1 };
  await settlement.settle(part, [letters.add(poison, 'bad', 0)]);
  const { delivered, filtered, deadLettered, lost } = log.cursors.get(SINK_ID, 'normal');
  assert.deepEqual([delivered, filtered, deadLettered], [3, 3, 1]);
  assert.deepEqual(lost, { full: 2, corrupt: 1 });
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('settlement: a run out of turn is a defect, not a hole', async (t) => {
  const log = await testLog(t);
  await append(log, many(5));
  const settlement = new Settlement(log, SINK_ID, handClock(), 0);
  await assert.rejects(settlement.settle(await runOf(log, 2, 3), []), /in order/);
  assert.equal(offsetOf(log), 0);
});

test('settlement: confirmed when the same instance is alive a window later, not before', async (t) => {
  const { clock, log, settlement } = await windowed(t, 10);
  settlement.seen('one');
  await settlement.settle(await runOf(log, 0, 4), []);
  clock.nowMs += 2_000; // the next mark
  await settlement.settle(await runOf(log, 4, 6), []);
  assert.equal(confirmedOf(log), 0);
  clock.nowMs += WINDOW_MS - 1;
  assert.equal(settlement.seen('one'), false);
  assert.equal(confirmedOf(log), 0, 'the second part is a millisecond too young');
  clock.nowMs += 1;
  settlement.seen('one');
  assert.equal(confirmedOf(log), 6);
});

test('settlement: the last events before a silence are confirmed too', async (t) => {
  const { clock, log, settlement } = await windowed(t, 10);
  settlement.seen('one');
  await settlement.settle(await runOf(log, 0, 3), []);
  for (let i = 0; i < 3; i++) {
    clock.nowMs += WINDOW_MS;
    settlement.seen('one');
  }
  assert.equal(confirmedOf(log), 3);
});

test('settlement: another instance sends the cursor back, with its counts', async (t) => {
  const { clock, log, settlement } = await windowed(t, 10);
  settlement.seen('one');
  await settlement.settle(await runOf(log, 0, 4), []);
  for (let i = 0; i < 2; i++) {
    clock.nowMs += WINDOW_MS;
    settlement.seen('one');
  }
  await settlement.settle(await runOf(log, 4, 9), []);
  assert.equal(settlement.seen('two'), true);
  const { offset, delivered, instance } = log.cursors.get(SINK_ID, 'normal');
  assert.deepEqual([offset, delivered, instance], [4, 4, 'two']);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
  assert.equal(settlement.seen('two'), false, 'once');
});

test('settlement: the rewind point and the instance outlive a restart of the hub', async (t) => {
  const folder = await temporaryFolder(t);
  const clock = handClock();
  const before = await openTestLog(folder, { clock });
  await append(before, many(6));
  const first = new Settlement(before, SINK_ID, clock, WINDOW_MS);
  first.seen('one');
  await first.settle(await runOf(before, 0, 6), []);
  await before.close();
  const after = await openTestLog(folder, { clock });
  afterTest(t, () => after.close());
  const second = new Settlement(after, SINK_ID, clock, WINDOW_MS);
  assert.equal(offsetOf(after), 6);
  assert.equal(second.seen('two'), true);
  assert.equal(offsetOf(after), 0);
});

test('settlement: a far side without a name for its instance is confirmed by time', async (t) => {
  const { clock, log, settlement } = await windowed(t, 3);
  await settlement.settle(await runOf(log, 0, 3), []);
  for (let i = 0; i < 2; i++) {
    clock.nowMs += WINDOW_MS;
    settlement.seen(undefined);
  }
  assert.equal(confirmedOf(log), 3, 'or the log would never be trimmed');
});

interface Note {
  readonly letters: number;
  readonly offset: number;
}

/** Notes what each write has of cursor and dead letters, and lets it wait for `gate`. */
function noting(notes: Note[], gate: () => Promise<void>) {
  return (storage: Storage): Storage =>
    interposed(storage, {
      async write(operations, options) {
        const cursor = operations.findLast(({ key }) => key.toString() === `c${SINK_ID}\0normal`);
        const letters = operations.filter(({ key }) => key[0] === 0x64).length;
        const state = cursor?.type === 'put' ? cursor.value.toString() : '';
        const offset = Number(/"offset":(\d+)/.exec(state)?.[1] ?? 0);
        notes.push({ letters, offset });
        await gate();
        await storage.write(operations, options);
      },
    });
}

test('dead letters: no write has the cursor behind them without them', async (t) => {
  const notes: Note[] = [];
  let gate = Promise.resolve();
  const storage = noting(notes, () => gate);
  const log = await openTestLog(await temporaryFolder(t), { storage });
  afterTest(t, () => log.close());
  await append(log, many(3));
  const settlement = new Settlement(log, SINK_ID, handClock(), 0);
  const letters = new DeadLetters(log, SINK_ID);
  const run = await runOf(log, 0, 3);
  const [poison] = run.events;
  assert.ok(poison);
  let open = () => {};
  gate = new Promise((resolve) => {
    open = resolve;
  });
  const before = notes.length;
  // one write is under way and a full group waits: it takes cursors along, and goes first
  const appending = [append(log, many(1))];
  await until('a write', () => notes.length > before);
  appending.push(append(log, many(1), 'normal', Buffer.alloc(1_200_000)));
  const settling = settlement.settle(run, [letters.add(poison, 'bad', 0)]);
  open();
  await Promise.all([...appending, settling]);
  const first = notes.find(({ offset }) => offset === 3);
  assert.ok(first && first.letters > 0, JSON.stringify(notes));
});

test('dead letters: counted, numbered on and kept with their payload over a restart', async (t) => {
  const folder = await temporaryFolder(t);
  const before = await openTestLog(folder);
  await append(before, many(2), 'normal', Buffer.from('payload'));
  const run = await runOf(before, 0, 2);
  const [one, two] = run.events;
  assert.ok(one && two);
  const first = new DeadLetters(before, SINK_ID);
  await new Settlement(before, SINK_ID, handClock(), 0).settle(run, [first.add(one, 'bad', 7)]);
  await before.close();
  const log = await openTestLog(folder);
  afterTest(t, () => log.close());
  const letters = new DeadLetters(log, SINK_ID);
  await letters.load();
  assert.equal(letters.count, 1);
  const added = letters.add(two, 'worse', 8);
  await new Promise<void>((resolve) => log.write([added], () => resolve()));
  const kept = await letters.page({ order: 'oldest', limit: 10 }, (letter) => letter);
  assert.deepEqual(
    kept.map(({ number, reason, event }) => [number, reason, event]),
    [
      [0, 'bad', { ...one, payload: one.payload }],
      [1, 'worse', { ...two, payload: two.payload }],
    ],
  );
});

test('dead letters: bounded in number and in bytes', async (t) => {
  const log = await testLog(t);
  await append(log, many(1));
  const [event] = (await runOf(log, 0, 1)).events;
  assert.ok(event);
  const letters = new DeadLetters(log, SINK_ID);
  for (let i = 0; i < DEAD_LETTERS_MAX; i++)
    letters.add({ ...event, payload: event.payload, offset: i }, 'bad', 0);
  assert.equal(letters.hasRoomFor([event]), false);
  const large = new DeadLetters(log, SINK_ID);
  const payload = Buffer.alloc(1024 * 1024);
  let kept = 0;
  for (; large.hasRoomFor([{ ...event, payload }]); kept++)
    large.add({ ...event, offset: kept, payload }, 'x', 0);
  assert.ok(kept > 10 && kept < 64, `${kept} MiB`);
  await until('the log to be idle', () => log.pendingBytes === 0);
});
