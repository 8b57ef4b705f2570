/**
 * Goal: an outage much longer than the disk is kept at lower resolution, and reaches the far side
 * as that, exactly once. Method: the real log on LevelDB, the real forwarder, a far side that is
 * down while several times the capacity is ingested, and adds up what it gets.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { HubError } from '../../hub/core/errors.ts';
import { LANES } from '../../hub/core/event.ts';
import { levelStorage } from '../../hub/log/storage/level-storage.ts';
import { afterTest } from '../support/after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { cursorBalance, forwarding, SINK_ID } from '../support/forwarding.ts';
import { appended } from '../support/log-fixture.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { FarSide, openThinLog, seconds } from '../support/thin-fixture.ts';
import { until } from '../support/until.ts';

const BYTES_MAX = 128 * 1024;
const DEVICES = 20;
const SECONDS = 3_000;

test('a far side that was down gets the figures of everything, and every alarm', async (t) => {
  const clock = new FakeClock();
  const log = await openThinLog(levelStorage(join(await temporaryFolder(t), 'log')), BYTES_MAX, {
    clock,
    sinks: [{ id: SINK_ID, start: 'oldest' }],
  });
  afterTest(t, () => log.close());
  const { sink, forwarder } = await forwarding(t, log, {
    clock,
    batch: { eventsMax: 333, bytesMax: 1024 ** 2, lingerMs: 0 },
  });
  let down = true;
  sink.connected = () => {
    if (down) throw new HubError('SINK_DISCONNECTED', 'it is down');
    return {};
  };
  const far = new FarSide();
  const alarms: string[] = [];
  sink.answer = ({ lane, events }) => {
    for (const event of events) {
      if (lane === 'alarm') alarms.push(`${event.kind} ${event.payload}`);
      else far.take(event);
    }
    return { rejected: [], retry: [] };
  };
  await forwarder.start();
  for (let part = 0; part < 10; part++) {
    await seconds(
      log,
      clock,
      SECONDS / 10,
      DEVICES,
      (at, device) => at + (part * SECONDS) / 10 - device,
    );
    await seconds(log, clock, 1, 2, () => part, 'alarm');
    assert.ok(log.status().bytes <= BYTES_MAX);
  }
  const { thinned } = log.status().lanes.find(({ lane }) => lane === 'normal') ?? assert.fail();
  assert.ok(thinned.events > (SECONDS * DEVICES) / 2, `${thinned.events} thinned`);
  down = false;
  const drained = () => {
    clock.advance(1_000); // what waits for a retry waits by this clock
    return LANES.every((lane) => log.cursors.get(SINK_ID, lane).offset === log.range(lane).tail);
  };
  await until('it is drained', drained);
  assert.equal(log.status().lostEvents, 0);
  assert.equal(far.events, SECONDS * DEVICES);
  for (let device = 0; device < DEVICES; device++) {
    const { min, max, count, sum } = far.of(`dev${device}/temp`);
    assert.deepEqual(
      { min, max, count },
      { min: 0 - device, max: SECONDS - 1 - device, count: SECONDS },
    );
    assert.ok(Math.abs(sum / count - ((SECONDS - 1) / 2 - device)) < 1e-6);
  }
  assert.deepEqual(
    alarms,
    Array.from({ length: 20 }, (_, index) => `message ${Math.floor(index / 2)}`),
  );
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
  const { delivered, thinned: passed } = log.cursors.get(SINK_ID, 'normal');
  assert.equal(delivered + passed, SECONDS * DEVICES);
  // what a forwarder holds when its far side goes is not thinned, and that depends on the moment
  assert.ok(passed > 0.4 * SECONDS * DEVICES, `${passed} only in aggregates`);
});

test('a far side that is slow gets each event once while what it has not read is thinned', async (t) => {
  const bytesMax = 3 * 1024 ** 2; // more than what a forwarder holds in memory
  const log = await openThinLog(levelStorage(join(await temporaryFolder(t), 'log')), bytesMax, {
    sinks: [{ id: SINK_ID, start: 'oldest' }],
  });
  afterTest(t, () => log.close());
  const { sink, forwarder } = await forwarding(t, log, {
    batch: { eventsMax: 100, bytesMax: 1024 ** 2, lingerMs: 0 },
  });
  const far = new FarSide();
  let slow = true;
  sink.answer = async ({ events }) => {
    if (slow) await delay(50);
    for (const event of events) far.take(event);
    return { rejected: [], retry: [] };
  };
  await forwarder.start();
  const count = 30_000;
  for (let at = 0; at < count; at += 500) {
    const sent = Array.from({ length: 500 }, (_, index) => {
      const topic = `raw/${index % 5}`;
      return appended(log, { topic, payload: randomBytes(250), source: 'mqtt' }, 'normal');
    });
    await Promise.all(sent);
  }
  slow = false;
  const drained = () => log.cursors.get(SINK_ID, 'normal').offset === count;
  await until('it is drained', drained);
  assert.equal(log.status().lostEvents, 0);
  assert.equal(far.events, count);
  assert.ok(far.aggregates > 0, 'some came as aggregates');
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});
