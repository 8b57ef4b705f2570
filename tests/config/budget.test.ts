import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsed, problemsOf } from './problems-of.ts';

const http = (budget: string) =>
  `sinks:\n  - id: a\n    type: http\n    url: http://x\n    budget: ${budget}\n`;
const problem = (budget: string) => problemsOf(http(budget)).join('\n');

test('a budget as it is meant to be written', () => {
  const text = http(
    '{ bytes_per_day: 50 MiB, window: "01:00-05:00", networks: [{ interface: "eth*", ' +
      'unlimited: true }, { interface: wlan0, bytes_per_month: 1 GiB, window: ["00:00-24:00"] }] }',
  );
  const { budget } = parsed(text).sinks[0] ?? {};
  assert.equal(budget?.bytes_per_day, 50 * 1024 ** 2);
  assert.deepEqual(budget?.exempt, ['alarm']);
  assert.equal(budget?.month_starts_on, 1);
  const { window } = budget ?? {};
  assert.ok(window && 'text' in window && window.fromMinute === 60);
  assert.equal(budget?.networks.length, 2);
  assert.equal(parsed(http('{ bytes_per_month: 1 GiB, month_starts_on: 31 }')).sinks.length, 1);
  assert.deepEqual(problemsOf('sinks: [{ id: a, type: http, url: "http://x" }]'), []);
});

test('windows and zones that are none are named', () => {
  assert.match(
    problem('{ window: "1-5" }'),
    /^5:\d+ {2}sinks\[0\]\.budget\.window — .*01:00-05:00/,
  );
  assert.match(problem('{ window: "25:00-26:00" }'), /window — has a time that no clock shows/);
  assert.match(problem('{ window: "05:00-05:00" }'), /window — ends when it begins/);
  assert.match(problem('{ window: ["01:00-02:00", "x"] }'), /window\[1\] — is not a window/);
  assert.match(problem('{ window: "mo 01:00-02:00" }'), /names days other than sun, mon/);
  assert.match(problem('{ bytes_per_day: 1 MiB, timezone: Berlin }'), /is not a time zone such as/);
});

test('what contradicts itself or does nothing is an error', () => {
  assert.match(problem('{}'), /^5:\d+ {2}sinks\[0\]\.budget — limits nothing \(set one of/);
  assert.match(problem('{ timezone: UTC }'), /budget — limits nothing/);
  assert.match(
    problem('{ networks: [{ interface: "eth*", unlimited: true }] }'),
    /budget — limits nothing/,
  );
  assert.match(
    problem('{ bytes_per_day: 2 GiB, bytes_per_month: 1 GiB }'),
    /bytes_per_day — is more than bytes_per_month/,
  );
  assert.match(
    problem('{ bytes_per_day: 1 MiB, exempt: [alarm, normal, bulk] }'),
    /exempt — names every lane/,
  );
  assert.match(
    problem('{ bytes_per_day: 1 MiB, month_starts_on: 5 }'),
    /month_starts_on — has no meaning without bytes_per_month/,
  );
  const networks = (list: string) => problem(`{ bytes_per_day: 1 MiB, networks: [${list}] }`);
  assert.match(networks('{ interface: eth0 }'), /networks\[0\] — limits nothing .*unlimited: true/);
  assert.match(
    networks('{ interface: eth0, unlimited: true, bytes_per_day: 1 MiB }'),
    /networks\[0\]\.unlimited — contradicts the limits beside it/,
  );
  const twice = '{ interface: "w*", unlimited: true }';
  assert.match(networks(`${twice}, ${twice}`), /networks\[1\]\.interface — .* networks\[0\] too/);
  assert.match(networks('{ interface: "e/h", unlimited: true }'), /is not a name of network/);
});

test('a sink without a network has no budget', () => {
  const text = 'sinks:\n  - { id: a, type: file, path: a, budget: { bytes_per_day: 1 MiB } }\n';
  assert.match(
    problemsOf(text).join(),
    /budget — has no effect: a sink of type file sends nothing/,
  );
});
