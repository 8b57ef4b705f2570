import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Intake } from '../../hub/intake/intake.ts';
import { brokerFixture } from '../support/broker-fixture.ts';

test('the lane is chosen by topic: alarm before bulk, everything else normal', async (t) => {
  const { log } = await brokerFixture(t);
  const intake = new Intake(log, { alarm: ['+/alarm', 'both'], bulk: ['debug/#', 'both'] });
  const port = intake.port('mqtt');
  const topics = ['x/alarm', 'both', 'debug', 'debug/a/b', 'x/temp', 'x/alarm/y'];
  for (const topic of topics) {
    await new Promise<void>((resolve, reject) => {
      port.accept(topic, Buffer.from('1'), (error) => (error ? reject(error) : resolve()));
    });
  }
  const tails = (['alarm', 'normal', 'bulk'] as const).map((lane) => log.range(lane).tail);
  assert.deepEqual(tails, [2, 2, 2]);
});

test('counts events and bytes by source and lane', async (t) => {
  const { log } = await brokerFixture(t);
  const intake = new Intake(log, { alarm: ['a'], bulk: [] });
  const ports = [intake.port('mqtt'), intake.port('bridge:one')];
  for (const port of ports) {
    port.accept('a', Buffer.from('123'), () => {});
    port.accept('b', Buffer.alloc(0), () => {});
    port.accept('b', Buffer.from('12345'), () => {});
  }
  const counted = intake.counts().filter(({ events }) => events > 0);
  assert.deepEqual(counted, [
    { source: 'mqtt', lane: 'alarm', events: 1, bytes: 3 },
    { source: 'mqtt', lane: 'normal', events: 2, bytes: 5 },
    { source: 'bridge:one', lane: 'alarm', events: 1, bytes: 3 },
    { source: 'bridge:one', lane: 'normal', events: 2, bytes: 5 },
  ]);
});

test('is congested while the card does not keep up, and says when it does again', async (t) => {
  const { log, storage } = await brokerFixture(t);
  const intake = new Intake(log, { alarm: [], bulk: [] });
  const port = intake.port('mqtt');
  storage.hold();
  const done = new Promise<void>((resolve) => {
    for (let i = 0; i < 40; i++) {
      port.accept('t', Buffer.alloc(64 * 1024), i === 39 ? () => resolve() : () => {});
    }
  });
  assert.equal(intake.congested('t'), true);
  storage.letGo();
  await done;
  assert.equal(intake.congested('t'), false);
});

test('after the log has closed an accept is refused, not lost in silence', async (t) => {
  const fixture = await brokerFixture(t);
  const port = fixture.intake.port('late');
  await fixture.log.close();
  const error = await new Promise((resolve) => port.accept('t', Buffer.from('x'), resolve));
  assert.equal(Reflect.get(Object(error), 'code'), 'LOG_CLOSED');
});
