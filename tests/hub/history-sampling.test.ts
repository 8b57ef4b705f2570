import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { LANES, type Lane, type Message } from '../../hub/core/event.ts';
import type { History, HistoryPoint } from '../../hub/core/status.ts';
import type { EventLog } from '../../hub/log/log.ts';
import { levelStorage } from '../../hub/log/storage/level-storage.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import { type HistoryQuery, history } from '../../hub/process/history.ts';
import { afterTest } from '../support/after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { type Filling, fillStorage } from '../support/filled-log.ts';
import { openTestLog } from '../support/log-fixture.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';

const DAY_MS = 86_400_000;
const START_MS = new FakeClock().wallMs();
const never = new AbortController().signal;
const decoder = createDecoder([{ topic: 'site/{area}/{device}/{metric}', format: 'json' }]);

/** Daily waves, so that the chart has a shape that a sample must show. */
const valueAt = (timeMs: number) => 20 + 5 * Math.sin((2 * Math.PI * timeMs) / DAY_MS);

/** The log, counting the blocks that are handed out. */
function counted(log: EventLog) {
  const counts = { blocks: 0, reads: 0 };
  const counting: EventLog = {
    id: log.id,
    corrections: log.corrections,
    append: (message, lane, done) => log.append(message, lane, done),
    range: (lane) => log.range(lane),
    seek: (lane, ms) => log.seek(lane, ms),
    onCommit: (listener) => log.onCommit(listener),
    status: () => log.status(),
    async read(lane, offset, bytesMax) {
      const blocks = await log.read(lane, offset, bytesMax);
      counts.reads++;
      counts.blocks += blocks.length;
      return blocks;
    },
  };
  return { log: counting, counts };
}

async function filledLog(t: TestContext, filling: Omit<Filling, 'clock'>) {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'));
  afterTest(t, () => rm(folder, { recursive: true, force: true }));
  const clock = new FakeClock();
  await fillStorage(levelStorage(join(folder, 'log')), { ...filling, clock });
  const log = await openTestLog(levelStorage(join(folder, 'log')), { clock });
  afterTest(t, () => log.close());
  return { endMs: clock.wallMs(), ...counted(log) };
}

function month(device: string, endMs: number, points: number): HistoryQuery {
  return { device, metric: 'temp', fromMs: START_MS, toMs: endMs, points };
}

test('sampling: a month of a million events is answered from a hundredth of its blocks', async (t) => {
  const [blocks, eventsPerBlock, devices] = [20_000, 50, 25];
  const stepMs = (30 * DAY_MS) / (blocks * eventsPerBlock);
  const { log, counts, endMs } = await filledLog(t, {
    blocks,
    eventsPerBlock,
    stepMs: () => stepMs,
    message: (event) => ({
      topic: `site/a/d${event % devices}/temp`,
      payload: Buffer.from(valueAt(START_MS + event * stepMs).toFixed(3)),
      source: 'mqtt',
    }),
  });
  const startedMs = performance.now();
  const answer = await history(log, decoder, month('d7', endMs, 100), never, 30_000);
  const tookMs = performance.now() - startedMs;
  t.diagnostic(`${counts.blocks} blocks in ${counts.reads} reads, ${Math.round(tookMs)} ms`);
  assert.equal(answer.sampled, true);
  assert.equal(answer.totalEvents, 1_000_000);
  assert.ok(answer.readEvents < 10_000, `${answer.readEvents} events read`);
  assert.ok(counts.blocks < 400, `${counts.blocks} of 20,000 blocks read`);
  assert.equal(answer.points.length, 100, 'every part of the month is there');
  const widthMs = (endMs - START_MS) / 100;
  for (const { timeMs, min, max, mean } of answer.points) {
    const times = Array.from({ length: 20 }, (_, i) => valueAt(timeMs + (i * widthMs) / 19));
    assert.ok(min >= Math.min(...times) - 0.1 && max <= Math.max(...times) + 0.1);
    assert.ok(mean >= min && mean <= max);
  }
  await assertNewest(log, answer, endMs);

  const whole = await history(log, decoder, month('d7', endMs, 100), never);
  t.diagnostic(`with the usual budget: ${whole.readEvents} events`);
});

/** The last quarter of an hour is in the newest events, which are always read. */
async function assertNewest(log: EventLog, answer: History, endMs: number): Promise<void> {
  const late = { ...month(answer.device, endMs, 1), fromMs: endMs - 900_000 };
  const exact = await history(log, decoder, late, never, 1e9);
  assert.equal(exact.sampled, false);
  assert.ok((exact.points[0]?.count ?? 0) > 0);
  const sampled = await history(
    log,
    decoder,
    { ...late, fromMs: START_MS, points: 2_880 },
    never,
    1,
  );
  assert.equal(sampled.sampled, true);
  assert.deepEqual(sampled.points.at(-1), { ...exact.points[0], timeMs: endMs - 900_000 });
}

test('sampling: finds the quiet weeks beside a busy hour', async (t) => {
  const quiet = 30_000; // a month, a reading in 86 s
  const { log, counts, endMs } = await filledLog(t, {
    blocks: 12_000,
    eventsPerBlock: 25,
    stepMs: (event) => (event < quiet ? (30 * DAY_MS) / quiet : 3_600_000 / 270_000),
    message: (event) => ({
      topic: 'site/a/d/temp',
      payload: Buffer.from(String(event)),
      source: 'm',
    }),
  });
  const answer = await history(log, decoder, month('d', endMs, 200), never, 150_000);
  t.diagnostic(`${answer.readEvents} of ${answer.totalEvents} events, ${counts.blocks} blocks`);
  assert.equal(answer.sampled, true);
  assert.ok(answer.points.length >= 198, `${answer.points.length} of 200 points`);
});

test('sampling: a rare metric shows in most places', async (t) => {
  const { log, endMs } = await filledLog(t, {
    blocks: 10_000,
    eventsPerBlock: 20,
    stepMs: () => (30 * DAY_MS) / 200_000,
    message: (event) => ({
      topic: event % 200 === 0 ? 'site/a/rare/temp' : `site/a/d${event % 10}/temp`,
      payload: Buffer.from('1'),
      source: 'mqtt',
    }),
  });
  const answer = await history(log, decoder, month('rare', endMs, 100), never, 100_000);
  assert.equal(answer.sampled, true);
  assert.ok(answer.readEvents < 100_000);
  assert.ok(answer.points.length >= 60, `${answer.points.length} of 100 points`);
});

/** Commits of random size and lane, at random intervals; some readings have a time of their own. */
async function randomLog(random: ReturnType<typeof seededRandom>) {
  const log = new MemoryLog();
  const readings: { readonly timeMs: number; readonly value: number }[] = [];
  let atMs = START_MS;
  const commits = 200 + Math.floor(random() * 400);
  for (let commit = 0; commit < commits; commit++) {
    atMs += Math.floor(random() < 0.05 ? random() * 1e7 : random() * 1e4);
    const messages: Message[] = [];
    for (let n = Math.floor(random() * 100); n >= 0; n--) {
      const value = Math.floor(random() * 1000);
      const timeMs = random() < 0.2 ? atMs - Math.floor(random() * 500_000) : atMs;
      const ours = random() < 0.3;
      if (ours) readings.push({ timeMs, value });
      const payload = Buffer.from(`{"v":${value},"t":${timeMs}}`);
      messages.push({ topic: `site/a/${ours ? 'd' : 'e'}/temp`, payload, source: 'mqtt' });
    }
    log.nowMs = atMs;
    const lane: Lane = LANES[Math.floor(random() * 3)] ?? 'normal';
    await log.write(messages, lane);
  }
  return { log, readings, endMs: atMs };
}

function plainly(
  readings: readonly { readonly timeMs: number; readonly value: number }[],
  { fromMs, toMs, points }: HistoryQuery,
): HistoryPoint[] {
  const widthMs = (toMs - fromMs) / points;
  const buckets = new Map<number, number[]>();
  for (const { timeMs, value } of readings) {
    if (timeMs < fromMs || timeMs >= toMs) continue;
    const i = Math.min(points - 1, Math.floor((timeMs - fromMs) / widthMs));
    buckets.set(i, [...(buckets.get(i) ?? []), value]);
  }
  return [...buckets]
    .sort(([a], [b]) => a - b)
    .map(([i, values]) => ({
      timeMs: Math.round(fromMs + i * widthMs),
      min: Math.min(...values),
      max: Math.max(...values),
      mean: values.reduce((a, b) => a + b, 0) / values.length,
      count: values.length,
    }));
}

const RUNS = 15;

test('sampling: what is not sampled is exact, and what is stays within what is true', async (t) => {
  const seed = chooseSeed();
  t.diagnostic(`HOLDFAST_SEED=${seed}`);
  const sampledAnswers = await compareRandomLogs(
    seededRandom(seed),
    Number(process.env['HOLDFAST_HISTORY_RUNS'] ?? RUNS),
  );
  t.diagnostic(`${sampledAnswers} answers were sampled`);
  assert.ok(sampledAnswers > 0);
});

/** Answers how many queries were sampled. */
async function compareRandomLogs(random: () => number, runs: number): Promise<number> {
  let sampledAnswers = 0;
  for (let run = 0; run < runs; run++) {
    const { log, readings, endMs } = await randomLog(random);
    for (const budgetUs of [1e9, 50_000 * random(), 1]) {
      const fromMs = START_MS + Math.floor(random() * (endMs - START_MS) * 0.7);
      const toMs = fromMs + 1 + Math.floor(random() * (endMs - fromMs) * 1.2);
      const query = {
        device: 'd',
        metric: 'temp',
        fromMs,
        toMs,
        points: 1 + Math.floor(random() * 80),
      };
      const answer = await history(log, decoder, query, never, budgetUs);
      const truth = plainly(readings, query);
      if (!answer.sampled) {
        assertSame(answer.points, truth);
        continue;
      }
      sampledAnswers++;
      assert.ok(answer.readEvents < answer.totalEvents);
      const byTime = new Map(truth.map((point) => [point.timeMs, point]));
      for (const { timeMs, min, max, count } of answer.points) {
        const true_ = byTime.get(timeMs);
        assert.ok(true_ && min >= true_.min && max <= true_.max && count <= true_.count);
      }
    }
  }
  return sampledAnswers;
}

test('sampling: a query that turns out to fit ends', async () => {
  // regression: with nothing left to read it looked for more without end
  await compareRandomLogs(seededRandom(26), RUNS);
});

function assertSame(points: readonly HistoryPoint[], truth: readonly HistoryPoint[]): void {
  const withoutMean = (all: readonly HistoryPoint[]) => all.map(({ mean: _, ...rest }) => rest);
  assert.deepEqual(withoutMean(points), withoutMean(truth));
  for (const [i, { mean }] of points.entries()) {
    assert.ok(Math.abs(mean - (truth[i]?.mean ?? 0)) < 1e-9);
  }
}
