/**
 * Goal: what was acknowledged survives a SIGKILL at any moment. Method: a child process appends and
 * prints what was acknowledged; it is killed at a random time, again and again on the same folder.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { levelStorage } from '../../hub/log/storage/level-storage.ts';
import { afterTest } from '../support/after-test.ts';
import { openTestLog, readAll } from '../support/log-fixture.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';

const ROUNDS = 12;
const LIFE_MS_MAX = 150;
const CHILD = fileURLToPath(new URL('./log-crash-child.js', import.meta.url));

/** Answers the numbers that the child acknowledged before it died. */
async function killedChild(folder: string, first: number, lifeMs: number): Promise<number[]> {
  const child = spawn(process.execPath, [CHILD, folder, String(first)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  const closed = once(child, 'close');
  await once(child.stdout, 'data'); // it has acknowledged something
  await delay(lifeMs);
  child.kill('SIGKILL');
  await closed;
  const whole = output.slice(0, output.lastIndexOf('\n'));
  return whole.split('\n').map(Number);
}

test('nothing acknowledged is lost by SIGKILL', async (t) => {
  const seed = chooseSeed();
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-crash-'));
  afterTest(t, () => rm(folder, { recursive: true, force: true }));
  const acknowledged = new Set<number>();
  for (let round = 0; round < ROUNDS; round++) {
    const first = round * 1_000_000;
    const numbers = await killedChild(folder, first, random() * LIFE_MS_MAX);
    for (const number of numbers) acknowledged.add(number);
    const log = await openTestLog(levelStorage(folder));
    const events = await readAll(log, 'normal', 0, 1024 * 1024);
    await log.close();
    const stored = events.map(({ payload }) => Number(payload.toString()));
    assert.deepEqual(
      events.map(({ offset }) => offset),
      [...events.keys()],
    );
    assert.deepEqual(
      stored,
      stored.toSorted((a, b) => a - b),
      'in the order of append, once each',
    );
    const there = new Set(stored);
    const lost = [...acknowledged].filter((number) => !there.has(number));
    assert.deepEqual(lost, [], `round ${round}`);
  }
  t.diagnostic(`${acknowledged.size} acknowledged over ${ROUNDS} kills`);
});
