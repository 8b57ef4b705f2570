import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Budget, NetworkBudget } from '../../hub/core/budget.ts';
import { parseTimeWindow, type TimeWindow } from '../../hub/core/time-window.ts';
import { Governor } from '../../hub/forward/governor/governor.ts';
import type { GovernorRecord } from '../../hub/log/governor-record.ts';
import { FakeClock } from '../support/fake-clock.ts';

const KIB = 1024;
const MIB = 1024 ** 2;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

function windowOf(text: string): TimeWindow {
  const window = parseTimeWindow(text);
  assert.ok(!('problem' in window));
  return window;
}

interface Setup {
  readonly budget?: Partial<Budget>;
  readonly clock?: FakeClock;
  readonly saved?: GovernorRecord;
  readonly networkInterface?: () => string | undefined;
}

function governorOf({ budget, clock = new FakeClock(), saved, networkInterface }: Setup = {}) {
  const full: Budget = {
    windows: [],
    exempt: ['alarm'],
    timezone: 'UTC',
    monthStartsOn: 1,
    networks: [],
    ...budget,
  };
  const governor = new Governor({
    budget: full,
    clock: {
      bootId: clock.bootId,
      wallMs: () => clock.wallMs(),
      monotonicMs: () => clock.monotonicMs(),
      calendarKnown: () => clock.sync().state !== 'unsynced',
    },
    networkInterface: networkInterface ?? (() => 'eth0'),
    saved,
  });
  return { governor, clock };
}

const reason = (governor: Governor, bytes: number) => governor.hold('normal', bytes, true)?.reason;
const used = (governor: Governor) => governor.status()?.day.usedBytes;

test('a budget of a day holds back what is more than is left, until midnight', () => {
  const { governor, clock } = governorOf({ budget: { bytesPerDay: MIB } });
  clock.advance(10 * HOUR_MS);
  assert.equal(governor.hold('normal', MIB), undefined);
  governor.sent('normal', MIB - 20 * KIB, 100);
  assert.equal(governor.remainingBytes('normal'), 20 * KIB);
  assert.equal(governor.hold('normal', 20 * KIB), undefined);
  const hold = governor.hold('normal', 20 * KIB + 1);
  assert.equal(hold?.reason, 'budget_day');
  assert.equal(hold?.untilMs, clock.monotonicMs() + 14 * HOUR_MS);
  assert.match(hold?.detail ?? '', /^held until 00:00: 20 KiB are left of 1 MiB a day/);
  const status = governor.status();
  assert.deepEqual(
    status?.held.map(({ lane, reason: why, untilMs }) => [lane, why, untilMs]),
    [['normal', 'budget_day', clock.wallMs() + 14 * HOUR_MS]],
  );
  clock.advance(14 * HOUR_MS - 1);
  assert.equal(reason(governor, MIB), 'budget_day');
  clock.advance(1);
  assert.equal(reason(governor, MIB), undefined);
  assert.deepEqual(governor.status()?.held, []);
});

test('exempt lanes pass and count; hardly anything left is nothing', () => {
  const { governor } = governorOf({ budget: { bytesPerDay: MIB } });
  governor.sent('normal', MIB - 5 * KIB, 10);
  assert.equal(governor.remainingBytes('normal'), 0, 'half a percent');
  assert.equal(governor.remainingBytes('alarm'), Number.POSITIVE_INFINITY);
  assert.equal(governor.hold('alarm', 10 * MIB), undefined);
  governor.sent('alarm', 10 * MIB, 1);
  assert.equal(reason(governor, 1), 'budget_day');
});

test('the stricter of day and month holds, each until its own end', () => {
  const budget = { bytesPerDay: MIB, bytesPerMonth: 2 * MIB, monthStartsOn: 5 };
  const { governor, clock } = governorOf({ budget });
  for (let day = 0; day < 2; day++) {
    governor.sent('normal', MIB, 1);
    assert.equal(reason(governor, 1), day === 0 ? 'budget_day' : 'budget_month');
    clock.advance(DAY_MS);
  }
  const hold = governor.hold('normal', 1);
  assert.equal(hold?.reason, 'budget_month');
  assert.equal(hold?.untilMs, clock.monotonicMs() + 2 * DAY_MS, 'from the 3rd to the 5th');
  clock.advance(2 * DAY_MS);
  assert.equal(reason(governor, 1), undefined);
});

test('an event larger than a whole budget goes first in a period, once', () => {
  const { governor, clock } = governorOf({ budget: { bytesPerDay: 10 * KIB } });
  governor.sent(undefined, KIB, 0); // connecting
  assert.equal(governor.hold('normal', 50 * KIB)?.reason, 'budget_day', 'it can be cut');
  assert.equal(reason(governor, 50 * KIB), undefined);
  governor.sent('normal', 50 * KIB, 1);
  assert.equal(reason(governor, 50 * KIB), 'budget_day');
  assert.equal(reason(governor, 1), 'budget_day');
  clock.advance(DAY_MS);
  governor.sent('normal', KIB, 1);
  assert.equal(reason(governor, 50 * KIB), 'budget_day', 'something was delivered already');
  clock.advance(DAY_MS);
  for (let tries = 0; tries < 5 && reason(governor, 50 * KIB) === undefined; tries++)
    governor.sent('normal', 4 * KIB, 0); // it fails half-way
  assert.equal(used(governor), 12 * KIB, 'tries that fail use the budget up, too');
});

test('reserved bytes are not given twice', () => {
  const { governor } = governorOf({ budget: { bytesPerDay: MIB } });
  const release = governor.reserve(700 * KIB);
  assert.equal(reason(governor, 700 * KIB), 'budget_day');
  release();
  release();
  assert.equal(reason(governor, 700 * KIB), undefined);
  assert.equal(governor.remainingBytes('normal'), MIB);
});

test('outside of the window nothing goes but what is exempt', () => {
  const budget = { windows: [windowOf('22:00-02:00'), windowOf('12:00-13:00')] };
  const { governor, clock } = governorOf({ budget });
  assert.equal(reason(governor, 1), undefined);
  clock.advance(2 * HOUR_MS);
  const hold = governor.hold('normal', 1);
  assert.equal(hold?.reason, 'window');
  assert.equal(hold?.untilMs, clock.monotonicMs() + 10 * HOUR_MS);
  assert.match(
    hold?.detail ?? '',
    /^held until 12:00: outside of the window 22:00-02:00, 12:00-13:00/,
  );
  assert.equal(governor.remainingBytes('normal'), 0);
  assert.equal(governor.hold('alarm', 1), undefined);
  const { window } = governor.status() ?? {};
  assert.deepEqual([window?.open, window?.changesAtMs], [false, clock.wallMs() + 10 * HOUR_MS]);
  clock.advance(10 * HOUR_MS);
  assert.equal(reason(governor, 1), undefined);
});

test('a rate is kept on average, with one batch ahead', () => {
  const { governor, clock } = governorOf({ budget: { bytesPerSecondMax: 10 * KIB } });
  const startMs = clock.monotonicMs();
  let sent = 0;
  while (clock.monotonicMs() < startMs + 100_000) {
    const hold = governor.hold('normal', 37 * KIB);
    if (hold) clock.advance(hold.untilMs - clock.monotonicMs());
    else {
      governor.sent('normal', 37 * KIB, 10);
      sent += 37 * KIB;
    }
  }
  assert.ok(sent <= 101 * 10 * KIB + 37 * KIB, `${sent}`);
  assert.ok(sent >= 99 * 10 * KIB, `${sent}`);
});

test('events per second are kept, and after a pause no more than a second of them is saved up', () => {
  const { governor, clock } = governorOf({ budget: { eventsPerSecondMax: 5 } });
  clock.advance(HOUR_MS);
  let events = 0;
  for (; !governor.hold('normal', 1); events++) governor.sent('normal', 1, 1);
  assert.equal(events, 5);
  const hold = governor.hold('normal', 1);
  assert.equal(hold?.reason, 'rate');
  clock.advance((hold?.untilMs ?? 0) - clock.monotonicMs());
  assert.equal(governor.hold('normal', 1), undefined);
});

test('each network has its own limits and counts; one that is not known costs as the rest', () => {
  let now: string | undefined = 'wwan0';
  const network = (pattern: string, more: Partial<NetworkBudget>): NetworkBudget => ({
    interface: pattern,
    unlimited: false,
    windows: [],
    ...more,
  });
  const networks = [
    network('eth*', { unlimited: true }),
    network('wlan0', { bytesPerDay: 4 * MIB }),
  ];
  const budget = { bytesPerDay: MIB, networks };
  const { governor } = governorOf({ budget, networkInterface: () => now });
  governor.sent('normal', MIB, 1);
  assert.equal(reason(governor, 1), 'budget_day');
  now = 'eth1';
  assert.equal(reason(governor, 10 * MIB), undefined);
  governor.sent('normal', 10 * MIB, 1);
  const { profile, unlimited, day } = governor.status() ?? {};
  assert.deepEqual(
    [profile, unlimited, day?.usedBytes, day?.limitBytes],
    ['eth*', true, 10 * MIB, null],
  );
  now = 'wlan0';
  assert.equal(reason(governor, 3 * MIB), undefined);
  now = 'wlan01';
  assert.equal(reason(governor, 1), 'budget_day');
  now = undefined;
  assert.equal(governor.status()?.profile, 'default');
  assert.equal(reason(governor, 1), 'budget_day');
  const named = governorOf({
    budget: { networks },
    networkInterface: () => undefined,
  });
  assert.equal(named.governor.status()?.profile, 'wlan0', 'a guess must not cost money');
});

test('a restart does not reset what was used; a kill costs one per cent', () => {
  const budget = { bytesPerDay: MIB, bytesPerMonth: 30 * MIB };
  const { governor, clock } = governorOf({ budget });
  clock.advance(3 * HOUR_MS);
  governor.sent('normal', 300 * KIB, 5);
  clock.advance(1_000);
  const clean = governorOf({ budget, clock, saved: governor.record({ ahead: false }) });
  assert.equal(used(clean.governor), 300 * KIB);
  let saved = governor.record({ ahead: true });
  for (let kills = 0; kills < 100; kills++)
    saved = governorOf({ budget, clock, saved }).governor.record({ ahead: true });
  assert.equal(reason(governorOf({ budget, clock, saved }).governor, 1), 'budget_day');
  clock.reboot();
  const afterBoot = governorOf({ budget, clock, saved });
  assert.equal(reason(afterBoot.governor, 1), 'budget_day', 'the same day in another boot');
  clock.advance(DAY_MS);
  assert.equal(reason(afterBoot.governor, 1), undefined);
});

test('days that pass without power are believed to the calendar', () => {
  const budget = { bytesPerDay: MIB };
  const { governor, clock } = governorOf({ budget });
  governor.sent('normal', MIB, 5);
  const saved = governor.record({ ahead: true });
  clock.reboot();
  clock.jump(2 * DAY_MS);
  clock.isSynced = false;
  const after = governorOf({ budget, clock, saved });
  clock.advance(60_000);
  assert.equal(reason(after.governor, 1), 'budget_day', 'not before the clock is known');
  clock.isSynced = true;
  assert.equal(reason(after.governor, 1), undefined);
});

test('what was sent before the clock was known counts for the day that it turns out to be', () => {
  const budget = { bytesPerDay: MIB };
  const { governor, clock } = governorOf({ budget });
  governor.sent('normal', 500 * KIB, 5);
  const saved = governor.record({ ahead: false });
  clock.reboot();
  clock.jump(2 * DAY_MS);
  clock.isSynced = false;
  const after = governorOf({ budget, clock, saved });
  after.governor.sent('normal', 400 * KIB, 5);
  assert.equal(used(after.governor), 900 * KIB);
  clock.isSynced = true;
  assert.equal(used(after.governor), 400 * KIB);
});

test('without a synchronised clock a day is 24 h that really pass', () => {
  const clock = new FakeClock();
  clock.isSynced = false;
  const { governor } = governorOf({ budget: { bytesPerDay: MIB }, clock });
  governor.sent('normal', MIB, 1);
  const hold = governor.hold('normal', 1);
  assert.equal(hold?.untilMs, clock.monotonicMs() + DAY_MS);
  clock.jump(5 * DAY_MS);
  assert.equal(reason(governor, 1), 'budget_day');
  clock.advance(DAY_MS);
  assert.equal(reason(governor, 1), undefined);
  governor.sent('normal', MIB, 1);
  clock.advance(6 * HOUR_MS);
  clock.isSynced = true; // a new day by the calendar, a quarter of one since it was used up
  assert.equal(reason(governor, 300 * KIB), 'budget_day');
  assert.equal(reason(governor, 200 * KIB), undefined);
});

test('a clock that jumps back and forth earns nothing', () => {
  const { governor, clock } = governorOf({ budget: { bytesPerDay: MIB } });
  clock.advance(12 * HOUR_MS);
  governor.sent('normal', MIB, 1);
  for (let jumps = 0; jumps < 20; jumps++) {
    clock.jump((jumps % 2 === 0 ? 3 : -2) * DAY_MS);
    for (; !governor.hold('normal', 64 * KIB); ) governor.sent('normal', 64 * KIB, 1);
  }
  const total = governor.status()?.month.usedBytes ?? 0;
  assert.ok(total <= 1.6 * MIB, `${total / MIB} MiB: half a day has passed`);
});

test('a clock that was set back does not stop the days', () => {
  const { governor, clock } = governorOf({ budget: { bytesPerDay: MIB } });
  clock.advance(12 * HOUR_MS);
  governor.sent('normal', MIB, 1);
  clock.jump(-300 * DAY_MS);
  const hold = governor.hold('normal', 1);
  assert.ok((hold?.untilMs ?? 0) - clock.monotonicMs() <= 26 * HOUR_MS);
  let days = 0;
  for (let hour = 0; hour < 10 * 24; hour++) {
    clock.advance(HOUR_MS);
    if (!governor.hold('normal', MIB)) {
      governor.sent('normal', MIB, 1);
      days++;
    }
  }
  assert.ok(days >= 9 && days <= 11, `${days}`);
});

test('property: over weeks, whatever the clock does, no more is sent than the days that passed allow', () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('pass' as const),
        ms: fc.integer({ min: 1_000, max: 9 * HOUR_MS }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('jump' as const),
        ms: fc.integer({ min: -40 * DAY_MS, max: 40 * DAY_MS }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('sync' as const), ms: fc.constant(0) }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('restart' as const), ms: fc.constant(0) }),
    },
  );
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 20, maxLength: 200 }),
      fc.constantFrom('UTC', 'Europe/Berlin'),
      (steps, timezone) => {
        const clock = new FakeClock();
        const budget = { bytesPerDay: MIB, timezone };
        let { governor } = governorOf({ budget, clock });
        const startMs = clock.monotonicMs();
        let sent = 0;
        for (const { do: what, ms } of steps) {
          if (what === 'pass') clock.advance(ms);
          else if (what === 'jump') clock.jump(ms);
          else if (what === 'sync') clock.isSynced = !clock.isSynced;
          else
            governor = governorOf({
              budget,
              clock,
              saved: governor.record({ ahead: false }),
            }).governor;
          for (; !governor.hold('normal', 100 * KIB); sent += 100 * KIB)
            governor.sent('normal', 100 * KIB, 1);
          const days = (clock.monotonicMs() - startMs) / (22 * HOUR_MS);
          assert.ok(sent <= (days + 2) * MIB, `${sent / MIB} MiB in ${days} days`);
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('property: with a clock that is right each day of the calendar is used, and not exceeded', () => {
  const pass = fc.array(fc.integer({ min: 60_000, max: 5 * HOUR_MS }), {
    minLength: 150,
    maxLength: 400,
  });
  fc.assert(
    fc.property(
      pass,
      fc.integer({ min: 0, max: 360 }),
      fc.boolean(),
      (steps, startDay, restarts) => {
        const clock = new FakeClock();
        clock.advance(startDay * DAY_MS);
        const budget = { bytesPerDay: MIB, timezone: 'America/New_York' };
        let { governor } = governorOf({ budget, clock });
        const byDate = new Map<string, number>();
        for (const [index, ms] of steps.entries()) {
          clock.advance(ms);
          if (restarts && index % 7 === 0) {
            const saved = governor.record({ ahead: false });
            if (index % 3 === 0) clock.reboot();
            ({ governor } = governorOf({ budget, clock, saved }));
          }
          const date = new Date(clock.wallMs()).toLocaleDateString('sv-SE', {
            timeZone: budget.timezone,
          });
          const before = byDate.get(date) ?? 0;
          let sent = 0;
          for (; !governor.hold('normal', 50 * KIB); sent += 50 * KIB)
            governor.sent('normal', 50 * KIB, 1);
          byDate.set(date, before + sent);
        }
        for (const [date, sent] of byDate)
          assert.ok(sent <= MIB && sent >= MIB - 50 * KIB, `${date}: ${sent}`);
      },
    ),
    { numRuns: 60 },
  );
});
