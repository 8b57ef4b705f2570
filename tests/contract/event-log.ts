/** What every EventLog does, whoever implements it. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { EVENT_KINDS, LANES, type Message } from '../../hub/core/event.ts';
import type { EventLog } from '../../hub/log/log.ts';
import { appendBlocks, appended, message, readAll } from '../support/log-fixture.ts';

export interface EventLogContract {
  readonly name: string;
  /** A new, empty log; what it needs to be cleaned up is the test's `after`. */
  open(t: TestContext): Promise<EventLog & { close(): void | Promise<void> }>;
}

export function eventLogContract(contract: EventLogContract): void {
  testAppending(contract);
  testReading(contract);
}

function testAppending({ name, open }: EventLogContract): void {
  test(`${name}: events are read back in order, with their facts`, async (t) => {
    const log = await open(t);
    const messages = EVENT_KINDS.map(
      (kind, index): Message => ({ ...message(index, `t/${index % 2}`), kind, source: 'bridge:x' }),
    );
    const fromMs = Date.now();
    await Promise.all(messages.map((each) => appended(log, each)));
    const events = await readAll(log);
    assert.deepEqual(
      events.map(({ lane, offset, kind, topic, payload, source }) => ({
        lane,
        offset,
        kind,
        topic,
        payload: payload.toString(),
        source,
      })),
      messages.map(({ kind, topic, payload, source }, offset) => ({
        lane: 'normal',
        offset,
        kind,
        topic,
        payload: payload.toString(),
        source,
      })),
    );
    for (const { receivedMs } of events) assert.ok(Math.abs(receivedMs - fromMs) < 60_000);
  });

  test(`${name}: acknowledges in the order of append, across lanes, never within append`, async (t) => {
    const log = await open(t);
    const order: number[] = [];
    const all = Array.from({ length: 30 }, (_, number) => {
      const lane = LANES[number % LANES.length] ?? 'normal';
      const done = appended(log, message(number), lane).then(() => order.push(number));
      return done;
    });
    assert.deepEqual(order, []);
    await Promise.all(all);
    assert.deepEqual(order, [...all.keys()]);
    for (const lane of LANES) assert.deepEqual(log.range(lane), { head: 0, tail: 10 });
  });

  test(`${name}: what is acknowledged can be read at once`, async (t) => {
    const log = await open(t);
    for (let number = 0; number < 5; number++) {
      await appended(log, message(number));
      assert.equal((await readAll(log)).at(-1)?.payload.toString(), String(number));
    }
  });
}

function testReading({ name, open }: EventLogContract): void {
  test(`${name}: a read begins with the block that holds the offset, and is empty at the tail`, async (t) => {
    const log = await open(t);
    await appendBlocks(log, 3, 4);
    assert.deepEqual(await log.read('normal', 12, 1_000), []);
    assert.deepEqual(await log.read('alarm', 0, 1_000), []);
    for (let offset = 0; offset < 12; offset++) {
      const [first] = await log.read('normal', offset, 1);
      assert.ok(first, 'at least one block');
      assert.ok(first.firstOffset <= offset && offset < first.firstOffset + first.count);
      assert.equal(first.topics[first.topicIndexAt(0)], first.eventAt(0).topic);
      assert.equal((await readAll(log, 'normal', offset)).length, 12 - offset);
    }
  });

  test(`${name}: seek answers a block that is not too late, and the tail beyond the end`, async (t) => {
    const log = await open(t);
    await appendBlocks(log, 3, 2);
    assert.equal(await log.seek('normal', 0), 0);
    assert.equal(await log.seek('normal', Date.now() + 60_000), 6);
    assert.equal(await log.seek('alarm', 0), 0);
  });

  test(`${name}: listeners hear of commits until they leave`, async (t) => {
    const log = await open(t);
    let heard = 0;
    const leave = log.onCommit(() => heard++);
    await appendBlocks(log, 2, 1);
    assert.equal(heard, 2);
    leave();
    await appendBlocks(log, 1, 1);
    assert.equal(heard, 2);
  });

  test(`${name}: status adds up`, async (t) => {
    const log = await open(t);
    await appendBlocks(log, 2, 3, 'alarm');
    await appendBlocks(log, 1, 2, 'bulk');
    const status = log.status();
    assert.equal(status.id, log.id);
    assert.equal(status.events, 8);
    assert.equal(status.acceptedEvents, 8);
    assert.equal(status.lostEvents, 0);
    assert.deepEqual(
      status.lanes.map(({ tail }) => tail),
      [6, 0, 2],
    );
    assert.equal(
      status.lanes.reduce((sum, { bytes }) => sum + bytes, 0),
      status.bytes,
    );
    assert.ok(status.bytes > 0);
  });

  test(`${name}: after close an append is refused`, async (t) => {
    const log = await open(t);
    await log.close();
    await assert.rejects(appended(log, message(1)), { code: 'LOG_CLOSED' });
  });
}
