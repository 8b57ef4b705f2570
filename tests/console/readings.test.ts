import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  filterDevices,
  firstMetrics,
  freshnessOf,
  groupDevices,
  isAlarm,
  type Metric,
  nextMetric,
  packColumns,
} from '../../console/src/readings.ts';
import type { LatestValue } from '../../hub/core/status.ts';

function latest(device: string, metric: string, given: Partial<LatestValue> = {}): LatestValue {
  return {
    device,
    metric,
    value: 1,
    timeMs: 1_000,
    timeQuality: 'synced',
    receivedMs: 1_000,
    tags: {},
    ...given,
  };
}

const metric = (...given: Parameters<typeof latest>): Metric =>
  nextMetric(undefined, latest(...given));

test('a metric learns its pace and its digits, and ignores what is older', () => {
  const first = metric('d', 'temp', { value: 21.55 });
  const second = nextMetric(
    first,
    latest('d', 'temp', { value: 22, timeMs: 11_000, receivedMs: 11_000 }),
  );
  assert.equal(second.intervalMs, 10_000);
  assert.equal(second.decimals, 2);
  const third = nextMetric(second, latest('d', 'temp', { timeMs: 31_000, receivedMs: 31_000 }));
  assert.equal(third.intervalMs, 12_000);
  assert.equal(nextMetric(third, latest('d', 'temp', { receivedMs: 5 })), third);
});

test('only a raised alarm is an alarm', () => {
  for (const value of [true, 1, 'high', 'ON']) assert.ok(isAlarm(latest('d', 'alarm', { value })));
  for (const value of [false, 0, '', 'ok', 'OFF'])
    assert.ok(!isAlarm(latest('d', 'alarm', { value })));
  assert.ok(!isAlarm(latest('d', 'alarm_count', { value: 3 })));
});

test('freshness depends on the pace of the metric', () => {
  assert.equal(freshnessOf(10_000, 1_000), 'fresh');
  assert.equal(freshnessOf(16_000, 1_000), 'late');
  assert.equal(freshnessOf(130_000, 1_000), 'silent');
  assert.equal(freshnessOf(130_000, 60_000), 'fresh');
  assert.equal(freshnessOf(130_000), 'fresh');
  assert.equal(freshnessOf(400_000), 'late');
});

const DEVICES = groupDevices([
  metric('dev10', 'temp', { tags: { area: 'north' } }),
  metric('dev2', 'temp', { tags: { area: 'south' } }),
  metric('dev2', 'humidity', { tags: { area: 'south' } }),
  metric('pump', 'alarm', { value: true }),
  metric('pump', 'flow'),
]);

test('devices are in natural order, those in alarm first', () => {
  assert.deepEqual(
    DEVICES.map(({ name, alarm, metrics }) => [name, alarm, metrics.map((m) => m.latest.metric)]),
    [
      ['pump', true, ['alarm', 'flow']],
      ['dev2', false, ['humidity', 'temp']],
      ['dev10', false, ['temp']],
    ],
  );
  assert.deepEqual(DEVICES[1]?.tags, { area: 'south' });
});

test('every word of a filter must be found in device, tags or metric', () => {
  const names = (text: string) =>
    filterDevices(DEVICES, text).map(({ name, metrics }) => `${name}:${metrics.length}`);
  assert.deepEqual(names('  '), ['pump:2', 'dev2:2', 'dev10:1']);
  assert.deepEqual(names('SOUTH'), ['dev2:2']);
  assert.deepEqual(names('dev temp'), ['dev2:1', 'dev10:1']);
  assert.deepEqual(names('south flow'), []);
});

test('only so many metrics are drawn, and the rest is counted', () => {
  const { shown, hidden } = firstMetrics(DEVICES, 3);
  assert.deepEqual(
    shown.map(({ metrics }) => metrics.length),
    [2, 1],
  );
  assert.equal(hidden, 2);
  assert.equal(firstMetrics(DEVICES, 60).hidden, 0);
});

test('columns are filled evenly and lose nothing', () => {
  const columns = packColumns(DEVICES, 2).map((column) => column.map(({ name }) => name));
  assert.deepEqual(columns, [['pump', 'dev10'], ['dev2']]);
});
