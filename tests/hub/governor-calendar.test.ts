import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isOpenAt, parseTimeWindow, type TimeWindow } from '../../hub/core/time-window.ts';
import { Calendar } from '../../hub/forward/governor/calendar.ts';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Africa/Cairo', // changes at midnight
  'America/Havana', // changes at midnight, back into the day before
  'Asia/Kolkata',
  'Australia/Lord_Howe', // changes by half an hour
  'Pacific/Chatham',
];

function windowOf(text: string): TimeWindow {
  const window = parseTimeWindow(text);
  assert.ok(!('problem' in window), JSON.stringify(window));
  return window;
}

const at = (text: string) => Date.parse(text);
const iso = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms).toISOString());

test('windows are read with days, over midnight, up to the end of the day', () => {
  const night = windowOf('Mon-Fri 22:00-06:00');
  assert.deepEqual([...night.days].sort(), [1, 2, 3, 4, 5]);
  assert.ok(isOpenAt(night, 5, 22 * 60), 'Friday evening');
  assert.ok(isOpenAt(night, 6, 5 * 60 + 59), 'the night that began on Friday');
  assert.ok(!isOpenAt(night, 6, 22 * 60), 'Saturday evening');
  assert.ok(!isOpenAt(night, 1, 60), 'the night that began on Sunday');
  assert.deepEqual([...windowOf('fri-mon,wed 00:00-24:00').days].sort(), [0, 1, 3, 5, 6]);
  for (const bad of [
    '1:00-5:00',
    '01:00',
    '01:00-01:00',
    '25:00-26:00',
    '01:60-02:00',
    '24:00-01:00',
  ])
    assert.ok('problem' in parseTimeWindow(bad), bad);
  for (const bad of ['mo-fr 01:00-02:00', 'mon-tue-wed 01:00-02:00', 'mon- 01:00-02:00'])
    assert.ok('problem' in parseTimeWindow(bad), bad);
});

test('days and windows follow the clock on the wall where it changes', () => {
  const berlin = new Calendar('Europe/Berlin', 1);
  const spring = at('2026-03-29T10:00:00Z');
  assert.equal(iso(berlin.dayStart(spring)), '2026-03-28T23:00:00.000Z');
  assert.equal(iso(berlin.nextDayStart(spring)), '2026-03-29T22:00:00.000Z', '23 h');
  const autumn = at('2026-10-25T10:00:00Z');
  assert.equal(berlin.nextDayStart(autumn) - berlin.dayStart(autumn), 25 * HOUR_MS);
  const skipped = [windowOf('02:30-04:00')];
  const change = berlin.nextChange(skipped, at('2026-03-28T23:30:00Z'));
  assert.equal(iso(change), '2026-03-29T01:00:00.000Z', '02:30 is not there: it opens at 03:00');
  const twice = [windowOf('02:00-02:30')];
  const opened = berlin.nextChange(twice, at('2026-10-24T22:00:00Z')) ?? 0;
  const closed = berlin.nextChange(twice, opened) ?? 0;
  assert.equal(iso(closed), '2026-10-25T00:30:00.000Z');
  assert.equal(
    iso(berlin.nextChange(twice, closed)),
    '2026-10-25T01:00:00.000Z',
    'the second 02:00',
  );
  const cairo = new Calendar('Africa/Cairo', 1); // 2026-04-24 00:00 does not exist
  assert.equal(iso(cairo.dayStart(at('2026-04-24T08:00:00Z'))), '2026-04-23T22:00:00.000Z');
});

test('a billing month begins on its day, or on the last one of a shorter month', () => {
  const calendar = new Calendar('UTC', 31);
  const around = (text: string) => [
    iso(calendar.monthStart(at(text)))?.slice(0, 10),
    iso(calendar.nextMonthStart(at(text)))?.slice(0, 10),
  ];
  assert.deepEqual(around('2026-01-15T12:00:00Z'), ['2025-12-31', '2026-01-31']);
  assert.deepEqual(around('2026-02-28T00:00:00Z'), ['2026-02-28', '2026-03-31']);
  assert.deepEqual(around('2026-03-30T23:59:59Z'), ['2026-02-28', '2026-03-31']);
  assert.deepEqual(around('2026-12-31T12:00:00Z'), ['2026-12-31', '2027-01-31']);
});

/** The local day and minute by another way than the code under test. */
function local(zone: string, ms: number): { date: string; day: number; minute: number } {
  const text = new Date(ms).toLocaleString('sv-SE', { timeZone: zone }); // 2026-03-29 01:59:00
  const [date = '', time = ''] = text.split(' ');
  const [hour = 0, minute = 0] = time.split(':').map(Number);
  return { date, day: new Date(`${date}T00:00:00Z`).getUTCDay(), minute: hour * 60 + minute };
}

test('property: a day begins at the first instant of its date, and the next one follows it', () => {
  const time = fc.integer({ min: at('2024-01-01T00:00:00Z'), max: at('2029-01-01T00:00:00Z') });
  fc.assert(
    fc.property(fc.constantFrom(...ZONES), time, (zone, ms) => {
      const calendar = new Calendar(zone, 1);
      const start = calendar.dayStart(ms);
      const next = calendar.nextDayStart(ms);
      assert.ok(start <= ms && ms < next);
      assert.ok(next - start >= 22.5 * HOUR_MS && next - start <= 25.5 * HOUR_MS);
      assert.equal(calendar.dayStart(next), next);
      assert.equal(calendar.dayStart(next - 1), start);
      assert.notEqual(local(zone, next).date, local(zone, start).date);
      const month = [calendar.monthStart(ms), calendar.nextMonthStart(ms)] as const;
      assert.ok(month[0] <= start && next <= month[1]);
      assert.equal(local(zone, month[1]).date.slice(8), '01');
      assert.equal(calendar.monthStart(month[1] - 1), month[0]);
    }),
    { numRuns: 300 },
  );
});

test('property: a window is open when the clock on the wall says so, and changes when it does', () => {
  const minute = fc.integer({ min: 0, max: 1439 });
  const text = (value: number) =>
    `${String(Math.floor(value / 60)).padStart(2, '0')}:${String(value % 60).padStart(2, '0')}`;
  const dstWeeks = [
    '2026-03-08',
    '2026-03-29',
    '2026-10-25',
    '2026-11-01',
    '2026-04-24',
    '2026-04-05',
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...ZONES),
      fc.constantFrom(...dstWeeks),
      fc.integer({ min: -2 * 1440, max: 2 * 1440 }),
      fc.tuple(minute, minute).filter(([from, to]) => from !== to),
      fc.constantFrom('', 'sat,sun ', 'sun '),
      (zone, day, offset, [from, to], days) => {
        const window = windowOf(`${days}${text(from)}-${text(to)}`);
        const calendar = new Calendar(zone, 1);
        const ms = at(`${day}T00:00:00Z`) + offset * MINUTE_MS;
        const open = (when: number) => {
          const { day: weekday, minute: now } = local(zone, when);
          return isOpenAt(window, weekday, now);
        };
        assert.equal(calendar.isOpen([window], ms), open(ms));
        const change = calendar.nextChange([window], ms) ?? assert.fail('it changes');
        assert.equal(open(change), !open(ms));
        for (let step = ms; step < Math.min(change, ms + 6 * HOUR_MS); step += 17 * MINUTE_MS)
          assert.equal(open(step), open(ms));
        assert.equal(open(change - MINUTE_MS), open(ms));
      },
    ),
    { numRuns: 200 },
  );
});
