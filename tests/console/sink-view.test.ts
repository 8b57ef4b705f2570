import assert from 'node:assert/strict';
import { test } from 'node:test';
import { budgetBars, budgetNotes } from '../../console/src/budget-view.ts';
import { bridgeView, sinkView } from '../../console/src/sink-view.ts';
import { BRIDGE_STATES } from '../../hub/core/bridge.ts';
import { LINK_STATES } from '../../hub/core/link.ts';
import type { SinkStatus } from '../../hub/core/status.ts';
import { outageOf } from '../support/fixed-view.ts';

const NOW_MS = 1_700_000_000_000;

function sink(given: Partial<SinkStatus>): SinkStatus {
  return {
    id: 'cloud',
    type: 'http',
    state: 'sending',
    lagEvents: 0,
    lagMs: 0,
    eventsPerSecond: 0,
    etaSeconds: null,
    deliveredEvents: 0,
    filteredEvents: 0,
    deadLetters: 0,
    lostEvents: 0,
    lanes: [],
    pace: { requests: 1, eventsMax: 5000, eventsPerSecondMax: null },
    replay: { running: null, queued: 0, replayedEvents: 0 },
    outage: null,
    ...given,
  };
}

function view(given: Partial<SinkStatus>): string {
  const { tone, headline } = sinkView(sink(given), NOW_MS);
  return `${tone}: ${headline.replaceAll('\u00a0', ' ')}`;
}

test('a sink that keeps up, one that drains, one that falls behind', () => {
  assert.equal(view({ lagEvents: 40, lagMs: 900 }), 'good: Up to date');
  assert.equal(
    view({ lagEvents: 9e5, lagMs: 9e5, etaSeconds: 125 }),
    'busy: Draining, caught up in 2 min 5 s',
  );
  assert.equal(view({ lagEvents: 9e5, lagMs: 9e5 }), 'warn: Behind, and not catching up');
});

test('a sink that is down says when it is tried again and that its events are safe', () => {
  const down = { state: 'backoff', lagEvents: 207_000, lagMs: 9e5 } as const;
  assert.equal(
    view({ ...down, retryAtMs: NOW_MS + 12_001 }),
    'bad: Down, next try in 13 s, 207 k events safe on disk',
  );
  assert.equal(
    view({ ...down, retryAtMs: NOW_MS - 1 }),
    'bad: Down, trying now, 207 k events safe on disk',
  );
});

test('a sink in an outage says since when, also while it is tried', () => {
  const outage = outageOf(1, { startedMs: NOW_MS - 3_600_000, endedMs: null });
  for (const state of ['backoff', 'connecting', 'sending'] as const) {
    const down = view({ state, lagEvents: 12_345, lagMs: 9e5, outage });
    assert.match(
      down,
      /^bad: Down since (\d+ \w+ )?\d\d:\d\d, trying now, 12\.3 k events safe/,
      state,
    );
  }
});

test('every state has a tone and a headline', () => {
  for (const state of LINK_STATES) assert.match(view({ state }), /^[a-z]+: .{5}/, state);
  for (const state of BRIDGE_STATES) {
    const { headline } = bridgeView({ id: 'pico', type: 'serial', state });
    assert.ok(headline.length > 4, state);
  }
  const reading = {
    id: 'bus',
    type: 'modbus',
    state: 'reading',
    detail: 'boiler is silent',
  } as const;
  assert.equal(bridgeView(reading).tone, 'good');
  assert.deepEqual(bridgeView({ ...reading, degraded: true }), {
    tone: 'warn',
    headline: 'boiler is silent',
  });
  assert.equal(view({ state: 'halted' }).split(':')[0], 'bad');
  assert.equal(view({ state: 'paused' }).split(':')[0], 'warn');
});

test('a sink that its budget holds back says so while something waits', () => {
  const use = { usedBytes: 40 * 2 ** 20, limitBytes: 50 * 2 ** 20, resetsAtMs: NOW_MS };
  const held = {
    lane: 'normal' as const,
    reason: 'window' as const,
    untilMs: NOW_MS,
    detail: 'held until 01:00: outside of the window 01:00-05:00',
  };
  const governor = {
    profile: 'default',
    interface: 'wwan0',
    unlimited: false,
    day: use,
    month: { ...use, limitBytes: null },
    window: { text: '01:00-05:00', open: false, changesAtMs: NOW_MS },
    exempt: ['alarm' as const],
    held: [held],
  };
  const waiting = { state: 'reading' as const, lagEvents: 1200, lagMs: 9e6, governor };
  assert.equal(view(waiting), 'busy: Held back by its budget, 1,200 events safe on disk');
  assert.equal(view({ ...waiting, lagEvents: 0, lagMs: 0 }), 'good: Up to date');
  const rate = { ...governor, held: [{ ...held, reason: 'rate' as const }] };
  assert.equal(view({ ...waiting, governor: rate, lagMs: 0 }), 'good: Up to date');
  const [bar, ...others] = budgetBars(governor, NOW_MS);
  assert.deepEqual([bar?.share, bar?.tone, others.length], [0.8, 'warn', 0]);
  assert.match(bar?.text.replaceAll('\u00a0', ' ') ?? '', /^40.* of 50.* a day \(80 %\), until /);
  assert.equal(budgetNotes(governor), 'wwan0: limits of default, window 01:00-05:00 is closed');
});
