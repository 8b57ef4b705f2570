/**
 * `order: live_first`: new events go ahead of a backlog, and nothing is lost or sent twice by it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HubError } from '../../hub/core/errors.ts';
import { DELIVERED } from '../../hub/core/sink.ts';
import { afterTest } from '../support/after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import {
  append,
  cursorBalance,
  forwarderOf,
  forwarding,
  many,
  offsets,
  openTestLog,
  SINK_ID,
  testLog,
} from '../support/forwarding.ts';
import { MemorySink } from '../support/memory-sink.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const down = new HubError('SINK_DISCONNECTED', 'the far side is down');
const LIVE_FIRST = { order: { kind: 'live_first' as const, share: 0.3 } };
const OUTAGE_MS = 60_000;

test('live_first: after an outage new events overtake the backlog, which follows marked', async (t) => {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  const { sink, forwarder } = await forwarding(t, log, { ...LIVE_FIRST, clock });
  let isDown = true;
  const marked: boolean[] = [];
  let taken = 0;
  sink.answer = async (batch) => {
    if (isDown) return down;
    if (++taken === 3) await append(log, many(50));
    marked.push(...batch.events.map(() => batch.backfill === true));
    return DELIVERED;
  };
  await append(log, many(1_000));
  await forwarder.start();
  await until('it tries', () => sink.batches.length > 0);
  clock.advance(OUTAGE_MS);
  isDown = false;
  await until('all delivered', () => taken > 3 && forwarder.status().lagEvents === 0);
  assert.deepEqual([...sink.taken].sort(), offsets(0, 1_050).sort(), 'each once');
  const firstNew = sink.taken.indexOf('normal/1000');
  const lastOld = sink.taken.indexOf('normal/999');
  assert.ok(firstNew < lastOld, 'a new event did not wait for the backlog');
  assert.equal(marked[firstNew], false);
  assert.equal(marked[lastOld], true);
  for (const part of [offsets(0, 1_000), offsets(1_000, 1_050)]) {
    const inOrder = sink.taken.filter((event) => part.includes(event));
    assert.deepEqual(inOrder, part, 'in order within each');
  }
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
  const { offset, ahead } = log.cursors.get(SINK_ID, 'normal');
  assert.deepEqual([offset, ahead], [1_050, []], 'the ranges have closed up');
});

test('live_first: over a restart in the middle nothing is lost or sent twice by the split', async (t) => {
  const clock = new FakeClock();
  const folder = await temporaryFolder(t);
  const first = new MemorySink();
  const second = new MemorySink();
  const before = await openTestLog(folder, { clock });
  await append(before, many(1_000));
  clock.advance(OUTAGE_MS);
  const forwarder = forwarderOf(before, first, { ...LIVE_FIRST, clock });
  let batches = 0;
  first.answer = async () => {
    if (++batches === 2) await append(before, many(80));
    return batches > 4 ? down : DELIVERED;
  };
  await forwarder.start();
  await until('some of both', () => batches > 4);
  await forwarder.stop();
  const stopped = before.cursors.get(SINK_ID, 'normal');
  await before.close();
  assert.ok(stopped.ahead.length > 0, 'in the middle of it');
  const log = await openTestLog(folder, { clock });
  afterTest(t, () => log.close());
  assert.deepEqual(log.cursors.get(SINK_ID, 'normal'), stopped);
  const next = forwarderOf(log, second, { ...LIVE_FIRST, clock });
  afterTest(t, () => next.stop());
  await next.start();
  await until('all delivered', () => next.status().lagEvents === 0);
  assert.deepEqual([...first.taken, ...second.taken].sort(), offsets(0, 1_080).sort());
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('live_first: switched off with a backlog left, that is drained first', async (t) => {
  const log = await testLog(t);
  await append(log, many(300));
  const cursor = log.cursors.get(SINK_ID, 'normal');
  log.settled(SINK_ID, 'normal', { ...cursor, ahead: [{ from: 200, to: 200 }] });
  const { sink, forwarder } = await forwarding(t, log);
  await forwarder.start();
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(sink.taken, offsets(0, 300));
});

test('live_first: the backlog gets its share while new events never end', async (t) => {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  await append(log, many(20_000));
  clock.advance(OUTAGE_MS);
  const { sink, forwarder } = await forwarding(t, log, { ...LIVE_FIRST, clock });
  const spent = { live: 0, backlog: 0 };
  sink.answer = async ({ events, backfill }) => {
    clock.advance(100);
    const [first] = events;
    if (!first || first.offset < 20_000 === !backfill) return DELIVERED; // before the split
    spent[backfill ? 'backlog' : 'live'] += 100;
    await append(log, many(100)); // there is always a full batch of new ones
    return DELIVERED;
  };
  await forwarder.start();
  await until('some of both', () => spent.live + spent.backlog >= 8_000);
  await forwarder.stop();
  const share = spent.backlog / (spent.live + spent.backlog);
  assert.ok(share > 0.25 && share < 0.35, `${JSON.stringify(spent)}`);
});

test('live_first: an alarm is not split from its lane, and goes before both', async (t) => {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  await append(log, many(2_000));
  await append(log, many(150), 'alarm');
  clock.advance(OUTAGE_MS);
  const { sink, forwarder } = await forwarding(t, log, { ...LIVE_FIRST, clock });
  await forwarder.start();
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(sink.taken.slice(0, 150), offsets(0, 150, 'alarm'));
});
