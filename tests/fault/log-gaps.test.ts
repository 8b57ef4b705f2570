/**
 * Goal: what is gone is missed, whatever it was: the end of the log, its middle, its beginning, all
 * of it. Method: keys vanish from a disk in memory, as they do when LevelDB loses a part of a file
 * without noticing; the high-water mark is kept apart.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockRange, metaKey } from '../../hub/log/keys.ts';
import type { KeyRange } from '../../hub/log/storage/storage.ts';
import { MemoryDisk } from '../support/fault-storage.ts';
import { appendBlocks, openTestLog, readAll, settleTo } from '../support/log-fixture.ts';
import { memoryMark } from '../support/memory-mark.ts';
import { until } from '../support/until.ts';

const SINKS = [{ id: 'cloud', start: 'oldest' }] as const;
const EVENTS = 30;
const EVERYTHING: KeyRange = { gte: Buffer.alloc(0), lt: Buffer.from([0xff]) };

/** Six blocks of five events, of which a sink has settled ten. */
async function writtenLog() {
  const disk = new MemoryDisk();
  const mark = memoryMark();
  const log = await openTestLog(disk.storage(), { mark, sinks: SINKS });
  await appendBlocks(log, 6, 5);
  settleTo(log, 'cloud', 'normal', 10);
  await log.close();
  return { disk, mark, id: log.id };
}

async function remove(disk: MemoryDisk, range: KeyRange): Promise<void> {
  const operations = disk.keys(range).map((key) => ({ type: 'del' as const, key }));
  await disk.storage().write(operations, { sync: true });
}

const places = [
  { what: 'the end', from: 20, to: 30, withState: true },
  { what: 'the end, and the positions with it', from: 20, to: 30, withState: false },
  { what: 'the middle', from: 10, to: 15, withState: true },
  { what: 'the beginning', from: 0, to: 5, withState: true },
  { what: 'every block', from: 0, to: 30, withState: true },
];

for (const { what, from, to, withState } of places) {
  test(`${what} is gone: noticed, counted once, and no offset is used again`, async () => {
    const { disk, mark } = await writtenLog();
    await remove(disk, blockRange('normal', from, to));
    if (!withState) await remove(disk, { gte: metaKey(''), lt: metaKey('~') });
    const problems: unknown[] = [];
    for (let start = 0; start < 3; start++) {
      const log = await openTestLog(disk.storage(), {
        mark,
        sinks: SINKS,
        observer: { damaged: (lane, range) => problems.push([lane, range.from, range.to]) },
      });
      await log.checked();
      assert.deepEqual(log.range('normal'), { head: 0, tail: EVENTS });
      assert.deepEqual(problems, [['normal', from, to]], 'told once, over all starts');
      assert.deepEqual(log.damagedRanges('normal'), [{ from, to }]);
      const lost = [{ lane: 'normal', reason: 'corrupt', events: to - from }];
      assert.deepEqual([...log.losses.entries()], lost);
      const offsets = (await readAll(log)).map(({ offset }) => offset);
      const all = [...Array(EVENTS).keys()];
      assert.deepEqual(
        offsets,
        all.filter((offset) => offset < from || offset >= to),
      );
      await log.close();
    }
    const log = await openTestLog(disk.storage(), { mark, sinks: SINKS });
    await appendBlocks(log, 1, 2);
    assert.equal((await readAll(log, 'normal', EVENTS))[0]?.offset, EVENTS);
    await log.close();
  });
}

test('everything is gone but the mark: the same log goes on where it was', async () => {
  const { disk, mark, id } = await writtenLog();
  await remove(disk, EVERYTHING);
  const log = await openTestLog(disk.storage(), { mark, sinks: SINKS });
  await log.checked();
  assert.equal(log.id, id);
  assert.deepEqual(log.range('normal'), { head: 0, tail: EVENTS });
  assert.equal(log.losses.total, EVENTS);
  await log.close();
});

test('a mark of another log is not believed', async () => {
  const { mark } = await writtenLog();
  const disk = new MemoryDisk();
  const other = await openTestLog(disk.storage());
  await appendBlocks(other, 1, 3);
  await other.close();
  const log = await openTestLog(disk.storage(), { mark });
  assert.equal(log.id, other.id);
  assert.deepEqual(log.range('normal'), { head: 0, tail: 3 });
  await log.close();
});

test('the loss is an event that names the range and the time', async () => {
  const { disk, mark } = await writtenLog();
  await remove(disk, blockRange('normal', 10, 20));
  const log = await openTestLog(disk.storage(), { mark, sinks: SINKS });
  await until('the report', () => log.range('alarm').tail > 0);
  const [report] = await readAll(log, 'alarm');
  const { fromTime, toTime, ...loss } = JSON.parse(report?.payload.toString() ?? '');
  assert.deepEqual(loss, {
    lane: 'normal',
    reason: 'corrupt',
    events: 10,
    firstOffset: 10,
    lastOffset: 19,
    ranges: [{ firstOffset: 10, lastOffset: 19 }],
  });
  assert.ok(Date.parse(fromTime) <= Date.parse(toTime));
  await log.close();
});
