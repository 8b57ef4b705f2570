/**
 * Goal: `thin` makes room and keeps count. Method: the real log on a disk in memory, a clock that
 * the test owns, and a far side that puts events and aggregates together again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HubEvent, Lane, Message } from '../../hub/core/event.ts';
import { Batcher } from '../../hub/forward/batcher.ts';
import { ClaimedLog } from '../../hub/forward/claimed-log.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { blockRange } from '../../hub/log/keys.ts';
import type { Storage } from '../../hub/log/storage/storage.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FaultStorage, MemoryDisk } from '../support/fault-storage.ts';
import { appended, readAll, settleTo } from '../support/log-fixture.ts';
import { memoryMark } from '../support/memory-mark.ts';
import { calm, FarSide, openThinLog, SITE, seconds } from '../support/thin-fixture.ts';

const SINK = 'cloud';
const SINKS = [{ id: SINK, start: 'oldest' as const }];
const BYTES_MAX = 40_000;
const DEVICES = 10;

async function fixture(bytesMax = BYTES_MAX) {
  const clock = new FakeClock();
  const storage = new FaultStorage(new MemoryDisk().storage());
  const log = await openThinLog(storage, bytesMax, { clock, sinks: SINKS });
  return { clock, storage, log };
}

function thinnedIn(log: DurableLog, lane: Lane) {
  const status = log.status().lanes.find((found) => found.lane === lane);
  assert.ok(status);
  return status.thinned;
}

async function storedBytes(storage: Storage, lane: Lane): Promise<number> {
  let bytes = 0;
  for await (const [, value] of storage.entries(blockRange(lane, 0, 1e9))) bytes += value.length;
  return bytes;
}

function far(events: readonly HubEvent[]): FarSide {
  const side = new FarSide();
  for (const event of events) side.take(event);
  return side;
}

test('what does not fit is kept at lower resolution: nothing is lost, all figures are exact', async () => {
  const { clock, log, storage } = await fixture();
  const count = 3_000; // about 5 times what the log can hold of them
  await seconds(log, clock, count, DEVICES, (at, device) => at + device * 10_000);
  await calm(log);
  const { bytes, lostEvents } = log.status();
  assert.equal(lostEvents, 0);
  assert.ok(bytes <= BYTES_MAX, `${bytes} bytes`);
  assert.equal(bytes, await storedBytes(storage, 'normal'));
  const side = far(await readAll(log));
  assert.equal(side.events, count * DEVICES);
  for (let device = 0; device < DEVICES; device++) {
    const { min, max, sum, count: readings } = side.of(`dev${device}/temp`);
    const first = device * 10_000;
    assert.deepEqual(
      { min, max, readings },
      { min: first, max: first + count - 1, readings: count },
    );
    assert.ok(Math.abs(sum / count - (first + (count - 1) / 2)) < 1e-9 * first + 1e-6);
  }
  await log.close();
});

test('the interval doubles as the pressure goes on, and the newest events stay as they are', async () => {
  const { clock, log } = await fixture(10_000);
  const intervals = new Set<number>();
  for (let part = 0; part < 40; part++) {
    await seconds(log, clock, 100, DEVICES, (at) => at);
    intervals.add(thinnedIn(log, 'normal').intervalMs);
  }
  await calm(log);
  assert.equal(log.status().lostEvents, 0);
  const doubled = [...intervals].filter((ms) => ms > 0).sort((a, b) => a - b);
  assert.equal(doubled[0], 10_000);
  assert.ok((doubled.at(-1) ?? 0) >= 40_000, `intervals ${doubled}`);
  assert.ok(
    doubled.every((ms) => Number.isInteger(Math.log2(ms / 10_000))),
    `${doubled}`,
  );
  const events = await readAll(log);
  assert.equal(far(events).events, 4_000 * DEVICES);
  assert.ok(events.slice(-DEVICES).every(({ kind }) => kind === 'message'));
  await log.close();
});

test('bulk gives way before normal, alarms never', async () => {
  const { clock, log } = await fixture();
  await seconds(log, clock, 20, 2, (at) => at, 'alarm');
  await seconds(log, clock, 100, DEVICES, (at) => at, 'normal');
  await seconds(log, clock, 2_000, DEVICES, (at) => at, 'bulk');
  await calm(log);
  assert.ok(thinnedIn(log, 'bulk').events > 0);
  assert.equal(thinnedIn(log, 'normal').events, 0);
  await seconds(log, clock, 3_000, DEVICES, (at) => at, 'normal');
  await calm(log);
  assert.ok(thinnedIn(log, 'normal').events > 0);
  const alarms = await readAll(log, 'alarm');
  assert.deepEqual(
    alarms.map(({ kind, payload }) => `${kind} ${payload}`),
    Array.from({ length: 40 }, (_, index) => `message ${Math.floor(index / 2)}`),
  );
  await log.close();
});

test('what is no measurement stays as it is among the aggregates', async () => {
  const { clock, log } = await fixture(10_000);
  const alarm: Message = { topic: 'x', payload: Buffer.from('fire'), source: 'hub', kind: 'alarm' };
  await seconds(log, clock, 50, DEVICES, (at) => at);
  await appended(log, alarm);
  await seconds(log, clock, 500, DEVICES, (at) => at);
  await calm(log);
  const events = await readAll(log);
  const found = events.findIndex(({ kind }) => kind === 'alarm');
  assert.equal(events[found]?.payload.toString(), 'fire');
  assert.equal(events[found]?.offset, 50 * DEVICES, 'and has its offset');
  assert.ok(events.slice(0, found).every(({ kind }) => kind === 'aggregate'));
  await log.close();
});

test('when nothing is left to thin the oldest go, counted as lost', async () => {
  const { clock, log } = await fixture(20_000);
  const count = 1_000;
  for (let at = 0; at < count; at++) {
    clock.advance(1_000); // every event of a topic of its own: no two of them can be put together
    await appended(log, { topic: `site/a/${at}/temp`, payload: Buffer.from('1'), source: 'mqtt' });
  }
  await calm(log);
  assert.equal(thinnedIn(log, 'normal').aggregates, 0);
  const { head, tail } = log.range('normal');
  assert.ok(head > 0);
  assert.equal(tail, count);
  assert.deepEqual(
    log.status().lost.map(({ lane, reason, events }) => ({ lane, reason, events })),
    [{ lane: 'normal', reason: 'full', events: head }],
  );
  await log.close();
});

test('positions, bytes and progress survive closing; settling gives all of it back', async () => {
  const clock = new FakeClock();
  const storage = new MemoryDisk().storage();
  const options = { clock, sinks: SINKS, mark: memoryMark() };
  let log = await openThinLog(storage, BYTES_MAX, options);
  await seconds(log, clock, 1_500, DEVICES, (at) => at);
  await calm(log);
  const before = log.status().lanes;
  assert.ok(thinnedIn(log, 'normal').events > 0);
  await log.close();
  log = await openThinLog(storage, BYTES_MAX, options);
  assert.deepEqual(log.status().lanes, before);
  settleTo(log, SINK, 'normal', log.range('normal').tail);
  await seconds(log, clock, 3_000, DEVICES, (at) => at);
  await calm(log);
  const { bytes } = log.status();
  assert.equal(bytes, await storedBytes(storage, 'normal'));
  await log.close();
});

test('a sink in the middle, and a reader that holds blocks, keep theirs from being thinned', async () => {
  const { clock, log } = await fixture();
  await seconds(log, clock, 100, DEVICES, (at) => at);
  const claimed = new ClaimedLog(log, () => 305);
  settleTo(log, SINK, 'normal', 305);
  const batcher = new Batcher(claimed, 'normal', () => true);
  const run = await batcher.next(305, { eventsMax: 50, bytesMax: 10_000 });
  const [held] = await log.read('normal', 900, 1);
  assert.ok(run && held);
  await seconds(log, clock, 2_000, DEVICES, (at) => at);
  await calm(log);
  assert.ok(thinnedIn(log, 'normal').events > 0);
  const [block] = await log.read('normal', 305, 1);
  assert.ok(block && block.firstOffset <= 305);
  assert.equal(block.span, block.count, 'the sink is in the middle of it');
  const [other] = await log.read('normal', 900, 1);
  assert.equal(other?.span, other?.count, 'it was read together with the run');
  claimed.forget();
  await seconds(log, clock, 6_000, DEVICES, (at) => at);
  await calm(log);
  const [thinned] = await log.read('normal', 900, 1);
  assert.ok(thinned && thinned.span > thinned.count, 'nobody holds it any more');
  await log.close();
});

test('a reader waits for the write that replaces what it would read', async () => {
  const { clock, log, storage } = await fixture();
  let release = () => {};
  const until = new Promise<void>((resolve) => {
    release = resolve;
  });
  const write = storage.write.bind(storage);
  let replacing = false;
  storage.write = async (operations, options) => {
    const isThinning = operations.some(({ key }) => key.toString() === 'mthin-normal');
    if (isThinning && !replacing) {
      replacing = true;
      await until;
    }
    await write(operations, options);
  };
  for (let part = 0; !replacing; part++) {
    assert.ok(part < 100, 'it is thinned');
    const sent = seconds(log, clock, 100, DEVICES, (at) => at);
    await Promise.race([sent, calm(log)]);
  }
  const reading = log.read('normal', 0, 1);
  let done = false;
  void reading.then(() => {
    done = true;
  });
  await calm(log);
  assert.equal(done, false);
  release();
  const [block] = await reading;
  assert.ok(block && block.span > block.count, 'it has the new block');
  await calm(log);
  await log.close();
});

test('an aggregate has the last offset of its events, and time is found among them', async () => {
  const { clock, log } = await fixture();
  const startMs = clock.wallMs();
  await seconds(log, clock, 2_000, DEVICES, (at) => at);
  await calm(log);
  let next = 0;
  for (const event of await readAll(log)) {
    assert.ok(event.offset >= next);
    next = event.offset + 1;
    const [reading] = SITE(event).readings;
    const last = reading?.aggregate?.max ?? reading?.value; // values are the seconds
    assert.equal(Math.floor(event.offset / DEVICES), last);
    assert.equal(event.topic, `site/a/dev${event.offset % DEVICES}/temp`);
    // what had to wait for room arrives when it is let in, with its batch at the latest
    const lateMs = event.receivedMs - (startMs + (Number(last) + 1) * 1_000);
    assert.ok(lateMs >= 0 && lateMs < 20_000, `${lateMs} ms late`);
  }
  assert.equal(next, 2_000 * DEVICES);
  const soughtMs = startMs + 500_000;
  const [block] = await log.read('normal', await log.seek('normal', soughtMs), 1);
  assert.ok(block && block.firstReceivedMs <= soughtMs && block.lastReceivedMs >= soughtMs);
  for (const offset of [block.firstOffset, block.firstOffset + block.span - 1]) {
    const [again] = await log.read('normal', offset, 1);
    assert.equal(again?.firstOffset, block.firstOffset);
    assert.ok(block.offsetAt(block.indexFrom(offset)) >= offset);
  }
  await log.close();
});
