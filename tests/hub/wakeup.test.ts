import assert from 'node:assert/strict';
import { test } from 'node:test';
import { etaSeconds } from '../../hub/forward/eta.ts';
import { Wakeup } from '../../hub/forward/wakeup.ts';

const LONG_MS = 60_000;

test('wakeup: a wake-up before the wait is not lost, and counts once', async () => {
  const wakeup = new Wakeup();
  wakeup.wake();
  wakeup.wake();
  await wakeup.wait(LONG_MS);
  const startedMs = performance.now();
  await wakeup.wait(20);
  assert.ok(
    performance.now() - startedMs >= 15,
    'the second wait is not ended by the first wake-up',
  );
});

test('wakeup: ends a wait, also one that is longer than a timer can be', async () => {
  const wakeup = new Wakeup();
  let ended = false;
  const waiting = wakeup.wait(Number.POSITIVE_INFINITY).then(() => {
    ended = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(ended, false, 'a timer that overflows ends at once');
  wakeup.wake();
  await waiting;
});

test('eta: of a backlog at the rate by which it shrinks; null when it does not', () => {
  assert.equal(etaSeconds(0, 0, 0, 0), 0);
  assert.equal(etaSeconds(100_000, 3_000, 1_000, 0), 50);
  assert.equal(etaSeconds(100_000, 1_000, 1_000, 0), null);
  assert.equal(etaSeconds(100_000, 900, 1_000, 0), null);
  assert.equal(etaSeconds(100_000, 0, 0, 0), null);
  assert.equal(etaSeconds(100_000, 1e-9, 0, 0), null, 'centuries are no answer');
});

test('eta: a sink that keeps up has a little under way and is never "not draining"', () => {
  assert.equal(etaSeconds(500, 1_000, 1_000, 0), 0.5);
  assert.equal(etaSeconds(1_900, 1_000, 1_010, 1_000), 1.9);
});
