import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChaosBook, type FarEvent, SETTLED_WITHIN_MS } from '../support/chaos-book.ts';

const event = (offset: number, more: Partial<FarEvent> = {}): FarEvent => ({
  id: `gw.log.normal.${offset}`,
  lane: 'normal',
  offset,
  device: 'dev0',
  backfill: false,
  ...more,
});

test('chaos book: what the hub was told may not come again, what it was not told may', () => {
  const book = new ChaosBook();
  book.told(book.process([event(0), event(1)]), 10);
  book.process([event(2)]);
  book.process([event(2)]);
  assert.deepEqual([book.problems, book.duplicates, book.count('normal')], [[], 1, 3]);
  book.process([event(1)]);
  assert.equal(book.problems.length, 1);
  assert.match(book.problems.join(), /normal\.1 came again \(2\)/);
});

test('chaos book: a kill excuses what was told right before it, but not what was settled', () => {
  const book = new ChaosBook();
  book.told(book.process([event(0)]), 10);
  book.told(book.process([event(1)]), 10 + SETTLED_WITHIN_MS);
  book.killed({ beginMs: 20 + SETTLED_WITHIN_MS, endMs: 21 + SETTLED_WITHIN_MS });
  book.process([event(0), event(1)]);
  assert.match(book.problems.join(), /^gw\.log\.normal\.0 came again/);
  const other = new ChaosBook();
  other.told(other.process([event(0), event(1)]), 10);
  other.killed({ beginMs: 20, endMs: 21, isSettled: (_lane, offset) => offset < 1 });
  other.process([event(0), event(1)]);
  assert.match(other.problems.join(), /^gw\.log\.normal\.0 came again/);
});

test('chaos book: a device keeps its order in a lane, apart from its backlog', () => {
  const book = new ChaosBook();
  book.process([event(5), event(3, { device: 'dev1' }), event(2, { backfill: true })]);
  assert.deepEqual(book.problems, []);
  book.process([event(4)]);
  assert.match(book.problems.join(), /normal\.4 of dev0 came after 5/);
});
