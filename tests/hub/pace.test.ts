import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pace } from '../../hub/forward/pace.ts';
import { FakeClock } from '../support/fake-clock.ts';

const LIMITS = { eventsMax: 1_000, bytesMax: 1024 ** 2 };

function paced(requestsMax = 8) {
  const clock = new FakeClock();
  return { clock, pace: new Pace({ limits: LIMITS, requestsMax, clock }) };
}

/** Keeps the way filled; a round is one answer to every request that is on it. */
function fill(
  { pace, clock }: ReturnType<typeof paced>,
  rounds: number,
  roundMs: (requests: number) => number,
): number {
  let sent = 0;
  let spentMs = 0;
  pace.begin();
  for (let round = 0; round < rounds; round++) {
    const { requests } = pace;
    pace.filled(true);
    clock.advance(roundMs(requests));
    spentMs += roundMs(requests);
    for (let request = 0; request < requests; request++) {
      sent += pace.pieceLimits().eventsMax;
      pace.answered(pace.pieceLimits().eventsMax);
    }
  }
  return sent / spentMs;
}

test('pace: a long way is filled with requests side by side', () => {
  const around = paced();
  const alone = fill(around, 1, () => 300);
  fill(around, 12, () => 300);
  assert.equal(around.pace.requests, 8);
  assert.ok(fill(around, 10, () => 300) > 7 * alone);
});

test('pace: where more requests make nothing faster there is one, and it is tried seldom', () => {
  const around = paced();
  let more = 0;
  fill(around, 600, (requests) => {
    if (requests > 1) more++;
    return requests * 200;
  });
  assert.ok(more > 0 && more < 100, `${more} of 600 rounds`);
});

test('pace: where answers are fast, more requests are not even tried', () => {
  const around = paced();
  fill(around, 200, () => 40);
  assert.equal(around.pace.requests, 1);
});

test('pace: answers that take twice as long for good halve the requests', () => {
  const around = paced();
  fill(around, 20, () => 300);
  assert.equal(around.pace.requests, 8);
  fill(around, 8, () => 700);
  assert.equal(around.pace.requests, 4);
});

test('pace: what did not fill the way says nothing about it', () => {
  const { pace, clock } = paced();
  for (let round = 0; round < 50; round++) {
    pace.begin();
    pace.filled(true);
    pace.filled(false);
    clock.advance(300);
    pace.answered(100);
  }
  assert.equal(pace.requests, 1);
});

test('pace: one request at a time for a sink that can do no more', () => {
  const around = paced(1);
  fill(around, 100, () => 300);
  assert.equal(around.pace.requests, 1);
});

test('pace: what does not end in time is sent in halves, and slowly more again', () => {
  const { pace } = paced();
  assert.equal(pace.timedOut(), 1_000, 'one alone may be an accident');
  pace.answered(1_000);
  assert.equal(pace.timedOut(), 1_000);
  assert.equal(pace.timedOut(), 500);
  assert.equal(pace.timedOut(), 250);
  pace.answered(250);
  assert.ok(pace.pieceLimits().eventsMax < 300);
  for (let i = 0; i < 40; i++) pace.answered(250);
  assert.equal(pace.pieceLimits().eventsMax, 1_000);
  for (let i = 0; i < 40; i++) pace.timedOut();
  assert.equal(pace.pieceLimits().eventsMax, 1, 'one event can always be tried');
});

test('pace: whoever asks for less gets half of what it was, and then steadily more', () => {
  const { pace, clock } = paced();
  pace.throttled(400);
  assert.equal(pace.status().eventsPerSecondMax, 200);
  pace.launched(200);
  assert.equal(pace.notBeforeMs - clock.monotonicMs(), 1_000);
  pace.launched(100);
  assert.equal(pace.notBeforeMs - clock.monotonicMs(), 1_500, 'each waits for the one before it');
  const limits: (number | null)[] = [];
  for (let second = 0; second < 40; second++) {
    clock.advance(1_000);
    pace.answered(1);
    limits.push(pace.status().eventsPerSecondMax);
  }
  assert.equal(limits[9], 400, 'twenty a second more');
  assert.equal(limits.at(-1), null, 'and no limit again at twice the rate');
  assert.equal(pace.notBeforeMs, 0);
});

test('pace: a burst of refusals is one wish, and refusals for ever leave a part of the rate', () => {
  const { pace, clock } = paced();
  for (let i = 0; i < 10; i++) pace.throttled(1_000);
  assert.equal(pace.status().eventsPerSecondMax, 500);
  for (let i = 0; i < 100; i++) {
    clock.advance(3_000);
    pace.answered(10);
    pace.throttled(1);
  }
  const perSecond = pace.status().eventsPerSecondMax;
  assert.ok(perSecond !== null && perSecond >= 100, `${perSecond}`);
});
