import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decimalsOf,
  formatAge,
  formatBytes,
  formatCount,
  formatDuration,
  formatMeasured,
  formatRate,
  formatShare,
  formatUnit,
  formatValue,
  NONE,
} from '../../console/src/format.ts';

/** [input, text] pairs; no-break spaces are written as plain ones here. */
function check<T>(format: (input: T) => string, pairs: readonly (readonly [T, string])[]): void {
  for (const [input, text] of pairs)
    assert.equal(format(input).replaceAll('\u00a0', ' '), text, String(input));
}

test('ages have one unit', () => {
  check(formatAge, [
    [null, NONE],
    [-5_000, 'now'],
    [1_400, 'now'],
    [3_900, '3 s'],
    [59_999, '59 s'],
    [120_000, '2 min'],
    [5 * 3_600_000, '5 h'],
    [49 * 3_600_000, '2 d'],
    [800 * 86_400_000, '2.2 years'],
  ]);
});

test('durations have two units at most, and never a zero one', () => {
  check(formatDuration, [
    [undefined, NONE],
    [Number.POSITIVE_INFINITY, NONE],
    [0, '0 s'],
    [400, '< 1 s'],
    [59_000, '59 s'],
    [125_000, '2 min 5 s'],
    [45 * 60_000 + 5_000, '45 min'],
    [3_600_000, '1 h'],
    [47.5 * 3_600_000, '47 h'],
    [5.2 * 3_600_000, '5 h 12 min'],
    [74 * 3_600_000, '3 d 2 h'],
  ]);
});

test('sizes are binary, counts and rates have SI prefixes', () => {
  check(formatBytes, [
    [0, '0 B'],
    [1023, '1,023 B'],
    [1024, '1.00 KiB'],
    [1_048_576_000, '0.98 GiB'],
    [2 * 1024 ** 3, '2.00 GiB'],
    [412 * 1024 ** 2, '412 MiB'],
  ]);
  assert.deepEqual(formatMeasured(81_200_000_000, 'B'), { text: '75.6', unit: 'GiB' });
  assert.deepEqual(formatMeasured(21.5, 'celsius'), { text: '21.5', unit: '°C' });
  check(formatCount, [
    [9_999, '9,999'],
    [12_340, '12.3 k'],
    [999_499, '999 k'],
    [999_600, '1.00 M'],
    [1_240_000, '1.24 M'],
  ]);
  check(formatRate, [
    [0, '0'],
    [Number.NaN, '0'],
    [0.04, '< 0.1'],
    [3, '3'],
    [3.42, '3.4'],
    [84.4, '84'],
    [61_240, '61.2 k'],
  ]);
  check(formatShare, [
    [0, '0 %'],
    [0.0004, '< 0.1 %'],
    [0.042, '4.2 %'],
    [0.378, '38 %'],
    [1.2, '100 %'],
  ]);
});

test('a value shows the digits that its size makes worth reading', () => {
  assert.deepEqual(
    [21.5, 21, 1013.2, 12_480.4, 0.1234, 205.31, 3.1].map(decimalsOf),
    [1, 0, 1, 0, 3, 1, 1],
  );
  assert.equal(formatValue(21.5), '21.5');
  assert.equal(formatValue(21, 1), '21.0', 'keeps the width of the readings before it');
  assert.equal(formatValue(101_325), '101,325');
  assert.equal(formatValue(1013.24, 2), '1,013.2');
  assert.equal(formatValue(0.0000042), '4.20e-6');
  assert.equal(formatValue(Number.NaN), NONE);
  assert.equal(formatValue(true), 'true');
  assert.equal(formatValue('open'), 'open');
  assert.equal(formatUnit('celsius'), '°C');
  assert.equal(formatUnit('kWh'), 'kWh');
  assert.equal(formatUnit(undefined), '');
});
