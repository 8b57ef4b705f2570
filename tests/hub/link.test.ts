import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HubError } from '../../hub/core/errors.ts';
import { type Link, type LinkInput, nextLink, START } from '../../hub/forward/link.ts';

const retry = { delayMinMs: 100, delayMaxMs: 5_000 };
const around = { nowMs: 1_000, random: 0.5, retry };
const lost = new HubError('SINK_DISCONNECTED', 'gone');

/** What the forwarder may ask of the machine, and where that leads. */
const LEGAL_PATHS: readonly (readonly [Link['state'], LinkInput, Link['state']])[] = [
  ['connecting', { input: 'connected' }, 'reading'],
  ['connecting', { input: 'failed', error: lost }, 'backoff'],
  ['connecting', { input: 'failed', error: new HubError('SINK_REFUSED', 'no') }, 'halted'],
  ['reading', { input: 'batch' }, 'sending'],
  ['reading', { input: 'failed', error: new TypeError('a defect') }, 'backoff'],
  ['sending', { input: 'taken' }, 'sending'],
  ['sending', { input: 'settled' }, 'reading'],
  ['sending', { input: 'failed', error: lost }, 'backoff'],
  ['sending', { input: 'failed', error: new HubError('SINK_REFUSED', 'no') }, 'halted'],
  ['backoff', { input: 'waited' }, 'connecting'],
  ['halted', { input: 'waited' }, 'connecting'],
  ['connecting', { input: 'stop' }, 'stopped'],
  ['reading', { input: 'stop' }, 'stopped'],
  ['sending', { input: 'stop' }, 'stopped'],
  ['backoff', { input: 'stop' }, 'stopped'],
  ['halted', { input: 'stop' }, 'stopped'],
  ['paused', { input: 'stop' }, 'stopped'],
  ['connecting', { input: 'pause' }, 'paused'],
  ['reading', { input: 'pause' }, 'paused'],
  ['sending', { input: 'pause' }, 'paused'],
  ['backoff', { input: 'pause' }, 'paused'],
  ['halted', { input: 'pause' }, 'paused'],
  ['paused', { input: 'pause' }, 'paused'],
  ['paused', { input: 'resume' }, 'connecting'],
  ['reading', { input: 'resume' }, 'reading'],
  ['sending', { input: 'resume' }, 'sending'],
  ['backoff', { input: 'resume' }, 'backoff'],
  ['connecting', { input: 'again' }, 'connecting'],
  ['reading', { input: 'again' }, 'reading'],
  ['sending', { input: 'again' }, 'connecting'],
  ['backoff', { input: 'again' }, 'connecting'],
  ['halted', { input: 'again' }, 'connecting'],
];

function linkIn(state: Link['state'], failures = 3): Link {
  const waiting = { failures, untilMs: 0, detail: '' };
  if (state === 'backoff') return { state, ...waiting, reconnect: true };
  if (state === 'halted') return { state, ...waiting };
  return { state, failures };
}

function failedWith(error: unknown, failures = 0, random = 0.5): Link & { untilMs: number } {
  const link = nextLink(
    linkIn('sending', failures),
    { input: 'failed', error },
    { ...around, random },
  );
  assert.ok('untilMs' in link);
  return link;
}

for (const [from, input, to] of LEGAL_PATHS) {
  const error = 'error' in input && input.error instanceof HubError ? input.error.code : '';
  const taken = 'taken' in input ? String(input.taken) : '';
  test(`link: ${from} + ${input.input} ${error}${taken} leads to ${to}`, () => {
    assert.equal(nextLink(linkIn(from), input, around).state, to);
  });
}

test('link: begins by connecting, and nothing leaves stopped', () => {
  assert.deepEqual(START, { state: 'connecting', failures: 0 });
  for (const [, input] of LEGAL_PATHS) {
    assert.equal(nextLink(linkIn('stopped'), input, around).state, 'stopped');
  }
});

test('link: nothing but an instruction ends a pause, however what was under way ends', () => {
  for (const [, input] of LEGAL_PATHS) {
    if (input.input === 'resume' || input.input === 'stop') continue;
    assert.deepEqual(nextLink(linkIn('paused'), input, around), linkIn('paused'), input.input);
  }
});

test('link: failures are forgotten only when something was taken', () => {
  const failures = (input: LinkInput) => nextLink(linkIn('sending', 7), input, around).failures;
  assert.equal(failures({ input: 'connected' }), 7);
  assert.equal(failures({ input: 'batch' }), 7);
  assert.equal(failures({ input: 'settled' }), 7);
  assert.equal(failures({ input: 'failed', error: lost }), 8);
  assert.equal(failures({ input: 'taken' }), 0);
});

test('link: waits with full jitter between half the minimum and a doubling, bounded ceiling', () => {
  fc.assert(
    fc.property(
      fc.nat(10_000),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (failures, random) => {
        const waitMs = failedWith(lost, failures, random).untilMs - around.nowMs;
        const ceilingMs = Math.min(retry.delayMaxMs, retry.delayMinMs * 2 ** failures);
        assert.ok(waitMs >= retry.delayMinMs / 2 && waitMs <= ceilingMs, String(waitMs));
      },
    ),
  );
  assert.equal(failedWith(lost, 20, 0.999).untilMs - around.nowMs, 0.999 * retry.delayMaxMs);
  assert.equal(failedWith(lost, 20, 0).untilMs - around.nowMs, retry.delayMinMs / 2);
});

test('link: Retry-After counts, and the connection is kept', () => {
  const throttled = new HubError('SINK_THROTTLED', 'slower', { retryAfterMs: 60_000 });
  const link = failedWith(throttled);
  assert.equal(link.untilMs, around.nowMs + 60_000);
  assert.equal(nextLink(link, { input: 'waited' }, around).state, 'reading');
});

test('link: a Retry-After that is no time, or none at all, does not become a storm', () => {
  for (const retryAfterMs of [0, -5, Number.NaN, Number.POSITIVE_INFINITY]) {
    const throttled = new HubError('SINK_THROTTLED', 'slower', { retryAfterMs });
    const waitMs = failedWith(throttled).untilMs - around.nowMs;
    assert.ok(waitMs >= retry.delayMinMs / 2 && waitMs <= retry.delayMaxMs, `${retryAfterMs}`);
  }
});

test('link: who is refused is tried again slowly, with the reason', () => {
  const link = failedWith(new HubError('SINK_REFUSED', 'wrong password'));
  assert.equal(link.untilMs, around.nowMs + retry.delayMaxMs);
  assert.equal('detail' in link && link.detail, 'wrong password');
});
