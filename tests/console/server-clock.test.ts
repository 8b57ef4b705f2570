import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serverClock } from '../../console/src/server-clock.ts';

/** The hub's clock is this far ahead of the local monotonic one. */
const OFFSET_MS = 1_700_000_000_000;
const dateHeader = (hubMs: number) => Math.floor(hubMs / 1000) * 1000;

function near(actual: number, expected: number, withinMs: number): void {
  assert.ok(Math.abs(actual - expected) <= withinMs, `${actual - expected} ms off`);
}

test('one answer tells the clock to about a second, more of them to less', () => {
  const clock = serverClock();
  clock.observeDate(dateHeader(OFFSET_MS + 5_700), 5_690, 5_710);
  near(clock.nowMs(6_000), OFFSET_MS + 6_000, 700);
  clock.observeDate(dateHeader(OFFSET_MS + 7_050), 7_045, 7_055);
  clock.observeEvent(OFFSET_MS + 7_990, 8_000);
  near(clock.nowMs(8_000), OFFSET_MS + 8_000, 350);
});

test('an event is never from the future', () => {
  const clock = serverClock();
  clock.observeDate(dateHeader(OFFSET_MS + 1_900), 1_000, 2_000);
  clock.observeEvent(OFFSET_MS + 2_100, 2_100);
  assert.ok(clock.nowMs(2_100) >= OFFSET_MS + 2_100);
});

test('when the clock of the hub is set, the page follows at once', () => {
  const clock = serverClock();
  clock.observeDate(OFFSET_MS, 0, 10);
  clock.observeDate(OFFSET_MS - 86_400_000, 1_000, 1_010);
  near(clock.nowMs(1_000), OFFSET_MS - 86_400_000, 1_000);
  clock.observeEvent(OFFSET_MS + 86_400_000, 2_000);
  assert.equal(clock.nowMs(2_000), OFFSET_MS + 86_400_000);
});
