import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Budget } from '../../hub/core/budget.ts';
import { Governor } from '../../hub/forward/governor/governor.ts';
import { Route } from '../../hub/forward/governor/route.ts';
import { afterTest } from '../support/after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { append, forwarderOf, many, testLog } from '../support/forwarding.ts';
import { MemorySink } from '../support/memory-sink.ts';
import { until } from '../support/until.ts';

const KIB = 1024;

/** A sink whose far side is an array, and whose connections carry what a test says. */
class WeighedSink extends MemorySink {
  bytes = 0;
  connectBytes = 0;

  override async connect(signal: AbortSignal) {
    this.bytes += this.connectBytes;
    return await super.connect(signal);
  }

  sizeOf(batch: { readonly events: readonly unknown[] }): number {
    return batch.events.length * KIB;
  }

  wireBytes(): number {
    return this.bytes;
  }

  override async send(batch: Parameters<MemorySink['send']>[0], signal: AbortSignal) {
    this.bytes += this.sizeOf(batch);
    return await super.send(batch, signal);
  }
}

async function governed(t: TestContext, limits: Partial<Budget>, confirmWindowMs = 0) {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  const far = { local: '10.0.0.2' };
  const route = new Route({
    host: '192.0.2.1',
    monotonicMs: () => clock.monotonicMs(),
    system: {
      addressOf: async (host) => host,
      localAddressFor: async () => far.local,
      interfaceWith: (address) => (address === '10.0.0.2' ? 'wwan0' : 'eth0'),
    },
  });
  const governor = new Governor({
    budget: {
      windows: [],
      exempt: ['alarm'],
      timezone: 'UTC',
      monthStartsOn: 1,
      networks: [],
      ...limits,
    },
    clock: {
      bootId: clock.bootId,
      wallMs: () => clock.wallMs(),
      monotonicMs: () => clock.monotonicMs(),
      calendarKnown: () => true,
    },
    networkInterface: () => route.networkInterface,
    saved: undefined,
  });
  const sink = new WeighedSink();
  const forwarder = forwarderOf(log, sink, {
    clock,
    confirmWindowMs,
    reopen: async () => sink,
    budget: { governor, route, save: () => {}, saveNow: async () => {} },
  });
  afterTest(t, () => forwarder.stop());
  return { clock, log, far, sink, forwarder };
}

const free = { interface: 'eth*', unlimited: true, windows: [] };

test('a cable that is plugged in lets what was held back go, over new connections', async (t) => {
  const limits = { bytesPerDay: 20 * KIB, networks: [free] };
  const { clock, log, far, sink, forwarder } = await governed(t, limits);
  await append(log, many(100));
  await forwarder.start();
  await until('it is held', () => forwarder.status().governor?.held.length === 1);
  assert.equal(sink.taken.length, 20);
  assert.equal(sink.connects, 1);
  far.local = '192.168.1.5';
  clock.advance(6_000);
  await until('the rest', () => sink.taken.length === 100);
  assert.equal(sink.connects, 2);
  assert.equal(forwarder.status().governor?.profile, 'eth*');
});

test('with nothing left the far side is not asked how it is, until a new day', async (t) => {
  const limits = { bytesPerDay: 20 * KIB };
  const { clock, log, sink, forwarder } = await governed(t, limits, 4_000);
  sink.connectBytes = 3 * KIB;
  sink.connected = () => ({ instance: 'one' });
  await append(log, many(100));
  await forwarder.start();
  await until('it is held', () => forwarder.status().governor?.held.length === 1);
  const { bytes, connects } = sink;
  assert.ok(bytes <= 20 * KIB);
  for (let minutes = 0; minutes < 5; minutes++) {
    clock.advance(60_000);
    await append(log, ['a'], 'alarm'); // wakes it
    await until(
      'the alarm',
      () => sink.taken.filter((at) => at.startsWith('alarm')).length > minutes,
    );
  }
  assert.equal(sink.connects, connects);
  clock.advance(24 * 3_600_000);
  await until('it is asked again', () => sink.connects > connects);
  await until('more goes', () => sink.taken.length > 30);
});

test('a replay keeps to the budget, too', async (t) => {
  const { clock, log, sink, forwarder } = await governed(t, { bytesPerDay: 40 * KIB });
  await append(log, many(30));
  await forwarder.start();
  await until('all', () => sink.taken.length === 30);
  await forwarder.replays.request({ fromMs: 0, toMs: clock.wallMs() + 1 });
  await until('it is held', () => forwarder.status().governor?.held.length === 1);
  assert.ok(sink.bytes <= 40 * KIB);
  assert.ok(sink.replayed.length < 30);
  clock.advance(24 * 3_600_000);
  await until('the rest', () => new Set(sink.replayed).size === 30);
});
