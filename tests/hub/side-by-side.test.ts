/** Deliveries side by side, their deadline, and sinks that do not behave. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { HubError } from '../../hub/core/errors.ts';
import type { HubEvent } from '../../hub/core/event.ts';
import { DELIVERED } from '../../hub/core/sink.ts';
import { shrunk, spread } from '../../hub/forward/flight.ts';
import { partitions } from '../../hub/forward/partitions.ts';
import { FakeClock } from '../support/fake-clock.ts';
import {
  append,
  cursorBalance,
  forwarding,
  many,
  offsets,
  testLog,
} from '../support/forwarding.ts';
import { hanging, MemorySink } from '../support/memory-sink.ts';
import { until } from '../support/until.ts';

const DEVICES = 7;
const deviceOf = ({ topic }: Pick<HubEvent, 'topic'>) => Number(topic);
const byDevice = (count: number) => Array.from({ length: count }, (_, i) => String(i % DEVICES));
const NARROW = { batch: { eventsMax: 20, bytesMax: 1024 ** 2, lingerMs: 0 } };
const SIDE_BY_SIDE = { ...NARROW, requestsMax: 4, partOf: deviceOf };
const refusal = new HubError('SINK_REJECTED', 'bad event');
const down = new HubError('SINK_DISCONNECTED', 'the far side is down');

function eventOf(offset: number, device: number, bytes: number): HubEvent {
  return {
    ...{ lane: 'normal', offset, kind: 'message', topic: String(device), source: 'test' },
    ...{ receivedMs: 0, timeQuality: 'synced', monotonicMs: 0, bootId: 'boot' },
    payload: Buffer.alloc(bytes),
  };
}

/** By device, in the order in which they were taken. */
function takenByDevice(sink: MemorySink, events: number): number[][] {
  const topics = byDevice(events);
  const lists: number[][] = Array.from({ length: DEVICES }, () => []);
  for (const taken of sink.taken) {
    const offset = Number(taken.split('/')[1]);
    lists[Number(topics[offset])]?.push(offset);
  }
  return lists;
}

test('a flight has every event once, a device in one part in order, and no piece too large', () => {
  const sizes = fc.array(fc.tuple(fc.nat(6), fc.integer({ min: 0, max: 50 })), { maxLength: 200 });
  const limits = fc.record({
    eventsMax: fc.integer({ min: 1, max: 40 }),
    bytesMax: fc.integer({ min: 1, max: 500 }),
  });
  fc.assert(
    fc.property(sizes, limits, fc.integer({ min: 1, max: 9 }), (given, max, width) => {
      const events = given.map(([device, bytes], offset) => eventOf(offset, device, bytes));
      const empty = { filtered: 0, dropped: 0, corrupt: 0, thinned: 0, full: true };
      const run = { lane: 'normal' as const, events, from: 0, to: events.length, ...empty };
      const { parts } = spread(run, partitions(deviceOf)(width), max);
      assert.ok(parts.length <= width, 'as many parts as asked for, at most');
      const parted = parts.map((pieces) => pieces.flatMap((piece) => piece.events));
      const all = parted.flat().sort((a, b) => a.offset - b.offset);
      assert.deepEqual(all, events);
      for (const part of parted) {
        const inOrder = [...part].sort((a, b) => a.offset - b.offset);
        assert.deepEqual(part, inOrder);
        for (const other of parted)
          if (other !== part)
            assert.ok(!other.some((e) => part.some((own) => own.topic === e.topic)));
      }
      for (const { events: piece } of parts.flat()) {
        const bytes = piece.reduce((sum, { payload }) => sum + payload.length, 0);
        assert.ok(piece.length <= max.eventsMax);
        assert.ok(bytes <= max.bytesMax || piece.length === 1);
      }
      const flight = { run, parts, refused: new Map(), attempts: new Map() };
      shrunk(flight, 3);
      assert.ok(parts.flat().every((piece) => piece.events.length <= 3));
      assert.deepEqual(
        parts.flatMap((pieces) => pieces.flatMap((piece) => piece.events)),
        parted.flat(),
      );
    }),
  );
});

test('a long way is filled: several requests at once, each device in order, all settled', async (t) => {
  const log = await testLog(t);
  const { sink, forwarder } = await forwarding(t, log, SIDE_BY_SIDE);
  let underWay = 0;
  let most = 0;
  sink.answer = async () => {
    most = Math.max(most, ++underWay);
    await delay(160); // shorter ways are not worth several requests
    underWay--;
    return DELIVERED;
  };
  await append(log, byDevice(800));
  await forwarder.start();
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.equal(most, 4);
  assert.deepEqual([...sink.taken].sort(), offsets(0, 800).sort());
  for (const list of takenByDevice(sink, 800))
    assert.deepEqual(
      list,
      [...list].sort((a, b) => a - b),
    );
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('side by side: poison, partial answers and outages cost no event, no order, no repetition', async (t) => {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  const { sink, forwarder } = await forwarding(t, log, { ...SIDE_BY_SIDE, clock });
  let answers = 0;
  let underWay = 0;
  let most = 0;
  const poison = (event: HubEvent) => event.offset % 97 === 5;
  sink.answer = async ({ events }) => {
    most = Math.max(most, ++underWay);
    await delay(3);
    clock.advance(200); // a long way
    underWay--;
    if (++answers % 11 === 0) return down;
    if (events.some(poison)) return refusal;
    if (answers % 7 === 0 && events.length > 3) return { rejected: [], retry: [1, 2] };
    return DELIVERED;
  };
  await append(log, byDevice(1_000));
  await forwarder.start();
  await until('all settled', () => forwarder.status().lagEvents === 0, 30_000);
  assert.ok(most > 1, 'side by side');
  const wanted = Array.from({ length: 1_000 }, (_, n) => n).filter((n) => n % 97 !== 5);
  assert.equal(forwarder.status().deadLetters, 1_000 - wanted.length);
  const taken = sink.taken.map((name) => Number(name.split('/')[1]));
  assert.deepEqual(
    [...taken].sort((a, b) => a - b),
    wanted,
    'each once',
  );
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('an alarm overtakes the halving of a refused batch', async (t) => {
  const log = await testLog(t);
  const { sink, forwarder } = await forwarding(t, log);
  sink.answer = async ({ lane, events }) => {
    if (lane === 'alarm') return DELIVERED;
    if (sink.batches.length === 1) await append(log, many(1), 'alarm');
    return events.length > 1 ? refusal : DELIVERED;
  };
  await append(log, many(100));
  await forwarder.start();
  await until('all settled', () => forwarder.status().lagEvents === 0);
  const before = sink.batches.findIndex((_, index) => sink.batches[index]?.[0] === 0 && index > 0);
  assert.equal(sink.taken[0], 'alarm/0', `right after the first refusal, batch ${before}`);
});

test('a delivery that takes longer than the deadline is given up and sent in smaller parts', async (t) => {
  const log = await testLog(t);
  const { sink, forwarder } = await forwarding(t, log, { deadlineMs: 60 });
  sink.answer = (batch, signal) => (batch.events.length > 20 ? hanging(signal) : DELIVERED);
  await append(log, many(100));
  await forwarder.start();
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(sink.taken, offsets(0, 100));
  assert.equal(forwarder.status().deadLetters, 0, 'no event is to blame');
  assert.ok(forwarder.status().pace.eventsMax < 100);
});

test('a sink that does not let go is left behind and made anew, and delivers', async (t) => {
  const log = await testLog(t);
  const fresh = new MemorySink();
  const { sink, forwarder } = await forwarding(t, log, {
    deadlineMs: 50,
    reopen: async () => fresh,
  });
  sink.answer = () => new Promise(() => {}); // deaf: not even to its signal
  await append(log, many(30));
  await forwarder.start();
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(fresh.taken, offsets(0, 30));
  assert.equal(sink.closes, 1, 'the old one was asked to go');
});

const nonsense: readonly unknown[] = [
  undefined,
  null,
  'ok',
  {},
  { rejected: [], retry: [99] },
  { rejected: [{ index: -1, reason: 'no' }], retry: [] },
  { rejected: [null], retry: [] },
  { rejected: {}, retry: [] },
];
test('what makes no sense as an answer delivers nothing, and the sink is made anew', async (t) => {
  const log = await testLog(t);
  const replaced: MemorySink[] = [];
  const answers = [...nonsense];
  const another = () => {
    const sink = new MemorySink();
    replaced.push(sink);
    return scripted(sink);
  };
  const scripted = (sink: MemorySink) => {
    const inner = sink.send.bind(sink);
    // a sink in JavaScript may answer anything: the types end at its border
    sink.send = async (batch, signal) => {
      const delivery = await inner(batch, signal);
      if (answers.length === 0) return delivery;
      sink.taken.length = 0;
      return JSON.parse(JSON.stringify({ answer: answers.shift() ?? null })).answer;
    };
    return sink;
  };
  const { sink, forwarder } = await forwarding(t, log, { reopen: async () => another() });
  scripted(sink);
  await append(log, many(30));
  await forwarder.start();
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(replaced.at(-1)?.taken, offsets(0, 30));
  assert.equal(replaced.length, nonsense.length);
  assert.equal(forwarder.status().deadLetters, 0);
});

test('a far side that asks for less gets less, and alarms do not wait for it', async (t) => {
  const log = await testLog(t);
  const { sink, forwarder } = await forwarding(t, log);
  let throttles = 0;
  sink.answer = ({ lane }) => {
    if (lane === 'alarm' || throttles++ > 0) return DELIVERED;
    return new HubError('SINK_THROTTLED', '429', { retryAfterMs: 1 });
  };
  await append(log, many(400));
  await forwarder.start();
  await until('throttled', () => forwarder.status().pace.eventsPerSecondMax !== null);
  await append(log, many(3), 'alarm');
  await until('the alarms', () => sink.taken.includes('alarm/2'));
  const { eventsPerSecondMax } = forwarder.status().pace;
  assert.ok(eventsPerSecondMax !== null && eventsPerSecondMax <= 55, `${eventsPerSecondMax}`);
  assert.ok(forwarder.status().lagEvents > 0, 'the rest goes at the pace that was asked for');
});
