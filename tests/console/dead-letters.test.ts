import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError, type LetterChoice } from '../../console/src/api.ts';
import { letterList } from '../../console/src/dead-letters.ts';
import type { DeadLetterPage } from '../../hub/core/status.ts';
import { deadLetterOf } from '../support/fixed-dead-letters.ts';

const RETRIES = { waiting: 0, taken: 0, refused: 0, sinceMs: 0 };

function pageOf(count: number): DeadLetterPage {
  const letters = Array.from({ length: count }, (_, number) => deadLetterOf(number));
  return { sink: 'cloud', total: count, retries: RETRIES, letters, next: null };
}

/** A hub with a list that a test answers by hand, or at once. */
class Hub {
  readonly limits: number[] = [];
  readonly told: LetterChoice[] = [];
  answer: (limit: number) => Promise<DeadLetterPage> = async (limit) => pageOf(limit);
  failure: Error | undefined;

  deadLetters = (_sink: string, limit: number): Promise<DeadLetterPage> => {
    this.limits.push(limit);
    return this.answer(limit);
  };

  retryDeadLetters = async (sink: string, choice: LetterChoice) => {
    this.told.push(choice);
    if (this.failure) throw this.failure;
    return { sink, retried: 2, retries: RETRIES };
  };

  discardDeadLetters = async (sink: string, choice: LetterChoice) => {
    this.told.push(choice);
    if (this.failure) throw this.failure;
    return { sink, discarded: 1, underWay: 2, left: 0 };
  };
}

test('dead letters on the console: more are shown in steps, no more than the hub answers', async () => {
  const hub = new Hub();
  const list = letterList(hub, 'cloud');
  await list.refresh();
  assert.equal(list.page.value?.letters.length, 20);
  for (let step = 0; step < 40; step++) await list.more();
  assert.deepEqual(hub.limits.slice(0, 3), [20, 40, 60]);
  assert.equal(Math.max(...hub.limits), 500);
});

test('dead letters on the console: an old answer does not come after a newer one', async () => {
  const hub = new Hub();
  const answers: ((page: DeadLetterPage) => void)[] = [];
  hub.answer = () => new Promise((resolve) => answers.push(resolve));
  const list = letterList(hub, 'cloud');
  const both = [list.refresh(), list.refresh()];
  answers[1]?.(pageOf(1));
  answers[0]?.(pageOf(9));
  await Promise.all(both);
  assert.equal(list.page.value?.total, 1);
});

test('dead letters on the console: says what was done, and what went wrong', async () => {
  const hub = new Hub();
  const list = letterList(hub, 'cloud');
  await list.retry([4, 5]);
  assert.match(list.message.value, /^2 dead letters will be sent again/);
  await list.discard('all');
  assert.match(list.message.value, /^1 dead letter discarded; .*2 are being sent right now/);
  assert.deepEqual(hub.told, [[4, 5], 'all']);
  hub.failure = new ApiError(404, 'There is no dead letter 4.');
  await list.retry([4]);
  assert.equal(list.message.value, 'There is no dead letter 4.');
  hub.failure = new TypeError('fetch failed');
  await list.discard([4]);
  assert.equal(list.message.value, 'The hub cannot be reached.');
  assert.equal(list.busy.value, false);
});

test('dead letters on the console: one instruction at a time', async () => {
  const hub = new Hub();
  const list = letterList(hub, 'cloud');
  const first = list.retry([1]);
  assert.equal(list.busy.value, true);
  await list.discard([1]);
  await first;
  assert.deepEqual(hub.told, [[1]]);
});
