import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { HubError } from '../../hub/core/errors.ts';
import { LANES } from '../../hub/core/event.ts';
import { PROFILES } from '../../hub/log/commit/gathering.ts';
import { blockRange, sessionKey } from '../../hub/log/keys.ts';
import type { MarkFacts } from '../../hub/log/mark.ts';
import { FaultStorage, MemoryDisk } from '../support/fault-storage.ts';
import { appended, message, openTestLog, readAll } from '../support/log-fixture.ts';
import { memoryMark } from '../support/memory-mark.ts';
import { until } from '../support/until.ts';

function blocksOf(disk: MemoryDisk): number {
  return disk.keys(blockRange('normal', 0, Number.MAX_SAFE_INTEGER)).length;
}

/** A promise and the function that fulfils it. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = withResolvers();
  return { opened: promise, open: resolve };
}

function withResolvers(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((fulfil) => {
    resolve = fulfil;
  });
  return { promise, resolve };
}

test('acknowledged in the order of append across lanes, one write at a time', async () => {
  const storage = new FaultStorage(new MemoryDisk().storage());
  const log = await openTestLog(storage);
  const order: number[] = [];
  const all: Promise<unknown>[] = [];
  for (let number = 0; number < 600; number++) {
    const lane = LANES[(number * 7) % LANES.length] ?? 'normal';
    all.push(appended(log, message(number), lane).then(() => order.push(number)));
    if (number % 50 === 0) await delay(1);
  }
  await Promise.all(all);
  assert.deepEqual(order, [...Array(600).keys()]);
  assert.equal(storage.writingMax, 1);
  assert.ok(storage.writes < 100, `${storage.writes} writes for 600 events`);
  await log.close();
});

test('nothing is acknowledged while its write is under way; what comes then is the next group', async () => {
  const disk = new MemoryDisk();
  const storage = new FaultStorage(disk.storage());
  const log = await openTestLog(storage);
  const { opened, open } = gate();
  storage.onWrite(storage.writes + 1, { when: 'held', until: opened });
  const order: number[] = [];
  const work = [appended(log, message(0)).then(() => order.push(0))];
  await until('the write has begun', () => storage.writes === 2);
  for (const number of [1, 2, 3]) {
    work.push(appended(log, message(number)).then(() => order.push(number)));
  }
  await delay(30);
  assert.deepEqual(order, []);
  assert.equal(log.range('normal').tail, 0);
  open();
  await Promise.all(work);
  assert.deepEqual(order, [0, 1, 2, 3]);
  assert.equal(blocksOf(disk), 2);
  await log.close();
});

for (const profile of ['latency', 'balanced', 'card'] as const) {
  const { waitMs } = PROFILES[profile];
  test(`profile ${profile} gathers for ${waitMs} ms`, async () => {
    const disk = new MemoryDisk();
    const log = await openTestLog(new FaultStorage(disk.storage()), { profile });
    const startedMs = performance.now();
    const first = appended(log, message(0)).then(() => performance.now());
    const second = delay(waitMs / 3).then(() => appended(log, message(1)));
    const waitedMs = (await first) - startedMs;
    await second;
    assert.ok(waitedMs >= waitMs - 2, `acknowledged after ${waitedMs} ms`);
    if (profile !== 'latency') assert.equal(blocksOf(disk), 1, 'both in one block');
    await log.close();
  });
}

test('an alarm does not wait for company', async () => {
  const log = await openTestLog(new MemoryDisk().storage(), { profile: 'card' });
  const normal = appended(log, message(0));
  await delay(20);
  const startedMs = performance.now();
  await appended(log, message(1), 'alarm');
  assert.ok(performance.now() - startedMs < PROFILES.card.waitMs / 4);
  await normal;
  await log.close();
});

test('who waits for each answer is not slowed below 50 a second', async () => {
  for (const profile of ['balanced', 'card'] as const) {
    const log = await openTestLog(new MemoryDisk().storage(), { profile });
    for (let number = 0; number < 3; number++) await appended(log, message(number));
    const tookMs: number[] = [];
    for (let number = 0; number < 21; number++) {
      const startedMs = performance.now();
      await appended(log, message(number));
      tookMs.push(performance.now() - startedMs);
    }
    // a busy machine makes some of them late, and a gathering all of them
    const medianMs = tookMs.toSorted((a, b) => a - b)[10] ?? Number.NaN;
    assert.ok(medianMs < 20, `${profile}: ${medianMs} ms`);
    await log.close();
  }
});

test('a group of 64 KiB does not gather any longer', async () => {
  const log = await openTestLog(new MemoryDisk().storage(), { profile: 'card' });
  const gathered = delay(PROFILES.card.waitMs).then(() => 'gathered');
  const large = { ...message(0), payload: Buffer.alloc(64 * 1024) };
  assert.equal(await Promise.race([gathered, appended(log, large)]), undefined);
  await log.close();
});

test('the mark is told of each write before that write is acknowledged', async () => {
  const storage = new FaultStorage(new MemoryDisk().storage());
  const trace: string[] = [];
  const mark = {
    ...memoryMark(),
    note: (facts: () => MarkFacts) => trace.push(`mark ${facts().lanes.normal.tail}`),
  };
  const log = await openTestLog(storage, { mark });
  trace.length = 0;
  for (const number of [1, 2, 3]) {
    await appended(log, message(number)).then(() => trace.push(`done ${number}`));
  }
  assert.deepEqual(trace, ['mark 1', 'done 1', 'mark 2', 'done 2', 'mark 3', 'done 3']);
  await log.close();
});

test('interval: synced also under continuous load, and within the window that status shows', async () => {
  const disk = new MemoryDisk();
  const storage = new FaultStorage(disk.storage());
  const intervalMs = 300;
  const log = await openTestLog(storage, { durability: { kind: 'interval', intervalMs } });
  assert.equal(log.status().lossWindowMs, intervalMs);
  const unsynced: number[] = [];
  let longestMs = 0;
  let syncs = storage.synced;
  const lookAtSyncs = () => {
    if (storage.synced === syncs) return;
    syncs = storage.synced;
    const oldest = unsynced[0] ?? performance.now();
    longestMs = Math.max(longestMs, performance.now() - oldest);
    unsynced.length = 0;
  };
  const endMs = performance.now() + 1_000;
  let count = 0;
  while (performance.now() < endMs) {
    await appended(log, message(count++));
    lookAtSyncs();
    unsynced.push(performance.now());
  }
  assert.ok(syncs >= 3, `${syncs} syncs in a second of load`);
  assert.ok(syncs < 8, `${syncs} syncs are more than the interval asks for`);
  // the load has ended: the rest is synced by the clock
  await until('the last write is synced', () => storage.synced > syncs);
  lookAtSyncs();
  assert.ok(longestMs < intervalMs * 1.6, `unsynced for ${longestMs} ms`);
  disk.powerCut();
  const again = await openTestLog(disk.storage());
  assert.equal((await readAll(again)).length, count);
  await again.close();
});

test('interval: a write of nothing does not count as a sync', async () => {
  const disk = new MemoryDisk();
  const storage = new FaultStorage(disk.storage());
  const log = await openTestLog(storage, { durability: { kind: 'interval', intervalMs: 50 } });
  await appended(log, message(0));
  const before = storage.synced;
  await delay(60);
  await new Promise<void>((resolve) => log.write([], () => resolve()));
  await until('it is synced', () => storage.synced > before);
  await log.close();
});

for (const durability of [{ kind: 'fsync' }, { kind: 'interval', intervalMs: 5 }] as const) {
  test(`close writes what is pending and answers everybody, ${durability.kind}`, async () => {
    for (let round = 0; round < 25; round++) {
      const disk = new MemoryDisk();
      const storage = new FaultStorage(disk.storage());
      const log = await openTestLog(storage, { durability, profile: 'balanced' });
      const answers: (string | undefined)[] = [];
      const note = (error?: HubError) => answers.push(error?.code);
      for (let number = 0; number < 10; number++) log.append(message(number), 'normal', note);
      await delay(round);
      for (let number = 10; number < 20; number++) log.append(message(number), 'normal', note);
      const closed = log.close();
      log.append(message(20), 'normal', note);
      await Promise.all([closed, log.close()]);
      assert.deepEqual(answers.toSorted(), ['LOG_CLOSED', ...Array(20).fill(undefined)].toSorted());
      const writes = storage.writes;
      await delay(10);
      assert.equal(storage.writes, writes, 'nothing is written after close');
      disk.powerCut();
      const again = await openTestLog(disk.storage());
      assert.equal((await readAll(again)).length, 20);
      await again.close();
    }
  });
}

test('close from within an acknowledgement loses nothing that was accepted before', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk.storage(), { profile: 'card' });
  let closed: Promise<void> | undefined;
  const answers: unknown[] = [];
  await new Promise<void>((resolve) => {
    log.write([], () => {
      log.append(message(1), 'normal', (error) => answers.push(error));
      closed = log.close();
      resolve();
    });
  });
  await closed;
  assert.deepEqual(answers, [undefined]);
});

test('state keeps the order of its changes, written at once or deferred', async () => {
  const disk = new MemoryDisk();
  const storage = new FaultStorage(disk.storage());
  const log = await openTestLog(storage);
  const key = sessionKey('t', 'x');
  const put = (value: string) => ({ type: 'put', key, value: Buffer.from(value) }) as const;
  const write = (value: string) =>
    new Promise<void>((resolve) => log.write([put(value)], () => resolve()));
  const stored = async () => (await storage.get(key))?.toString();

  log.defer([put('deferred')]);
  await write('written after');
  assert.equal(await stored(), 'written after');

  const { opened, open } = gate();
  storage.onWrite(storage.writes + 1, { when: 'held', until: opened });
  const first = write('first');
  await until('the write has begun', () => storage.writes === 3);
  const second = write('queued');
  log.defer([put('deferred after')]);
  open();
  await Promise.all([first, second]);
  await appended(log, message(1));
  assert.equal(await stored(), 'deferred after');

  log.defer([put('one'), put('two'), put('three')]);
  await until('it is written without traffic', () => storage.writes > 5);
  await log.close();
  assert.equal(await stored(), 'three');
});
