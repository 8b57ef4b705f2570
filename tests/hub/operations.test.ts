import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { Instruction } from '../../hub/forward/operations.ts';
import { loadPause, pauseOperation } from '../../hub/forward/pause.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { afterTest } from '../support/after-test.ts';
import { MemoryDisk } from '../support/fault-storage.ts';
import { SINK_ID } from '../support/forwarding.ts';
import { openTestLog } from '../support/log-fixture.ts';
import { operationsIn, operationsOf, SOMEBODY } from '../support/operating.ts';
import { until } from '../support/until.ts';

const sinks = [{ id: SINK_ID, start: 'oldest' as const }];
const bytesMax = 1024 ** 2;
const told: Instruction = { operation: 'paused', sink: SINK_ID, actor: SOMEBODY };
const pause = [pauseOperation(SINK_ID, { sinceMs: 1, by: SOMEBODY })];

/** Appends alarms until even those have to wait. */
async function fill(log: DurableLog): Promise<void> {
  const message = { topic: 'a', payload: randomBytes(50_000), source: 'test' };
  while (!log.mustWait('alarm')) {
    await new Promise<void>((resolve) => log.append(message, 'alarm', () => resolve()));
  }
}

function settleAll(log: DurableLog): void {
  const state = log.cursors.get(SINK_ID, 'alarm');
  const offset = log.range('alarm').tail;
  const counts = { ...state.confirmed, offset, delivered: offset };
  log.settled(SINK_ID, 'alarm', { ...state, ...counts, confirmed: counts });
}

test('operations: one write holds what was done and the event of it', async (t) => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk.storage(), { sinks });
  const operations = operationsOf(log);
  await operations.start();
  await operations.record(told, { why: 'maintenance' }, pause);
  operations.stop();
  disk.powerCut();
  const again = await openTestLog(disk.storage(), { sinks });
  afterTest(t, () => again.close());
  assert.deepEqual(await loadPause(again, SINK_ID), { sinceMs: 1, by: SOMEBODY });
  const [event, ...others] = await operationsIn(again);
  assert.deepEqual(others, []);
  const { operation, sink, actor, details } = event ?? {};
  assert.deepEqual({ operation, sink, actor }, told);
  assert.deepEqual(details, { why: 'maintenance' });
});

test('operations: a full log is operated all the same; events follow when there is room', async (t) => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk.storage(), { sinks, bytesMax });
  await fill(log);
  const operations = operationsOf(log);
  await operations.start();
  for (let n = 0; n < 103; n++) await operations.record(told, { n }, pause);
  assert.deepEqual(await operationsIn(log), []);
  operations.stop();
  disk.powerCut();
  const again = await openTestLog(disk.storage(), { sinks, bytesMax });
  afterTest(t, () => again.close());
  assert.ok(await loadPause(again, SINK_ID), 'it is durable');
  const others = operationsOf(again);
  await others.start();
  afterTest(t, () => others.stop());
  assert.ok(again.mustWait('alarm'));
  settleAll(again);
  await until('there is room', () => !again.mustWait('alarm'));
  await others.record(told, { n: 103 }, []);
  await until('all events', async () => (await operationsIn(again)).length === 101);
  const events = await operationsIn(again);
  const numbers = events.map(({ details }) => Number(details['n'])).sort((a, b) => a - b);
  assert.deepEqual(
    numbers,
    Array.from({ length: 101 }, (_, index) => index + 3),
  );
  const [last] = events.filter((event) => 'leftOutBefore' in event);
  assert.equal(last && 'leftOutBefore' in last && last.leftOutBefore, 3, 'the rest is counted');
});
