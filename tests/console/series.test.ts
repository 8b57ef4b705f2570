import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boundedSeries, WINDOW_MS } from '../../console/src/series.ts';

const NOW_MS = 1_700_000_000_000;

function point(timeMs: number, mean: number) {
  return { timeMs, mean, min: mean - 1, max: mean + 1, count: 4 };
}

test('live values are averaged into buckets and stay bounded', () => {
  const series = boundedSeries();
  for (let i = 0; i < 20_000; i++) series.append(NOW_MS + i * 250, i % 2);
  assert.ok(series.length <= 600, `${series.length} points`);
  const [times, values] = series.chart(NOW_MS + 20_000 * 250);
  assert.equal(times.length, values.length);
  assert.ok(values.every((value) => value === null || Math.abs(value - 0.5) < 0.05));
});

test('history goes before the live part and replaces what it covers', () => {
  const series = boundedSeries();
  series.append(NOW_MS - 5_000, 100);
  series.append(NOW_MS + 5_000, 7);
  const before = series.version;
  series.load({ points: [point(NOW_MS - 30_000, 5), point(NOW_MS, 6)], sampled: true });
  assert.ok(series.version > before);
  assert.deepEqual(series.chart(NOW_MS + 5_000)[1], [5, 6, 7]);
  assert.deepEqual(series.range(NOW_MS + 5_000), { min: 4, max: 7 });
});

test('late and broken values change nothing', () => {
  const series = boundedSeries();
  series.append(NOW_MS, 1);
  const before = series.version;
  series.append(NOW_MS - 60_000, 2);
  series.append(NOW_MS + 60_000, Number.NaN);
  assert.equal(series.version, before);
  assert.equal(series.length, 1);
});

test('a silence is a gap, a slow sensor is not', () => {
  const fast = boundedSeries();
  for (let s = 0; s < 600; s += 5) if (s < 200 || s > 400) fast.append(NOW_MS + s * 1000, 1);
  assert.equal(fast.chart(NOW_MS + 600_000)[1].filter((value) => value === null).length, 1);
  const slow = boundedSeries();
  for (let s = 0; s < 1_500; s += 120) slow.append(NOW_MS + s * 1000, 1);
  assert.ok(!slow.chart(NOW_MS + 1_500_000)[1].includes(null));
});

test('what is older than the window is not drawn', () => {
  const series = boundedSeries();
  series.load({
    points: [point(NOW_MS - WINDOW_MS - 1_000, 50), point(NOW_MS - 1_000, 5)],
    sampled: false,
  });
  assert.deepEqual(series.chart(NOW_MS)[1], [5]);
  assert.equal(series.range(NOW_MS + 2 * WINDOW_MS), undefined);
});
