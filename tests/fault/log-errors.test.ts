/**
 * Goal: an error of the card never makes an acknowledgement a lie, never stops the hub for good,
 * and damage never keeps it from opening. Method: every write of a scripted run fails once, before
 * and after it reached the disk; bits are flipped in the first, a middle and the last block.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { HubError } from '../../hub/core/errors.ts';
import { blockRange, LOST_RANGE, metaKey } from '../../hub/log/keys.ts';
import { openRecord, sealRecord } from '../../hub/log/record.ts';
import { levelStorage } from '../../hub/log/storage/level-storage.ts';
import type { Finding } from '../../hub/log/storage/storage.ts';
import { afterTest } from '../support/after-test.ts';
import { FaultStorage, MemoryDisk, systemError } from '../support/fault-storage.ts';
import {
  appendBlocks,
  appended,
  message,
  openTestLog,
  readAll,
  settleTo,
} from '../support/log-fixture.ts';
import { memoryMark } from '../support/memory-mark.ts';
import { until } from '../support/until.ts';

const SINKS = [{ id: 'cloud', start: 'oldest' }] as const;
const BLOCKS = 5;
const EVENTS_EACH = 10;
const ALL = BLOCKS * EVENTS_EACH;

/**
 * Appends, settles, and answers which numbers were acknowledged, in the order in which they
 * were.
 */
async function scriptedRun(storage: FaultStorage): Promise<number[]> {
  const log = await openTestLog(storage, { sinks: SINKS });
  const order: number[] = [];
  for (let round = 0; round < BLOCKS; round++) {
    const first = round * EVENTS_EACH;
    const group = Array.from({ length: EVENTS_EACH }, async (_, index) => {
      await appended(log, message(first + index));
      order.push(first + index);
    });
    await Promise.all(group);
    settleTo(log, 'cloud', 'normal', first);
  }
  assert.equal(log.problem, undefined, 'the trouble is over');
  await log.close();
  return order;
}

async function storedNumbers(disk: MemoryDisk): Promise<number[]> {
  const log = await openTestLog(disk.storage(), { sinks: SINKS });
  const events = await readAll(log);
  assert.deepEqual(
    events.map(({ offset }) => offset),
    [...events.keys()],
  );
  await log.close();
  return events.map(({ payload }) => Number(payload.toString()));
}

for (const code of ['ENOSPC', 'EIO'] as const) {
  for (const when of ['before', 'after'] as const) {
    test(`every write of a run fails once with ${code}, ${when} it reached the disk`, async () => {
      const smooth = new FaultStorage(new MemoryDisk().storage());
      await scriptedRun(smooth);
      // the first write is the identity of a new log: a hub that cannot write that does not start
      for (let n = 2; n <= smooth.writes; n++) {
        const disk = new MemoryDisk();
        const storage = new FaultStorage(disk.storage());
        storage.onWrite(n, { when, error: systemError(code) });
        const order = await scriptedRun(storage);
        const { opens, closes } = storage;
        assert.deepEqual(
          { opens, closes },
          { opens: 2, closes: 2 },
          `a new handle after write ${n}`,
        );
        assert.deepEqual(order, [...Array(ALL).keys()]);
        disk.powerCut();
        assert.deepEqual(await storedNumbers(disk), order);
      }
    });
  }
}

test('a card that cannot be opened again for a while is waited for', async () => {
  const storage = new FaultStorage(new MemoryDisk().storage());
  const troubles: (string | undefined)[] = [];
  const log = await openTestLog(storage, {
    observer: { trouble: (problem) => troubles.push(problem) },
  });
  storage.onWrite(storage.writes + 1, { when: 'before', error: systemError('EIO') });
  storage.refuseOpens(2);
  await appended(log, message(1));
  assert.match(troubles[0] ?? '', /cannot write to the log: EIO/);
  assert.equal(troubles.at(-1), undefined);
  assert.equal(log.problem, undefined);
  await log.close();
});

test('closing ends although the card takes nothing, and acknowledges nothing', async () => {
  const storage = new FaultStorage(new MemoryDisk().storage());
  const log = await openTestLog(storage);
  storage.dead = systemError('EIO');
  const errors: (string | undefined)[] = [];
  for (let number = 0; number < 3; number++) {
    log.append(message(number), 'normal', (error?: HubError) => errors.push(error?.code));
  }
  await until('the write has failed', () => log.problem !== undefined);
  log.append(message(3), 'normal', (error) => errors.push(error?.code));
  await log.close();
  assert.deepEqual(errors, Array(4).fill('LOG_NOT_OPEN'));
  log.append(message(4), 'normal', (error) => errors.push(error?.code));
  assert.equal(errors.at(-1), 'LOG_CLOSED');
});

test('cursors and counts survive a trim whose write fails', async () => {
  const disk = new MemoryDisk();
  const storage = new FaultStorage(disk.storage());
  const log = await openTestLog(storage, { sinks: SINKS, ageMaxMs: 0 });
  await appendBlocks(log, 3, 4);
  storage.onWrite(storage.writes + 1, { when: 'before', error: systemError('ENOSPC') });
  settleTo(log, 'cloud', 'normal', 8);
  await until('the head has moved', () => log.range('normal').head === 8);
  await log.close();
  assert.equal(disk.keys(blockRange('normal', 0, 8)).length, 0, 'no block is left behind the head');
  const again = await openTestLog(disk.storage(), { sinks: SINKS });
  assert.equal(again.cursors.get('cloud', 'normal').offset, 8);
  await again.close();
});

test('a second hub on the same folder is refused, with a clear text', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-lock-'));
  afterTest(t, () => rm(folder, { recursive: true, force: true }));
  const log = await openTestLog(levelStorage(folder));
  await assert.rejects(openTestLog(levelStorage(folder)), (error: HubError) => {
    assert.equal(error.code, 'LOG_LOCKED');
    assert.equal(error.message, `${folder} is in use by another hub`);
    return true;
  });
  await log.close();
  const again = await openTestLog(levelStorage(folder));
  await again.close();
});

test('a folder that cannot be used is LOG_NOT_OPEN, and says which', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-unwritable-'));
  afterTest(t, () => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'file');
  await writeFile(file, 'in the way');
  await assert.rejects(openTestLog(levelStorage(join(file, 'log'))), (error: HubError) => {
    assert.equal(error.code, 'LOG_NOT_OPEN');
    assert.ok(error.message.startsWith(`cannot open the log in ${join(file, 'log')}: `));
    assert.match(error.message, /ENOTDIR/);
    return true;
  });
});

for (const [where, index] of [
  ['first', 0],
  ['middle', 2],
  ['last', BLOCKS - 1],
] as const) {
  for (const byte of [0, 4, 8, 16, 70]) {
    test(`the ${where} block is damaged at byte ${byte}: left out, counted, set aside`, async () => {
      const disk = new MemoryDisk();
      const before = await openTestLog(disk.storage(), { sinks: SINKS });
      await appendBlocks(before, BLOCKS, EVENTS_EACH);
      await before.close();
      const key = disk.keys(blockRange('normal', 0, ALL))[index];
      assert.ok(key);
      disk.flip(key, byte);

      const places: number[] = [];
      const observer = {
        damaged: (_lane: string, { from }: { from: number }) => places.push(from),
      };
      const log = await openTestLog(disk.storage(), { sinks: SINKS, observer });
      const firstLost = index * EVENTS_EACH;
      for (let reader = 0; reader < 3; reader++) {
        const offsets = (await readAll(log)).map(({ offset }) => offset);
        const lost = (offset: number) => offset >= firstLost && offset < firstLost + EVENTS_EACH;
        assert.deepEqual(
          offsets,
          [...Array(ALL).keys()].filter((offset) => !lost(offset)),
        );
      }
      await appendBlocks(log, 1, EVENTS_EACH);
      assert.deepEqual(log.range('normal'), { head: 0, tail: ALL + EVENTS_EACH });
      await until('it is counted', () => log.losses.total > 0);
      await log.close();
      const again = await openTestLog(disk.storage(), { sinks: SINKS, observer });
      assert.equal((await readAll(again)).length, ALL);
      assert.deepEqual(
        [...again.losses.entries()],
        [{ lane: 'normal', reason: 'corrupt', events: EVENTS_EACH }],
      );
      assert.deepEqual(places, [firstLost], 'reported once, also over a restart');
      assert.equal(disk.keys(LOST_RANGE).length, 1);
      // the gap does not hold up trimming
      settleTo(again, 'cloud', 'normal', ALL + EVENTS_EACH);
      await again.close();
      const trimmed = await openTestLog(disk.storage(), { sinks: SINKS, ageMaxMs: 0 });
      await until('all is trimmed', () => trimmed.range('normal').head === ALL + EVENTS_EACH);
      assert.equal(trimmed.losses.total, EVENTS_EACH);
      await trimmed.close();
    });
  }
}

test('the positions are damaged as well as the last block: offsets are still not reused', async () => {
  const disk = new MemoryDisk();
  const before = await openTestLog(disk.storage());
  await appendBlocks(before, BLOCKS, EVENTS_EACH);
  await before.close();
  const last = disk.keys(blockRange('normal', 0, ALL)).at(-1);
  assert.ok(last);
  disk.flip(last, 70);
  disk.flip(metaKey('lane-normal'), 5);
  const log = await openTestLog(disk.storage());
  assert.ok(log.range('normal').tail >= ALL);
  assert.equal(log.range('normal').head, 0);
  assert.equal((await readAll(log)).length, ALL - EVENTS_EACH);
  await log.close();
});

test('a block that vanished is noticed, counted once, and passed over', async () => {
  const disk = new MemoryDisk();
  const before = await openTestLog(disk.storage());
  await appendBlocks(before, 3, 4);
  const [, middle] = disk.keys(blockRange('normal', 0, 12));
  assert.ok(middle);
  await before.close();
  const raw = disk.storage();
  await raw.write([{ type: 'del', key: middle }], { sync: true });
  const log = await openTestLog(disk.storage());
  for (let reader = 0; reader < 2; reader++) {
    assert.deepEqual(
      (await readAll(log)).map(({ offset }) => offset),
      [0, 1, 2, 3, 8, 9, 10, 11],
    );
  }
  await until('it is counted', () => log.losses.total === 4);
  await log.close();
});

test('a lost tail: what a sink has seen is never given again', async () => {
  const disk = new MemoryDisk();
  const before = await openTestLog(disk.storage(), { sinks: SINKS });
  await appendBlocks(before, 3, 4);
  settleTo(before, 'cloud', 'normal', 12);
  await before.close();
  const raw = disk.storage();
  const lost = disk.keys(blockRange('normal', 8, 12));
  const operations = lost.map((key) => ({ type: 'del', key }) as const);
  await raw.write([...operations, { type: 'del', key: metaKey('lane-normal') }], { sync: true });
  const log = await openTestLog(disk.storage(), { sinks: SINKS });
  assert.equal(log.range('normal').tail, 12);
  await appendBlocks(log, 1, 4);
  assert.deepEqual(
    (await readAll(log, 'normal', 12)).map(({ offset }) => offset),
    [12, 13, 14, 15],
  );
  await log.close();
});

test('a damaged cursor begins again at the head: duplicates, never a loss', async () => {
  const disk = new MemoryDisk();
  const sinks = [{ id: 'cloud', start: 'now' }] as const;
  const before = await openTestLog(disk.storage(), { sinks });
  await appendBlocks(before, 2, 4);
  settleTo(before, 'cloud', 'normal', 4);
  await before.close();
  disk.flip(Buffer.from('ccloud\0normal'), 12);
  const log = await openTestLog(disk.storage(), { sinks });
  assert.equal(log.cursors.get('cloud', 'normal').offset, 0);
  await log.close();
});

test('a log of a newer format is set aside as a whole, and a new one begins', async () => {
  const disk = new MemoryDisk();
  const mark = memoryMark();
  const before = await openTestLog(disk.storage(), { mark });
  await appendBlocks(before, 2, 3);
  await before.close();
  const raw = disk.storage();
  const identity = openRecord<object>(await raw.get(metaKey('identity')));
  const value = sealRecord({ ...identity, format: 99 });
  await raw.write([{ type: 'put', key: metaKey('identity'), value }], { sync: true });
  const found: string[] = [];
  const observer = { found: ({ problem }: Finding) => found.push(problem) };
  const log = await openTestLog(disk.storage(), { mark, observer });
  assert.deepEqual(found, ['it has format 99, this hub reads and writes 1']);
  assert.notEqual(log.id, before.id, 'so that no event id is used twice');
  assert.deepEqual(log.range('normal'), { head: 0, tail: 0 });
  await log.close();
});
