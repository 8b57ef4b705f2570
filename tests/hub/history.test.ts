import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LANES, type Lane, type Message } from '../../hub/core/event.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import { findEvents } from '../../hub/process/events.ts';
import { type HistoryQuery, history } from '../../hub/process/history.ts';
import { ARRIVAL_MS } from '../support/decode-fixture.ts';
import { MemoryLog } from '../support/memory-log.ts';

const decoder = createDecoder([
  { topic: 'site/{area}/{device}/{metric}', format: 'json' },
  { topic: 'flat/{device}', format: 'json' },
]);
const never = new AbortController().signal;
const query: HistoryQuery = {
  device: 'd1',
  metric: 'temp',
  fromMs: ARRIVAL_MS,
  toMs: ARRIVAL_MS + 60_000,
  points: 6,
};

function message(topic: string, payload: string): Message {
  return { topic, payload: Buffer.from(payload), source: 'mqtt' };
}

async function write(log: MemoryLog, atMs: number, messages: Message[], lane: Lane = 'normal') {
  log.nowMs = atMs;
  await log.write(messages, lane);
}

test('history: gives min, max, mean and count per bucket', async () => {
  const log = new MemoryLog();
  for (let second = -30; second < 90; second++)
    await write(log, ARRIVAL_MS + second * 1000, [
      message('site/a/d1/temp', `{"v":${second},"u":"C"}`),
      message('site/a/d1/hum', '1000'),
      message('site/a/d2/temp', '1000'),
    ]);
  const result = await history(log, decoder, query, never);
  assert.equal(result.unit, 'C');
  assert.equal(result.sampled, false);
  assert.deepEqual(
    result.points,
    Array.from({ length: 6 }, (_, i) => ({
      timeMs: ARRIVAL_MS + i * 10_000,
      min: i * 10,
      max: i * 10 + 9,
      mean: i * 10 + 4.5,
      count: 10,
    })),
  );
});

test('history: takes booleans as 0 and 1, no text, all lanes, and device times', async () => {
  const log = new MemoryLog();
  const late = ARRIVAL_MS + 5_000;
  await write(log, ARRIVAL_MS + 1_000, [message('site/a/d1/temp', 'true')]);
  await write(log, ARRIVAL_MS + 2_000, [message('site/a/d1/temp', '"text"')]);
  await write(log, ARRIVAL_MS + 3_000, [message('flat/d1', '{"temp":7,"x":1}')], 'alarm');
  await write(log, ARRIVAL_MS + 4_000, [message('site/a/d1/temp', '3')], 'bulk');
  await write(log, ARRIVAL_MS + 120_000, [message('site/a/d1/temp', `{"v":9,"t":${late}}`)]);
  const { points } = await history(log, decoder, { ...query, points: 1 }, never);
  assert.deepEqual(points, [{ timeMs: ARRIVAL_MS, min: 1, max: 9, mean: 5, count: 4 }]);
});

test('history: agrees with a plain loop over everything', async () => {
  const log = new MemoryLog();
  let state = 1;
  const random = (n: number) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % n;
  };
  const expected = new Map<number, number[]>();
  let atMs = ARRIVAL_MS - 1_800_000;
  for (let commit = 0; commit < 800; commit++) {
    atMs += random(10_000);
    const messages = Array.from({ length: 1 + random(80) }, () => {
      const value = random(1000);
      const timeMs = atMs - random(300_000);
      const ours = random(5) === 0;
      const bucket = Math.floor((timeMs - query.fromMs) / 10_000);
      if (ours && bucket >= 0 && bucket < 60)
        expected.set(bucket, [...(expected.get(bucket) ?? []), value]);
      return message(ours ? 'site/a/d1/temp' : 'site/a/d9/temp', `{"v":${value},"t":${timeMs}}`);
    });
    await write(log, atMs, messages, LANES[random(3)]);
  }
  const asked = { ...query, toMs: query.fromMs + 600_000, points: 60 };
  const { points, sampled } = await history(log, decoder, asked, never);
  assert.equal(sampled, false);
  assert.ok(expected.size > 50);
  assert.equal(points.length, expected.size);
  for (const { timeMs, min, max, mean, count } of points) {
    const values = expected.get((timeMs - query.fromMs) / 10_000) ?? [];
    const sum = values.reduce((a, b) => a + b, 0);
    assert.deepEqual([min, max, count], [Math.min(...values), Math.max(...values), values.length]);
    assert.ok(Math.abs(mean - sum / values.length) < 1e-9);
  }
});

test('history: reads little for a short range of a long log', async () => {
  const log = new MemoryLog();
  for (let minute = 0; minute < 2_000; minute++)
    await write(log, ARRIVAL_MS + minute * 60_000, [message('site/a/d1/temp', '1')]);
  log.blocksRead = 0;
  const fromMs = ARRIVAL_MS + 1_000 * 60_000;
  const { points } = await history(
    log,
    decoder,
    { ...query, fromMs, toMs: fromMs + 60_000 },
    never,
  );
  assert.equal(points.length, 1);
  // The windows may begin before the range; the log of this test hands out a mebibyte at a time.
  assert.ok(log.blocksRead < 2_000, `${log.blocksRead} blocks read`);
});

test('history: ends when the one who asked is gone', async () => {
  const log = new MemoryLog();
  for (let i = 0; i < 20; i++)
    await write(
      log,
      ARRIVAL_MS + i,
      Array.from({ length: 5_000 }, () => message('site/a/d1/temp', '1')),
    );
  const controller = new AbortController();
  const reason = new Error('gone');
  const running = history(log, decoder, query, controller.signal);
  setImmediate(() => controller.abort(reason));
  await assert.rejects(running, reason);
});

test('history: is empty for an empty log', async () => {
  const { points } = await history(new MemoryLog(), decoder, query, never);
  assert.deepEqual(points, []);
});

test('finding events: by time, topic and number, oldest first, over the lanes', async () => {
  const log = new MemoryLog();
  for (let i = 0; i < 100; i++)
    await write(
      log,
      ARRIVAL_MS + i * 10,
      [message(`a/${i % 2}`, String(i)), message('b', String(i))],
      i % 10 === 0 ? 'alarm' : 'normal',
    );
  const find = async (topic: string | undefined, from: number, to: number, limit = 100) => {
    const range = { fromMs: ARRIVAL_MS + from, toMs: ARRIVAL_MS + to };
    const events = await findEvents(log, { ...range, topic, limit }, never);
    return events.map((event) => Number(event.payload.toString()));
  };
  assert.deepEqual(await find('a/1', 0, 100), [1, 3, 5, 7, 9]);
  assert.deepEqual(await find('a/+', 95, 130), [10, 11, 12]);
  assert.deepEqual(await find('a/#', 0, 1_000, 3), [0, 1, 2]);
  assert.equal((await find(undefined, 0, 1_000)).length, 100);
  assert.deepEqual(await find(undefined, 5_000, 6_000), []);
});

test('finding events: holds no more than a few mebibytes', async () => {
  const log = new MemoryLog();
  const image = 'x'.repeat(1024 ** 2);
  for (let i = 0; i < 10; i++) await write(log, ARRIVAL_MS, [message('image', image)]);
  const range = { fromMs: ARRIVAL_MS, toMs: ARRIVAL_MS + 1, limit: 100 };
  assert.equal((await findEvents(log, range, never)).length, 4);
});
