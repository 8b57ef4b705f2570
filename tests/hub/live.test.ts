import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Message } from '../../hub/core/event.ts';
import type { LatestValue } from '../../hub/core/status.ts';
import type { EventLog } from '../../hub/log/log.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import { LatestValues } from '../../hub/process/latest-values.ts';
import { LiveView } from '../../hub/process/live.ts';
import { afterTest } from '../support/after-test.ts';
import { stillClock } from '../support/decode-fixture.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { until } from '../support/until.ts';

function message(topic: string, payload: string): Message {
  return { topic, payload: Buffer.from(payload), source: 'mqtt' };
}

function values(count: number, topic = (i: number) => `site/a/dev${i % 10}/temp`): Message[] {
  return Array.from({ length: count }, (_, i) => message(topic(i), String(i)));
}

interface Line {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly text: string;
}

function startView(t: TestContext, log: EventLog) {
  const clock = stillClock();
  const counts = { invalid: 0, skipped: 0 };
  const lines: Line[] = [];
  const view = new LiveView({
    log,
    clock,
    decoder: createDecoder([{ topic: 'site/{area}/{device}/{metric}', format: 'json' }]),
    logger: { warn: (fields: Line['fields'], text: string) => lines.push({ fields, text }) },
    countUndecoded(reason, events) {
      counts[reason] += events;
    },
  });
  view.start();
  afterTest(t, () => view.stop());
  const present = (device: string) => view.latest({ device })[0]?.value;
  return { view, counts, lines, present };
}

test('the live view: keeps the latest value of every device and metric', async (t) => {
  const log = new MemoryLog();
  const { view, present } = startView(t, log);
  await log.write([message('site/a/d1/temp', '{"v":1,"u":"C"}'), message('site/a/d1/hum', '40')]);
  await log.write([message('site/b/d2/temp', '5'), message('site/a/d1/temp', '{"v":2,"u":"C"}')]);
  await log.write([message('site/b/d2/alarm', 'true')], 'alarm');
  await until('all lanes read', () => view.latest().length === 4 && present('d1') === 2);
  const [first] = view.latest({ device: 'd1', metric: 'temp' });
  assert.deepEqual(
    { ...first, tags: { ...first?.tags } },
    {
      device: 'd1',
      metric: 'temp',
      value: 2,
      unit: 'C',
      timeMs: first?.receivedMs,
      timeQuality: 'synced',
      receivedMs: log.nowMs,
      tags: { area: 'a' },
    },
  );
  assert.deepEqual(
    view.devices().map(({ device, metrics }) => ({ device, metrics: [...metrics].sort() })),
    [
      { device: 'd1', metrics: ['hum', 'temp'] },
      { device: 'd2', metrics: ['alarm', 'temp'] },
    ],
  );
  assert.equal(view.latest({ metric: 'temp' }).length, 2);
});

test('the live view: reads back what was there without telling or counting it', async (t) => {
  const log = new MemoryLog();
  await log.write([...values(100), message('site/a/broken/temp', '{')]);
  log.nowMs += 1;
  await log.write([message('site/a/dev1/temp', '-5')], 'alarm');
  const { view, counts, lines, present } = startView(t, log);
  const told: LatestValue[] = [];
  view.subscribe((readings) => told.push(...readings));
  await until('read back', () => view.latest().length === 10);
  await log.write([message('site/a/new/temp', '1')]);
  await until('told of the new one', () => told.length > 0);
  assert.deepEqual(
    told.map((reading) => reading.device),
    ['new'],
  );
  assert.equal(present('dev2'), 92);
  assert.equal(present('dev1'), -5, 'an older value of another lane hides no newer one');
  assert.deepEqual(counts, { invalid: 0, skipped: 0 });
  assert.equal(lines.length, 0);
});

test('the live view: reads back no more than the last 20,000 events', async (t) => {
  const log = new MemoryLog();
  await log.write([message('site/a/forgotten/temp', '1')]);
  for (let i = 0; i < 25; i++) await log.write(values(1_000));
  const { view } = startView(t, log);
  await until('read back', () => view.latest({ device: 'dev9' })[0]?.value === 999);
  assert.deepEqual(view.latest({ device: 'forgotten' }), []);
});

test('the live view: tells of each pair four times a second, with its newest value', async (t) => {
  const log = new MemoryLog();
  const { view } = startView(t, log);
  const told: { atMs: number; readings: readonly LatestValue[] }[] = [];
  const unsubscribe = view.subscribe((readings) =>
    told.push({ atMs: performance.now(), readings }),
  );
  let written = 0;
  while (told.length < 3) {
    await log.write([message('site/a/d/temp', String(++written))]);
    await nextTurn();
  }
  for (const { readings } of told) assert.equal(readings.length, 1);
  for (const [i, { atMs }] of told.entries())
    if (i > 0) assert.ok(atMs - (told[i - 1]?.atMs ?? 0) > 200, 'coalesced');
  assert.ok(written > 10, `${written} events made 3 updates`);
  unsubscribe();
});

test('the live view: counts what does not decode and names one a second', async (t) => {
  const log = new MemoryLog();
  const { counts, lines } = startView(t, log);
  await log.write([
    message('site/a/d/temp', `{"v":\u001b[2J${'x'.repeat(200)}`),
    message('site/a/d/temp', ''),
    message('elsewhere', '{'),
    ...values(5),
  ]);
  await until('counted', () => counts.invalid === 2);
  assert.equal(lines.length, 1);
  const { fields, text } = lines[0] ?? { fields: {}, text: '' };
  assert.match(text, /^A payload gives no readings: it is not valid JSON/);
  assert.equal(fields['topic'], 'site/a/d/temp');
  assert.equal(fields['offset'], 0);
  assert.match(String(fields['payload']), /^\{"v":\\u\{1b\}\[2Jx+…$/);
  assert.ok(!text.includes('\u001b'));
});

test('the live view: jumps ahead when it is far behind, and stays right', async (t) => {
  const log = new MemoryLog();
  const { view, counts, present } = startView(t, log);
  await log.write([message('site/a/quiet/temp', '7')]);
  await until('following', () => present('quiet') === 7);
  // All in one turn: it cannot follow in between.
  const commits = Array.from({ length: 60 }, () => values(2_000));
  await Promise.all(commits.map((commit) => log.write(commit)));
  const one = values(1_000_000 / 500, () => 'site/a/late/temp');
  await log.write(one);
  await until('caught up', () => present('late') === one.length - 1);
  assert.equal(present('dev9'), 1_999);
  assert.equal(view.latest().length, 12);
  assert.equal(counts.invalid, 0);
});

test('the live view: counts what it skips, block by block', async (t) => {
  const log = new MemoryLog();
  let heldUp = true;
  const release: (() => void)[] = [];
  const slow: EventLog = Object.create(log, {
    read: {
      value: async (...args: Parameters<EventLog['read']>) => {
        if (heldUp) await new Promise<void>((resolve) => release.push(resolve));
        return log.read(...args);
      },
    },
    range: { value: log.range.bind(log) },
    status: { value: log.status.bind(log) },
    onCommit: { value: log.onCommit.bind(log) },
  });
  const { counts, present } = startView(t, slow);
  await log.write([message('site/a/first/temp', '1')]);
  await until('reading', () => release.length > 0);
  for (let i = 0; i < 80; i++) await log.write(values(1_000));
  heldUp = false;
  for (const go of release) go();
  await log.write([message('site/a/last/temp', '2')]);
  await until('caught up', () => present('last') === 2);
  assert.equal(present('dev3'), 993);
  // Of 80,002 events the first read (256 KiB, about 10,000) and the last 25,000 are decoded in
  // full,
  // of each block between them ten.
  assert.ok(counts.skipped > 40_000 && counts.skipped < 50_000, `skipped ${counts.skipped}`);
});

test('the live view: goes on behind a gap in the log and after a failed read', async (t) => {
  const log = new MemoryLog();
  let failures = 1;
  const read = log.read.bind(log);
  log.read = async (...args) => {
    if (failures-- > 0) throw new Error('no medium');
    return read(...args);
  };
  const { counts, lines, present } = startView(t, log);
  await log.write(values(10));
  await until('failed', () => lines.length === 1);
  assert.equal(lines[0]?.fields['reason'], 'no medium');
  await log.write([message('site/a/d/temp', '1')]);
  log.trim('normal', 10);
  await until('read on', () => present('d') === 1);
  assert.equal(counts.skipped, 10);
});

test('the live view: lets others work while it decodes', async (t) => {
  const log = new MemoryLog();
  const { present } = startView(t, log);
  for (let i = 0; i < 40; i++) await log.write(values(1_000));
  let longestMs = 0;
  let lastMs = performance.now();
  await log.write([message('site/a/end/temp', '1')]);
  while (present('end') === undefined) {
    await nextTurn();
    longestMs = Math.max(longestMs, performance.now() - lastMs);
    lastMs = performance.now();
  }
  // Slices of 4 ms, on a machine that others use too.
  assert.ok(longestMs < 40, `${longestMs.toFixed(1)} ms without a turn`);
});

test('the live view: stops at once, also while it waits', async () => {
  const log = new MemoryLog();
  const clock = stillClock();
  const view = new LiveView({
    log,
    clock,
    decoder: createDecoder([]),
    logger: { warn: () => undefined },
    countUndecoded: () => undefined,
  });
  view.start();
  await nextTurn();
  await view.stop();
  await view.stop();
  const never = new LiveView({
    log,
    clock,
    decoder: createDecoder([]),
    logger: { warn: () => undefined },
    countUndecoded: () => undefined,
  });
  await never.stop();
});

const reading = (device: string, metric: string, value: number) => ({
  device,
  metric,
  value,
  timeMs: 1,
  timeQuality: 'synced' as const,
  tags: {},
});

test('the latest values: forget the pair that has not changed for longest', () => {
  const latest = new LatestValues(3);
  latest.set(reading('a', 'x', 1), 1);
  latest.set(reading('b', 'x', 2), 2);
  latest.set(reading('c', 'x', 3), 3);
  latest.set(reading('a', 'x', 4), 4);
  latest.set(reading('a', 'y', 5), 5);
  assert.equal(latest.size, 3);
  assert.deepEqual(
    latest.list().map(({ device, metric, value }) => `${device}.${metric}=${value}`),
    ['a.x=4', 'a.y=5', 'c.x=3'],
  );
  assert.deepEqual(
    latest.devices().map(({ device }) => device),
    ['a', 'c'],
  );
  for (let i = 0; i < 100; i++) latest.set(reading(`d${i}`, 'x', i), i);
  assert.deepEqual(
    latest.list().map(({ device }) => device),
    ['d97', 'd98', 'd99'],
  );
});
