import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { HubError } from '../../hub/core/errors.ts';
import type { HubEvent } from '../../hub/core/event.ts';
import { DELIVERED } from '../../hub/core/sink.ts';
import { Recovery } from '../../hub/forward/recovery.ts';
import { afterTest } from '../support/after-test.ts';
import { interposed } from '../support/fault-storage.ts';
import {
  append,
  cursorBalance,
  forwarderOf,
  forwarding,
  many,
  offsets,
  openTestLog,
  testLog,
} from '../support/forwarding.ts';
import { hanging, MemorySink } from '../support/memory-sink.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const down = new HubError('SINK_DISCONNECTED', 'the far side is down');
const refusal = new HubError('SINK_REJECTED', 'bad event');
const isPoison = ({ topic }: HubEvent) => topic === 'poison';

function withPoison(count: number, at: readonly number[]): string[] {
  return many(count).map((topic, index) => (at.includes(index) ? 'poison' : topic));
}

test('forwarder: delivers in order what was there and what comes, and settles it', async (t) => {
  const log = await testLog(t);
  await append(log, many(250));
  const { sink, forwarder } = await forwarding(t, log);
  await forwarder.start();
  await append(log, many(50));
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(sink.taken, offsets(0, 300));
  assert.ok(sink.batches.every((batch) => batch.length <= 100));
  assert.equal(forwarder.status().deliveredEvents, 300);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('forwarder: goes on where it was after a restart, without a repetition', async (t) => {
  const folder = await temporaryFolder(t);
  const before = await openTestLog(folder);
  await append(before, many(120));
  const first = new MemorySink();
  const stopped = forwarderOf(before, first);
  await stopped.start();
  await until('the first half', () => stopped.status().lagEvents === 0);
  await append(before, many(30));
  await stopped.stop();
  await before.close();
  const log = await openTestLog(folder);
  afterTest(t, () => log.close());
  const { sink, forwarder } = await forwarding(t, log);
  await forwarder.start();
  await until('the rest', () => forwarder.status().lagEvents === 0);
  assert.deepEqual([...first.taken, ...sink.taken], offsets(0, 150));
});

test('forwarder: an outage of any number of tries loses, repeats and refuses nothing', async (t) => {
  const log = await testLog(t);
  await append(log, many(250));
  const { sink, forwarder } = await forwarding(t, log);
  let tries = 0;
  sink.answer = () => (tries++ < 12 ? down : DELIVERED);
  await forwarder.start();
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(sink.taken, offsets(0, 250));
  assert.equal(forwarder.status().deadLetters, 0);
  assert.equal(forwarder.counters().retries, 12);
  assert.ok(sink.connects >= 12, 'connects again after every error');
});

for (const at of [[17], [3, 50, 51], [...Array(100).keys()]]) {
  test(`forwarder: halving finds ${at.length} poison events of 100 and keeps the order`, async (t) => {
    const log = await testLog(t);
    await append(log, withPoison(130, at));
    const { sink, forwarder } = await forwarding(t, log);
    sink.answer = ({ events }) => (events.some(isPoison) ? refusal : DELIVERED);
    await forwarder.start();
    await until('all settled', () => forwarder.status().lagEvents === 0);
    assert.deepEqual(
      sink.taken,
      offsets(0, 130).filter((_, index) => !at.includes(index)),
    );
    assert.equal(forwarder.status().deadLetters, at.length);
    assert.deepEqual(cursorBalance(log), [0, 0, 0]);
  });
}

test('forwarder: rejections that are named go to the dead letters without a second try', async (t) => {
  const log = await testLog(t);
  await append(log, withPoison(10, [2, 5]));
  const { sink, forwarder } = await forwarding(t, log);
  sink.answer = ({ events }) => ({
    rejected: events.flatMap((e, index) => (isPoison(e) ? [{ index, reason: 'bad' }] : [])),
    retry: [],
  });
  await forwarder.start();
  await until('all settled', () => forwarder.status().lagEvents === 0);
  assert.deepEqual([sink.batches.length, forwarder.status().deadLetters], [1, 2]);
  assert.equal(forwarder.status().deliveredEvents, 8);
});

test('forwarder: more than a thousand rejections in a row halt; mending the far side is enough', async (t) => {
  const log = await testLog(t);
  await append(log, many(1_230));
  const { sink, forwarder } = await forwarding(t, log);
  const all = { rejected: offsets(0, 100).map((_, index) => ({ index, reason: 'no' })), retry: [] };
  let mended = false;
  sink.answer = () => (mended ? DELIVERED : all);
  await forwarder.start();
  await until('halted', () => forwarder.status().state === 'halted');
  assert.match(forwarder.status().detail ?? '', /in a row/);
  const tried = sink.batches.length;
  await until('two more tries', () => sink.batches.length > tried + 1);
  assert.equal(forwarder.status().deadLetters, 1_000, 'no more than were kept before it halted');
  mended = true;
  await until('all settled', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(sink.taken, offsets(1_000, 1_230));
  assert.equal(forwarder.status().deadLetters, 1_000);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('forwarder: of a part that is asked for again only that part is sent', async (t) => {
  const log = await testLog(t);
  await append(log, many(5));
  const { sink, forwarder } = await forwarding(t, log);
  sink.answer = ({ events }) => (events.length === 5 ? { rejected: [], retry: [1, 3] } : DELIVERED);
  await forwarder.start();
  await until('all settled', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(sink.batches, [
    [0, 1, 2, 3, 4],
    [1, 3],
  ]);
  assert.equal(forwarder.status().deliveredEvents, 5);
});

test('forwarder: an event asked for again and again is a dead letter after attempts_max', async (t) => {
  const log = await testLog(t);
  await append(log, withPoison(5, [2]));
  const { sink, forwarder } = await forwarding(t, log);
  sink.answer = ({ events }) => ({
    rejected: [],
    retry: events.flatMap((event, index) => (isPoison(event) ? [index] : [])),
  });
  await forwarder.start();
  await until('all settled', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(sink.batches, [[0, 1, 2, 3, 4], [2], [2], [2], [2]]);
  assert.equal(forwarder.status().deadLetters, 1);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('forwarder: an event that cannot be encoded is poison, however the sink fails at it', async (t) => {
  const log = await testLog(t);
  await append(log, withPoison(250, [120]));
  const { sink, forwarder } = await forwarding(t, log);
  sink.encoding = ({ events }) => {
    if (events.some(isPoison)) throw new TypeError('a defect of the encoder');
  };
  await forwarder.start();
  await until('all settled', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(
    sink.taken,
    offsets(0, 250).filter((_, index) => index !== 120),
  );
  assert.equal(forwarder.status().deadLetters, 1);
});

test('forwarder: defects of a sink end nothing', async (t) => {
  const log = await testLog(t);
  await append(log, many(10));
  const { sink, forwarder } = await forwarding(t, log);
  let tries = 0;
  sink.connected = () => {
    if (tries++ < 2) throw new TypeError('x is not a function');
    return {};
  };
  sink.answer = () => {
    if (tries++ < 6) throw new RangeError('out of range');
    return DELIVERED;
  };
  sink.closing = () => {
    throw new Error('cannot close');
  };
  await forwarder.start();
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(sink.taken, offsets(0, 10));
  await forwarder.stop();
});

test('forwarder: alarms overtake a backlog, and bulk waits', async (t) => {
  const log = await testLog(t);
  await append(log, many(150), 'bulk');
  await append(log, many(500));
  const { sink, forwarder } = await forwarding(t, log);
  let release = () => {};
  const first = new Promise<void>((resolve) => {
    release = resolve;
  });
  sink.answer = async () => {
    await first;
    return DELIVERED;
  };
  await forwarder.start();
  await until('the first batch under way', () => sink.batches.length === 1);
  await append(log, many(3), 'alarm');
  release();
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(sink.taken, [
    ...offsets(0, 100),
    ...offsets(0, 3, 'alarm'),
    ...offsets(100, 500),
    ...offsets(0, 150, 'bulk'),
  ]);
});

test('forwarder: a small batch waits linger_ms for company; an alarm does not, nor does it end the wait', async (t) => {
  const log = await testLog(t);
  const batch = { eventsMax: 50, bytesMax: 1024 ** 2, lingerMs: 60_000 };
  const { sink, forwarder } = await forwarding(t, log, { batch });
  await forwarder.start();
  for (let i = 0; i < 50; i++) await append(log, many(1));
  await until('a full batch', () => sink.taken.length === 50);
  assert.equal(sink.batches.length, 1);
  await append(log, many(5));
  await append(log, many(1), 'alarm');
  await until('the alarm', () => sink.taken.includes('alarm/0'));
  assert.equal(forwarder.status().lagEvents, 5);
  await append(log, many(45));
  await until('a full batch', () => sink.taken.length === 101);
});

test('forwarder: only topics of the sink are sent, the others are settled', async (t) => {
  const log = await testLog(t);
  await append(log, withPoison(100, [1, 7, 99]));
  const { sink, forwarder } = await forwarding(t, log, { topics: ['poison'] });
  await forwarder.start();
  await until('all settled', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(sink.taken, ['normal/1', 'normal/7', 'normal/99']);
  assert.equal(forwarder.status().filteredEvents, 97);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('forwarder: the far side restarted and forgot: what it had not confirmed is sent again', async (t) => {
  const log = await testLog(t);
  const { sink, forwarder } = await forwarding(t, log, { confirmWindowMs: 3_600_000 });
  let instance = 'one';
  sink.connected = () => ({ instance });
  await forwarder.start();
  await append(log, many(250));
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  let failed = false;
  sink.answer = () => {
    if (failed) return DELIVERED;
    failed = true;
    instance = 'two';
    return down;
  };
  await append(log, many(50));
  await until('all delivered again', () => sink.taken.length === 550);
  assert.deepEqual(sink.taken, [...offsets(0, 250), ...offsets(0, 300)]);
  assert.equal(forwarder.status().deliveredEvents, 300);
  assert.deepEqual(cursorBalance(log), [0, 0, 0]);
});

test('forwarder: a success on the same host ends a back-off, except where we were asked to wait', async (t) => {
  const log = await testLog(t);
  await append(log, many(1));
  const recovery = new Recovery();
  const retry = { delayMinMs: 600_000, delayMaxMs: 600_000, attemptsMax: 5 };
  const other = recovery.join('cloud.example', true);
  const elsewhere = recovery.join('b.example', true);
  const tuning = { retry, farSide: recovery.join('cloud.example', true) };
  const { sink, forwarder } = await forwarding(t, log, tuning);
  const answers: (HubError | typeof DELIVERED)[] = [
    down,
    new HubError('SINK_THROTTLED', 'later', { retryAfterMs: 600_000 }),
  ];
  sink.answer = () => answers.shift() ?? DELIVERED;
  await forwarder.start();
  await until('backing off', () => forwarder.status().state === 'backoff');
  elsewhere.reached();
  other.reached();
  await until('throttled', () => forwarder.status().detail === 'later');
  for (let i = 0; i < 20; i++) other.reached();
  await append(log, many(1));
  assert.equal(sink.batches.length, 2);
  assert.equal(forwarder.status().state, 'backoff');
});

test('forwarder: only a recovery wakes others: a healthy sink is no alarm clock', async (t) => {
  const log = await testLog(t);
  const recovery = new Recovery();
  let woken = 0;
  recovery.join('cloud.example', true).wait(() => {
    woken++;
  });
  const farSide = recovery.join('cloud.example', true);
  const { sink, forwarder } = await forwarding(t, log, { farSide });
  await forwarder.start();
  await append(log, many(300));
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.equal(woken, 0);
  let failed = false;
  sink.answer = () => {
    if (failed) return DELIVERED;
    failed = true;
    return down;
  };
  await append(log, many(300));
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.equal(woken, 1);
});

test('forwarder: lag and its age are told also when nothing was ever read', async (t) => {
  const log = await testLog(t);
  await append(log, many(7));
  const { sink, forwarder } = await forwarding(t, log);
  sink.connected = hanging;
  await forwarder.start();
  await until('an age', () => forwarder.status().lagMs > 20);
  const status = forwarder.status();
  assert.deepEqual([status.state, status.lagEvents, status.etaSeconds], ['connecting', 7, null]);
});

test('forwarder: without a backlog the lag, its age and the time to drain are 0', async (t) => {
  const log = await testLog(t);
  await append(log, many(7));
  const { forwarder } = await forwarding(t, log);
  await forwarder.start();
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  const { lagMs, etaSeconds } = forwarder.status();
  assert.deepEqual([lagMs, etaSeconds], [0, 0]);
});

const hangsIn: Record<string, (sink: MemorySink) => void> = {
  connecting: (sink) => {
    sink.connected = hanging;
  },
  reading: () => {},
  sending: (sink) => {
    sink.answer = (_, signal) => hanging(signal);
  },
  backoff: (sink) => {
    sink.answer = () => new HubError('SINK_THROTTLED', 'later', { retryAfterMs: 600_000 });
  },
  halted: (sink) => {
    sink.connected = () => {
      throw new HubError('SINK_REFUSED', 'no');
    };
  },
};

for (const [state, prepare] of Object.entries(hangsIn)) {
  test(`forwarder: stops at once while ${state}, and closes its sink`, async (t) => {
    const log = await testLog(t);
    if (state !== 'reading') await append(log, many(300));
    const retry = { delayMinMs: 600_000, delayMaxMs: 600_000, attemptsMax: 5 };
    const { sink, forwarder } = await forwarding(t, log, { retry });
    prepare(sink);
    await forwarder.start();
    await until(state, () => forwarder.status().state === state);
    const startedMs = performance.now();
    await forwarder.stop();
    assert.ok(performance.now() - startedMs < 1_000);
    assert.deepEqual([forwarder.status().state, sink.closes], ['stopped', 1]);
  });
}

test('forwarder: a sink that ignores the end is left behind', async (t) => {
  const log = await testLog(t);
  await append(log, many(1));
  const { sink, forwarder } = await forwarding(t, log);
  sink.answer = () => new Promise(() => {});
  sink.closing = () => new Promise(() => {});
  await forwarder.start();
  await until('sending', () => forwarder.status().state === 'sending');
  const startedMs = performance.now();
  await forwarder.stop();
  assert.ok(performance.now() - startedMs < 6_000);
});

test('forwarder: a log that cannot be read for a moment neither ends the process nor loses', async (t) => {
  let broken = false;
  let failures = 0;
  const log = await openTestLog(await temporaryFolder(t), {
    storage: (storage) =>
      interposed(storage, {
        entries(range) {
          if (!broken) return storage.entries(range);
          broken = false;
          failures++;
          throw new HubError('LOG_NOT_OPEN', 'the card is away');
        },
      }),
  });
  afterTest(t, () => log.close());
  // beyond what the log keeps in memory of recent blocks
  for (let i = 0; i < 60; i++) await append(log, many(10), 'normal', Buffer.alloc(20_000));
  const batch = { eventsMax: 7, bytesMax: 1024 ** 2, lingerMs: 0 };
  const { sink, forwarder } = await forwarding(t, log, { batch });
  sink.answer = async () => {
    broken = failures < 3;
    await delay(5); // the next batch is read meanwhile, and nobody waits for it yet
    return DELIVERED;
  };
  await forwarder.start();
  await until('all delivered', () => forwarder.status().lagEvents === 0);
  assert.deepEqual(sink.taken, offsets(0, 600));
  assert.ok(failures > 0);
});
