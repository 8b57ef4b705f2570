import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockingWork } from '../../firmware-bridge/sampling/blocking-work.ts';
import { until } from '../support/until.ts';

const LIMITS = { atOnceMax: 2, threadsHeldMax: 3, hangsAfterMs: 40 };

/** Work that ends when a test lets it, and how much of it is under way. */
class Desk {
  readonly work = new BlockingWork(LIMITS);
  readonly stop = new AbortController();
  readonly started: string[] = [];
  readonly #ends = new Map<string, () => void>();

  begin(name: string, signal = this.stop.signal): Promise<void> {
    return this.work.run(name, signal, () => {
      this.started.push(name);
      return new Promise<void>((resolve) => this.#ends.set(name, resolve));
    });
  }

  end(name: string): void {
    this.#ends.get(name)?.();
  }
}

test('two at once, in the order of asking', async () => {
  const desk = new Desk();
  const [a, ...others] = ['a', 'b', 'c', 'd'].map((name) => desk.begin(name));
  await until('two', () => desk.started.length === 2);
  assert.deepEqual(desk.started, ['a', 'b']);
  desk.end('a');
  await a;
  await until('the third', () => desk.started.length === 3);
  assert.deepEqual(desk.started, ['a', 'b', 'c']);
  assert.deepEqual(desk.work.hanging, []);
  desk.end('b');
  await until('the last', () => desk.started.length === 4);
  for (const name of ['c', 'd']) desk.end(name);
  await Promise.all(others);
});

test('what hangs does not stop the others, is named, and leaves a thread to the log', async () => {
  const desk = new Desk();
  const hung = ['a', 'b'].map((name) => desk.begin(name));
  const c = desk.begin('c');
  await until('the third has the place of one that hangs', () => desk.started.includes('c'));
  await until('both are named', () => desk.work.hanging.length === 2);
  desk.end('c');
  await c;
  const d = desk.begin('d');
  const e = desk.begin('e');
  await until('the next', () => desk.started.includes('d'));
  await until('three hang', () => desk.work.hanging.length === 3);
  assert.ok(!desk.started.includes('e'), 'a fourth would take the last thread');
  desk.end('a');
  await until('a place', () => desk.started.includes('e'));
  for (const name of ['b', 'd', 'e']) desk.end(name);
  await Promise.all([...hung, d, e]);
  assert.deepEqual(desk.work.hanging, []);
});

test('who gives up waiting leaves the queue', async () => {
  const desk = new Desk();
  const [a, b] = ['a', 'b'].map((name) => desk.begin(name));
  const impatient = new AbortController();
  const c = desk.begin('c', impatient.signal);
  const d = desk.begin('d');
  impatient.abort();
  await assert.rejects(c, /gave up waiting to reach c/);
  for (const name of ['a', 'b']) desk.end(name);
  await Promise.all([a, b]);
  await until('the next', () => desk.started.includes('d'));
  desk.end('d');
  await d;
  assert.ok(!desk.started.includes('c'));
});
