import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  advanced,
  type CursorCounts,
  cursorAt,
  gapsIn,
  livePosition,
  settledAhead,
  settling,
} from '../../hub/log/cursor-state.ts';

const TAIL = 60;

/** What happens to a cursor: live or backlog moves on by so much, or newer events go ahead. */
const step = fc.record({
  what: fc.constantFrom('live' as const, 'backlog' as const, 'leave behind' as const),
  by: fc.integer({ min: 1, max: 9 }),
});

/** The same in the plainest way: which offsets are settled. */
function modelled(steps: readonly { what: string; by: number }[]) {
  const settled = new Set<number>();
  let counts: CursorCounts = cursorAt(0);
  for (const { what, by } of steps) {
    const live = livePosition(counts);
    const to = Math.min(live + by, TAIL);
    if (what === 'leave behind') {
      if (to > live) counts = { ...counts, ahead: [...counts.ahead, { from: to, to }] };
      continue;
    }
    const gap = counts.ahead[0];
    const range =
      what === 'backlog' && gap
        ? { from: counts.offset, to: Math.min(counts.offset + by, gap.from) }
        : { from: live, to };
    if (range.to <= range.from) continue;
    counts = settling(counts, range);
    for (let offset = range.from; offset < range.to; offset++) settled.add(offset);
  }
  return { counts, settled };
}

test('cursor: ranges ahead of it are what was settled out of order, and close up', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { counts, settled } = modelled(steps);
      const { offset, ahead } = counts;
      const missing = Array.from({ length: TAIL }, (_, at) => at).filter((at) => !settled.has(at));
      assert.deepEqual(
        gapsIn(counts, 0, TAIL).flatMap(({ from, to }) =>
          Array.from({ length: to - from }, (_, index) => from + index),
        ),
        missing,
      );
      assert.equal(offset + settledAhead(counts), settled.size);
      assert.ok(offset <= (missing[0] ?? TAIL), 'nothing below it is missing');
      const edges = [offset, ...ahead.flatMap(({ from, to }) => [from, to])];
      assert.deepEqual(
        edges,
        [...edges].sort((a, b) => a - b),
      );
      assert.ok(ahead.every(({ from }, index) => from > (ahead[index - 1]?.to ?? offset)));
    }),
  );
});

test('cursor: one that turned out to be old takes everything below as delivered, once', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(TAIL), (steps, head) => {
      const { counts, settled } = modelled(steps);
      const before = { ...counts, delivered: settled.size };
      const after = advanced(before, head);
      for (let offset = 0; offset < head; offset++) settled.add(offset);
      assert.equal(after.delivered, settled.size);
      assert.equal(after.offset + settledAhead(after), settled.size);
      assert.deepEqual(gapsIn(after, 0, head), []);
    }),
  );
});

test('cursor: what begins nowhere, or ends in what is settled, is a defect', () => {
  const counts = { ...cursorAt(10), ahead: [{ from: 20, to: 30 }] };
  assert.throws(() => settling(counts, { from: 11, to: 12 }), /in order/);
  assert.throws(() => settling(counts, { from: 10, to: 21 }), /twice/);
  assert.throws(() => settling(counts, { from: 20, to: 31 }), /in order/);
});
