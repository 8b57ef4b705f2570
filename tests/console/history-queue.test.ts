import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { historyQueue } from '../../console/src/history-queue.ts';

/** Requests that the test answers by hand. */
function openRequests() {
  const asked: string[] = [];
  const open = new Map<string, PromiseWithResolvers>();
  const fetchHistory = (key: string) => {
    asked.push(key);
    return new Promise<void>((resolve, reject) => {
      open.set(key, { resolve, reject });
    });
  };
  const settle = async (key: string, error?: Error) => {
    if (error) open.get(key)?.reject(error);
    else open.get(key)?.resolve();
    await turn();
  };
  return { asked, fetchHistory, settle };
}

interface PromiseWithResolvers {
  resolve(): void;
  reject(error: Error): void;
}

test('four at a time, the newest wish next, none that left the screen', async () => {
  const { asked, fetchHistory, settle } = openRequests();
  const queue = historyQueue(fetchHistory);
  for (const key of 'abcdefg') queue.show(key);
  assert.deepEqual(asked, ['a', 'b', 'c', 'd']);
  queue.hide('g');
  await settle('a');
  await settle('b');
  assert.deepEqual(asked, ['a', 'b', 'c', 'd', 'f', 'e']);
});

test('a series is fetched once, a failed one again when it is shown again', async () => {
  const { asked, fetchHistory, settle } = openRequests();
  const queue = historyQueue(fetchHistory);
  queue.show('a');
  await settle('a');
  queue.hide('a');
  queue.show('a');
  assert.deepEqual(asked, ['a']);
  queue.show('b');
  await settle('b', new Error('503'));
  queue.show('b');
  assert.deepEqual(asked, ['a', 'b', 'b']);
});

test('after a reconnection what is on screen is fetched again', async () => {
  const { asked, fetchHistory, settle } = openRequests();
  const queue = historyQueue(fetchHistory);
  queue.show('a');
  queue.show('b');
  await settle('a');
  await settle('b');
  queue.hide('a');
  queue.refetch();
  assert.deepEqual(asked, ['a', 'b', 'b']);
});
