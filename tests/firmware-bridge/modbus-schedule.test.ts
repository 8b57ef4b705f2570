import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import type { PollGroup } from '../../firmware-bridge/modbus/poll-group.ts';
import { SlaveLink } from '../../firmware-bridge/modbus/slave-link.ts';
import { modbusSpec } from '../../firmware-bridge/modbus/spec.ts';
import { RecentCount } from '../../firmware-bridge/sampling/recent-count.ts';
import { Schedule } from '../../firmware-bridge/sampling/schedule.ts';
import { SourceHealth } from '../../firmware-bridge/sampling/source-health.ts';
import { systemClock } from '../../hub/clock/system-clock.ts';

const TIMEOUT_MS = 500;

function groups(intervals: readonly number[]): PollGroup[] {
  const slaves = intervals.map((_, i) => {
    return { unit: i + 1, device: `d${i + 1}`, registers: [{ metric: 'a', address: 0 }] };
  });
  const options = modbusSpec.options.parse({ transport: { type: 'tcp', host: 'x' }, slaves });
  return options.slaves.map((slave, i) => {
    const proof = { kind: 'holding', address: 0, length: 1, entries: [] } as const;
    const limits = { gapMax: 0, registersMax: 1, coilsMax: 1, holes: [] };
    const link = new SlaveLink(
      { slave, timeoutMs: TIMEOUT_MS, intervalMs: 1, limits, proof },
      { clock: systemClock(), random: () => 0, logger: pino({ level: 'silent' }), garbled() {} },
    );
    return { source: link, intervalMs: intervals[i] ?? 1, reads: [proof] };
  });
}

test('a late group is asked once, and what was missed is counted', () => {
  const [group] = groups([100]);
  assert.ok(group);
  const schedule = new Schedule([group], 0);
  assert.deepEqual(schedule.next(0), { is: 'poll', group });
  assert.deepEqual(schedule.next(10), { is: 'wait', delayMs: 90 });
  assert.deepEqual(schedule.next(450), { is: 'poll', group });
  assert.equal(schedule.missed, 3);
  assert.deepEqual(schedule.next(451), { is: 'wait', delayMs: 49 });
  assert.deepEqual(schedule.next(500), { is: 'poll', group });
  assert.equal(schedule.missed, 3);
});

test('what is told of a counter is over a minute or two after its cause', () => {
  const recent = new RecentCount();
  assert.equal(recent.grownBy(2, 0), 2);
  assert.equal(recent.grownBy(5, 59_000), 5);
  assert.equal(recent.grownBy(6, 61_000), 4);
  assert.equal(recent.grownBy(6, 122_000), 0);
  assert.equal(recent.grownBy(9, 500_000), 0);
  assert.equal(recent.grownBy(10, 500_001), 1);
});

/** A bus on which a try of a dead slave takes its timeout, and a poll `pollMs`. */
function simulate(living: number, dead: number, pollMs: number, untilMs: number) {
  const all = groups(Array.from({ length: living + dead }, () => 1_000));
  const schedule = new Schedule(all, 0);
  const lost = new Set(all.slice(living).map(({ source }) => source));
  const seen = { polls: 0, tries: 0, triedMs: 0, latestMs: 0 };
  for (const link of lost) link.health.failed(0, 'no answer');
  for (let nowMs = 0; nowMs < untilMs; ) {
    const next = schedule.next(nowMs);
    if (next.is === 'wait') nowMs += next.delayMs;
    else if (next.is === 'poll') {
      assert.ok(!lost.has(next.group.source), 'a dead slave is not polled');
      seen.polls += 1;
      nowMs += pollMs;
    } else {
      nowMs += TIMEOUT_MS;
      next.source.health.failed(nowMs, 'no answer');
      schedule.retried(next.source, false, TIMEOUT_MS, nowMs);
      seen.tries += 1;
      seen.triedMs += TIMEOUT_MS;
    }
  }
  return { ...seen, missed: schedule.missed };
}

test('dead slaves get at most a fifth of the time, and cost the others no cycle', () => {
  const { polls, missed, triedMs, tries } = simulate(17, 3, 20, 600_000);
  assert.equal(missed, 0);
  assert.ok(polls >= 17 * 599, `${polls} polls`);
  assert.ok(tries >= 3 * 15, `${tries} tries`);
  assert.ok(triedMs <= 600_000 / 5 + TIMEOUT_MS);
  const many = simulate(1, 60, 20, 600_000);
  assert.ok(many.triedMs <= 600_000 / 5 + TIMEOUT_MS, `${many.triedMs} ms`);
});

test('on a line that is never free a dead slave still gets its try', () => {
  const { tries, polls } = simulate(30, 1, 50, 600_000);
  assert.ok(tries >= 9, `${tries} tries`);
  assert.ok(polls > 11_000, `${polls} polls`);
});

test('a slave that fails is asked less and less often, and its gap begins with its last answer', () => {
  const health = new SourceHealth(TIMEOUT_MS);
  assert.equal(health.answered(1_000), undefined);
  const pauses: number[] = [];
  for (let i = 0, nowMs = 2_000; i < 9; i++) {
    health.failed(nowMs, 'no answer');
    assert.equal(health.silent, i >= 1);
    if (health.state.is === 'failing') pauses.push(health.state.retryAtMs - nowMs);
    nowMs += 1_000;
  }
  assert.deepEqual(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  assert.deepEqual(health.answered(20_000), { lengthMs: 19_000, failures: 9, why: 'no answer' });
  assert.equal(health.answered(21_000), undefined);
  health.failed(22_000, 'one lost frame');
  assert.equal(health.answered(22_600), undefined, 'one lost frame is no gap');
  health.wayLost(23_000, 'unplugged');
  assert.equal(health.silent, true);
  assert.deepEqual(health.answered(25_000), { lengthMs: 2_400, failures: 2, why: 'unplugged' });
  health.failed(26_000, 'one lost frame');
  health.wayLost(26_500, 'unplugged');
  assert.deepEqual(health.answered(28_000), { lengthMs: 3_000, failures: 2, why: 'unplugged' });
});
