/** What broke for others: a changed setting orphans or wipes the backlog (F14). */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../hub/clock/system-clock.ts';
import { LANES } from '../../hub/core/event.ts';
import { sumOfLost } from '../../hub/core/lost-counts.ts';
import { loadPause, pauseOperation } from '../../hub/forward/pause.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import {
  deadLetterKey,
  deadLetterRange,
  governorKey,
  letterNumbersKey,
  outageKey,
} from '../../hub/log/keys.ts';
import type { Rename, SinkPlace } from '../../hub/log/sink-places.ts';
import type { WriteOperation } from '../../hub/log/storage/storage.ts';
import { afterTest } from '../support/after-test.ts';
import { MemoryDisk } from '../support/fault-storage.ts';
import { append, many } from '../support/forwarding.ts';
import { openTestLog } from '../support/log-fixture.ts';
import { SOMEBODY } from '../support/operating.ts';

const oldest = (id: string, formerly?: string): SinkPlace => ({ id, start: 'oldest', formerly });

/** A disk, and a way to have a log on it with some sinks. */
function logOn(t: TestContext) {
  const disk = new MemoryDisk();
  const renames: Rename[] = [];
  const open = async (sinks: readonly SinkPlace[], more = {}) => {
    const observer = { renamed: (rename: Rename) => renames.push(rename) };
    const log = await openTestLog(disk.storage(), { sinks, observer, ...more });
    afterTest(t, () => log.close().catch(() => undefined));
    return log;
  };
  return { disk, open, renames };
}

/** The sink has taken everything below `offset`. */
function settle(log: DurableLog, sink: string, offset: number): void {
  const state = log.cursors.get(sink, 'normal');
  const counts = { ...state.confirmed, offset, delivered: offset - state.start };
  log.settled(sink, 'normal', { ...state, ...counts, confirmed: counts });
}

function write(log: DurableLog, operations: readonly WriteOperation[]): Promise<void> {
  return new Promise((resolve, reject) => {
    log.write(operations, (error) => (error ? reject(error) : resolve()));
  });
}

async function deadLetters(log: DurableLog, sink: string): Promise<string[]> {
  const found: string[] = [];
  for await (const [, value] of log.entries(deadLetterRange(sink))) found.push(value.toString());
  return found;
}

function balance(log: DurableLog, sink: string): number[] {
  return LANES.map((lane) => {
    const cursor = log.cursors.get(sink, lane);
    return cursor.offset - cursor.start - cursor.delivered - sumOfLost(cursor.lost);
  });
}

test('sinks: one that is removed keeps its place, and the log keeps its events', async (t) => {
  const { open } = logOn(t);
  const first = await open([oldest('cloud')]);
  await append(first, many(30));
  settle(first, 'cloud', 12);
  await first.close();
  const without = await open([]);
  await append(without, many(5));
  assert.deepEqual(without.range('normal'), { head: 0, tail: 35 });
  await without.close();
  const again = await open([{ id: 'cloud', start: 'now' }]);
  assert.equal(again.cursors.get('cloud', 'normal').offset, 12, 'whatever else it says');
  assert.deepEqual(balance(again, 'cloud'), [0, 0, 0]);
});

test('sinks: what was trimmed while one was away is in its ledger, and reported', async (t) => {
  const { open } = logOn(t);
  const first = await open([oldest('cloud'), oldest('other')]);
  await append(first, many(10));
  await append(first, many(10));
  settle(first, 'cloud', 4);
  settle(first, 'other', 20);
  await first.close();
  const without = await open([oldest('other')], { ageMaxMs: 0 });
  for (let waited = 0; without.range('normal').head < 20 && waited < 500; waited++)
    await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(without.range('normal').head, 20);
  await without.close();
  const again = await open([oldest('cloud'), oldest('other')]);
  const { offset, lost } = again.cursors.get('cloud', 'normal');
  assert.deepEqual([offset, lost], [20, { age: 16 }]);
  assert.deepEqual(balance(again, 'cloud'), [0, 0, 0]);
  const [report] = again.losses.takeReports().map(({ payload }) => JSON.parse(payload.toString()));
  const { sink, reason, events, firstOffset, lastOffset } = report;
  assert.deepEqual([sink, reason, events, firstOffset, lastOffset], ['cloud', 'age', 16, 4, 19]);
  await again.close();
  const later = await open([oldest('cloud'), oldest('other')]);
  assert.deepEqual(later.cursors.get('cloud', 'normal').lost, { age: 16 }, 'counted once');
});

test('sinks: a new name takes over all that belongs to the old one, once', async (t) => {
  const { open, renames } = logOn(t);
  const first = await open([oldest('old')]);
  await append(first, many(30));
  settle(first, 'old', 12);
  const letters = [0, 1, 2].map((number): WriteOperation => {
    return { type: 'put', key: deadLetterKey('old', number), value: Buffer.alloc(600_000, number) };
  });
  const pause = pauseOperation('old', { sinceMs: 5, by: SOMEBODY });
  const others = [letterNumbersKey, governorKey, (id: string) => outageKey(id, 3)];
  const value = Buffer.from('kept');
  const puts = others.map((keyOf): WriteOperation => ({ type: 'put', key: keyOf('old'), value }));
  await write(first, [...letters, ...puts, pause]);
  await first.close();
  const renamed = await open([oldest('new', 'old')]);
  assert.equal(renamed.cursors.get('new', 'normal').offset, 12);
  assert.deepEqual(
    await deadLetters(renamed, 'new'),
    letters.map((o) => textOf(o)),
  );
  assert.deepEqual(await deadLetters(renamed, 'old'), []);
  assert.deepEqual(await loadPause(renamed, 'new'), { sinceMs: 5, by: SOMEBODY });
  assert.equal(await loadPause(renamed, 'old'), undefined);
  for (const keyOf of others)
    for (const [id, there] of [
      ['new', true],
      ['old', false],
    ] as const)
      assert.equal(await holds(renamed, keyOf(id)), there, `${keyOf(id)}`);
  settle(renamed, 'new', 20);
  await write(renamed, []);
  await renamed.close();
  const later = await open([oldest('new', 'old')]);
  assert.equal(later.cursors.get('new', 'normal').offset, 20, 'not taken over again');
  await later.close();
  assert.deepEqual(renames, [{ sink: 'new', formerly: 'old', taken: true }]);
  const back = await open([oldest('old')]);
  assert.equal(back.cursors.get('old', 'normal').offset, 0, 'the old name is a new sink');
});

async function holds(log: DurableLog, key: Buffer): Promise<boolean> {
  for await (const _ of log.entries({ gte: key, lt: Buffer.concat([key, Buffer.of(0)]) }))
    return true;
  return false;
}

function textOf(operation: WriteOperation): string {
  return operation.type === 'put' ? operation.value.toString() : '';
}

test('sinks: a sink that has a place keeps it, whatever it was formerly', async (t) => {
  const { open, renames } = logOn(t);
  const first = await open([oldest('a'), oldest('b')]);
  await append(first, many(10));
  settle(first, 'a', 4);
  settle(first, 'b', 7);
  await first.close();
  const log = await open([oldest('b', 'a')]);
  assert.equal(log.cursors.get('b', 'normal').offset, 7);
  assert.deepEqual(renames, [{ sink: 'b', formerly: 'a', taken: false }]);
});

test('sinks: a power cut while a name is taken over leaves it to the next start', async (t) => {
  const { disk, open } = logOn(t);
  const first = await open([oldest('old')]);
  await append(first, many(30));
  settle(first, 'old', 12);
  const key = deadLetterKey('old', 0);
  await write(first, [{ type: 'put', key, value: Buffer.from('letter') }]);
  await write(first, []);
  await first.close();
  for (let cutAt = 0; ; cutAt++) {
    let writes = 0;
    const storage = disk.storage();
    const cutting = {
      ...storage,
      write: async (...args: Parameters<typeof storage.write>) => {
        if (writes++ === cutAt) throw Object.assign(new Error('power cut'), { code: 'EIO' });
        await storage.write(...args);
      },
    };
    const opened = await openTestLog(cutting, { sinks: [oldest('new', 'old')] }).catch(() => {});
    disk.powerCut();
    if (!opened) continue;
    assert.ok(cutAt > 0, 'it was cut at least once');
    break;
  }
  const log = await open([oldest('new', 'old')]);
  assert.equal(log.cursors.get('new', 'normal').offset, 12);
  assert.deepEqual(await deadLetters(log, 'new'), ['letter']);
  assert.deepEqual(await deadLetters(log, 'old'), []);
});

test('sinks: begin at the oldest event, now, or at a time', async (t) => {
  const { open } = logOn(t);
  const clock = systemClock();
  const first = await open([]);
  await append(first, many(10));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const timeMs = clock.wallMs();
  await append(first, many(10));
  await first.close();
  const starts = { all: 'oldest', later: 'now', at: timeMs, ever: 0, never: timeMs + 9e9 } as const;
  const sinks = Object.entries(starts).map(([id, start]) => ({ id, start }));
  const log = await open(sinks);
  const places = sinks.map(({ id }) => log.cursors.get(id, 'normal'));
  assert.deepEqual(
    places.map(({ start }) => start),
    [0, 20, 10, 0, 20],
  );
  assert.ok(places.every(({ start, offset }) => start === offset));
  settle(log, 'at', 15);
  await write(log, []);
  await log.close();
  const again = await open(sinks);
  assert.deepEqual(
    sinks.map(({ id }) => again.cursors.get(id, 'normal').offset),
    [0, 20, 15, 0, 20],
  );
});
