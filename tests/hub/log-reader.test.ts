import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { blockRange } from '../../hub/log/keys.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FaultStorage, MemoryDisk } from '../support/fault-storage.ts';
import { appendBlocks, appended, message, openTestLog, readAll } from '../support/log-fixture.ts';
import { until } from '../support/until.ts';

test('what was just written reads the same from memory and from disk, from any offset', async () => {
  const disk = new MemoryDisk();
  const warm = await openTestLog(disk.storage());
  await appendBlocks(warm, 6, 5);
  const counting = new FaultStorage(disk.storage());
  const cold = await openTestLog(counting);
  const readsBefore = counting.reads;
  for (let offset = 0; offset <= 31; offset++) {
    for (const bytesMax of [1, 60, 10_000]) {
      const fromMemory = await readAll(warm, 'normal', offset, bytesMax);
      const fromDisk = await readAll(cold, 'normal', offset, bytesMax);
      assert.deepEqual(fromMemory, fromDisk);
      const wanted = Array.from({ length: Math.max(0, 30 - offset) }, (_, index) => offset + index);
      assert.deepEqual(
        fromDisk.map((event) => event.offset),
        wanted,
      );
    }
  }
  assert.ok(counting.reads > readsBefore, 'the cold log did read');
  await warm.close();
  await cold.close();
});

test('a reader that keeps up never touches the disk', async () => {
  const storage = new FaultStorage(new MemoryDisk().storage());
  const log = await openTestLog(storage);
  await appendBlocks(log, 4, 5);
  const before = storage.reads;
  assert.equal((await log.read('normal', 0, 1_000_000)).length, 4);
  assert.equal(storage.reads, before);
  await log.close();
});

test('a read holds at least one block and stops at about bytesMax', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk.storage());
  await appendBlocks(log, 4, 5);
  for (const reader of [log, await openTestLog(disk.storage())]) {
    assert.equal((await reader.read('normal', 0, 1)).length, 1);
    assert.deepEqual(
      (await reader.read('normal', 7, 1)).map(({ firstOffset }) => firstOffset),
      [5],
    );
    assert.deepEqual(await reader.read('normal', 20, 1_000), []);
    await reader.close();
  }
});

test('seek by time agrees with a linear search, also over damaged blocks', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ stepMs: fc.nat(50), events: fc.integer({ min: 1, max: 4 }) }), {
        minLength: 1,
        maxLength: 12,
      }),
      fc.array(fc.nat(11), { maxLength: 3 }),
      async (plan, damaged) => {
        const disk = new MemoryDisk();
        const clock = new FakeClock();
        const startMs = clock.wallMs();
        const writer = await openTestLog(disk.storage(), { clock });
        for (const { stepMs, events } of plan) {
          clock.advance(stepMs);
          await appendBlocks(writer, 1, events);
        }
        await writer.close();
        const keys = disk.keys(blockRange('normal', 0, 1_000));
        for (const index of new Set(damaged)) if (keys[index]) disk.flip(keys[index], 20);
        const log = await openTestLog(disk.storage(), { clock });
        const blocks = await log.read('normal', 0, 1_000_000);
        for (let ms = startMs - 1; ms <= clock.wallMs() + 1; ms += 7) {
          const found = await log.seek('normal', ms);
          const linear = blocks.find(({ lastReceivedMs }) => lastReceivedMs >= ms)?.firstOffset;
          const { tail } = log.range('normal');
          if (linear !== undefined) assert.equal(found, linear);
          else assert.deepEqual(await readAll(log, 'normal', Math.min(found, tail)), []);
        }
        await log.close();
      },
    ),
    { numRuns: 40 },
  );
});

test('opening reads a few records, however long the log is', async () => {
  const disk = new MemoryDisk();
  const clock = new FakeClock();
  const log = await openTestLog(disk.storage(), { clock });
  const payload = Buffer.alloc(20, 'x');
  let open = 200_000;
  for (let number = 0; number < 200_000; number++) {
    log.append({ ...message(0), payload }, 'normal', () => open--);
    if (number % 2_000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await until('all are acknowledged', () => open === 0);
  await log.close();
  assert.ok(disk.keys(blockRange('normal', 0, 1_000_000)).length > 10);
  const storage = new FaultStorage(disk.storage());
  const again = await openTestLog(storage, { clock, sinks: [{ id: 'cloud', start: 'oldest' }] });
  // the check of every block has begun by then, and has read a little as well
  assert.ok(storage.reads <= 24, `${storage.reads} reads`);
  assert.equal(again.acceptedEvents, 200_000);
  assert.deepEqual(again.range('normal'), { head: 0, tail: 200_000 });
  assert.equal(again.status().bytes, log.status().bytes);
  await again.close();
});

test('a read that goes on while its blocks are trimmed sees no event twice and none out of order', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk.storage(), { bytesMax: 4_000, whenFull: 'drop_oldest' });
  await appendBlocks(log, 10, 5);
  const reading = log.read('normal', 3, 1_000_000);
  await appendBlocks(log, 40, 5);
  const offsets = (await reading).flatMap(({ firstOffset, count }) =>
    Array.from({ length: count }, (_, index) => firstOffset + index),
  );
  assert.deepEqual(
    offsets,
    offsets.toSorted((a, b) => a - b),
  );
  const { head } = log.range('normal');
  assert.ok(head > 3, 'it was trimmed');
  const [first] = await readAll(log, 'normal', 3);
  assert.equal(
    first?.offset,
    log.range('normal').head,
    'a reader in a dropped block goes on at the head',
  );
  await appended(log, message('last'));
  await log.close();
});
