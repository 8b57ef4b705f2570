import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeView, sinkView } from '../../console/src/sink-view.ts';
import { BRIDGE_STATES } from '../../hub/core/bridge.ts';
import { LINK_STATES } from '../../hub/core/link.ts';
import type { SinkStatus } from '../../hub/core/status.ts';

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
    replay: { running: null, queued: 0, replayedEvents: 0 },
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

test('every state has a tone and a headline', () => {
  for (const state of LINK_STATES) assert.match(view({ state }), /^[a-z]+: .{5}/, state);
  for (const state of BRIDGE_STATES) {
    const { headline } = bridgeView({ id: 'pico', type: 'serial', state });
    assert.ok(headline.length > 4, state);
  }
  assert.equal(view({ state: 'halted' }).split(':')[0], 'bad');
  assert.equal(view({ state: 'paused' }).split(':')[0], 'warn');
});
