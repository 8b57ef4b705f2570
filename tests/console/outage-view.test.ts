import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { lineOf, marksOf, OUTAGE_WINDOWS, summaryOf } from '../../console/src/outage-view.ts';
import type { Outage } from '../../hub/core/status.ts';
import { outageOf } from '../support/fixed-view.ts';

const HOUR_MS = 3_600_000;
const NOW_MS = 1_700_000_000_000;
const [DAY, WEEK] = OUTAGE_WINDOWS;

function ago(hours: number, lastedHours: number, more: Partial<Outage> = {}): Outage {
  const startedMs = NOW_MS - hours * HOUR_MS;
  const lengthMs = lastedHours * HOUR_MS;
  return outageOf(1, { startedMs, lengthMs, endedMs: startedMs + lengthMs, ...more });
}

const plain = (text: string) => text.replaceAll('\u00a0', ' ');

test('outages are marked where they were, in a bar that ends now', () => {
  assert.deepEqual(marksOf([ago(12, 6)], NOW_MS, DAY.windowMs), [{ id: 1, left: 50, width: 25 }]);
  const goingOn = ago(6, 6, { endedMs: null });
  assert.deepEqual(marksOf([goingOn], NOW_MS, DAY.windowMs), [{ id: 1, left: 75, width: 25 }]);
  const [cut] = marksOf([ago(30, 12)], NOW_MS, DAY.windowMs);
  assert.deepEqual(cut, { id: 1, left: 0, width: 25 }, 'what began before the bar begins with it');
  assert.deepEqual(marksOf([ago(30, 2)], NOW_MS, DAY.windowMs), []);
});

test('a mark is always to be seen, and always in the bar', () => {
  const hours = fc.double({ min: 0, max: 400, noNaN: true });
  fc.assert(
    fc.property(hours, hours, (began, lasted) => {
      const outage = ago(began, Math.min(began, lasted));
      for (const { left, width } of marksOf([outage], NOW_MS, DAY.windowMs)) {
        assert.ok(left >= 0 && width >= 0.6 && left + width <= 100.000001, `${left} ${width}`);
      }
    }),
  );
});

test('the bar in words', () => {
  const say = (outages: readonly Outage[], window: (typeof OUTAGE_WINDOWS)[number]) =>
    plain(summaryOf(outages, NOW_MS, window));
  assert.equal(say([], DAY), 'No outage in 24 h');
  assert.equal(say([ago(3, 1)], DAY), '1 outage in 24 h, down for 1 h');
  assert.equal(say([ago(3, 1), ago(25, 2)], DAY), '2 outages in 24 h, down for 2 h');
  assert.equal(say([ago(3, 1), ago(25, 2)], WEEK), '2 outages in 7 d, down for 3 h');
});

test('one line says when, how long, what had gathered and how fast it was gone', () => {
  const outage = ago(3, 1, { interruptions: 4, backlogAtEnd: 302_400, drainedAfterMs: 65_000 });
  assert.match(
    plain(lineOf(outage, NOW_MS)),
    /^\d\d:\d\d, 1 h · 4 interruptions · 302 k events waited · drained in 1 min 5 s$/,
  );
  const goingOn = ago(3, 3, { endedMs: null, backlogAtEnd: null, drainedAfterMs: null });
  assert.match(plain(lineOf({ ...goingOn, reboots: 1 }, NOW_MS)), /^since .* · over a reboot$/);
});
