import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import type { HubError } from '../../hub/core/errors.ts';
import { hostPortOf, parseHostPort } from '../../hub/core/host-port.ts';
import { type FarSideLink, Recovery } from '../../hub/forward/recovery.ts';
import { tcpConnect } from '../../hub/forward/tcp-connect.ts';
import { afterTest } from '../support/after-test.ts';
import { FakeSchedule } from '../support/fake-schedule.ts';
import { freePort } from '../support/free-port.ts';
import { hanging } from '../support/memory-sink.ts';

const HOST = 'cloud.example:443';
const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

type Network = 'up' | 'refuses' | 'swallows';

/** Sinks that wait for one host, on a network that a test switches. */
function site(options: { chance?: number } = {}) {
  const schedule = new FakeSchedule();
  schedule.chance = options.chance ?? 0;
  const probes: number[] = [];
  let pending = 0;
  const state = { network: 'refuses' as Network, pendingMax: 0, addresses: ['10.0.0.2'] };
  const recovery = new Recovery({
    schedule,
    addresses: () => new Set(state.addresses),
    connect: async (_to, signal) => {
      probes.push(schedule.nowMs());
      if (state.network === 'refuses') throw new Error('ECONNREFUSED');
      if (state.network === 'up') return;
      state.pendingMax = Math.max(state.pendingMax, ++pending);
      await hanging(signal).finally(() => pending--);
    },
  });
  const startMs = schedule.nowMs();
  const sinceStart = () => schedule.nowMs() - startMs;
  return { schedule, recovery, probes, state, sinceStart };
}

/** A delivery under way, and why it was cut. */
function delivery(link: FarSideLink) {
  const cuts: HubError[] = [];
  const { stop } = link.watch((reason) => cuts.push(reason));
  return { cuts, stop };
}

/** When each of the sinks was woken. */
function waiting(at: ReturnType<typeof site>, count: number, probes = true) {
  const wokenMs: number[] = [];
  const leaves = Array.from({ length: count }, () =>
    at.recovery.join(HOST, probes).wait(() => wokenMs.push(at.schedule.nowMs())),
  );
  return { wokenMs, leave: () => leaves.map((leave) => leave()) };
}

test('recovery: a probe finds the host again and wakes all sinks that wait for it, together', async () => {
  const at = site({ chance: 0.99 });
  const { wokenMs } = waiting(at, 5);
  await at.schedule.pass(3 * SECOND_MS);
  assert.deepEqual(wokenMs, []);
  at.state.network = 'up';
  const backMs = at.schedule.nowMs();
  await at.schedule.pass(SECOND_MS);
  assert.equal(wokenMs.length, 5);
  assert.equal(new Set(wokenMs).size, 1, 'in one moment');
  assert.ok((wokenMs[0] ?? 0) - backMs <= 800, '500 ms to the next probe, 300 ms jitter');
});

test('recovery: five sinks of one host cost as many probes as one', async () => {
  const [five, one] = [site(), site()];
  waiting(five, 5);
  waiting(one, 1);
  for (const { schedule } of [five, one]) await schedule.pass(10 * SECOND_MS);
  assert.equal(five.probes.length, one.probes.length);
  assert.ok(one.probes.length >= 20 && one.probes.length <= 21, String(one.probes.length));
});

test('recovery: probes become rarer with the age of the outage: 1 s at 10 minutes, never over 10 s', async () => {
  const at = site();
  waiting(at, 1);
  const gapsMs: { readonly atMs: number; readonly gapMs: number }[] = [];
  await at.schedule.pass(4 * 60 * MINUTE_MS);
  const firstMs = at.probes[0] ?? 0;
  at.probes.forEach((probeMs, index) => {
    const gapMs = probeMs - (at.probes[index - 1] ?? probeMs);
    if (index > 0) gapsMs.push({ atMs: probeMs - firstMs, gapMs: Math.round(gapMs) });
  });
  for (const { atMs, gapMs } of gapsMs) {
    assert.ok(gapMs >= 500 && gapMs <= 10_000, `${gapMs} at ${atMs}`);
    if (atMs <= 10 * MINUTE_MS) assert.ok(gapMs <= 1_000, `${gapMs} at ${atMs}`);
  }
  assert.equal(gapsMs.at(-1)?.gapMs, 10_000);
});

test('recovery: a far side that takes connections all the time wakes nobody, whatever it answers', async () => {
  const at = site();
  at.state.network = 'up';
  const { wokenMs } = waiting(at, 3);
  await at.schedule.pass(60 * MINUTE_MS);
  assert.deepEqual(wokenMs, []);
});

test('recovery: each return wakes once, property: never more wake-ups than returns', async () => {
  const network = fc.constantFrom<Network>('up', 'refuses', 'swallows');
  const steps = fc.array(fc.tuple(network, fc.integer({ min: 1, max: 20_000 })), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(
      steps,
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      async (plan, chance) => {
        const at = site({ chance });
        const { wokenMs } = waiting(at, 1);
        let returns = 0;
        for (const [next, lengthMs] of plan) {
          if (next === 'up' && at.state.network !== 'up') returns++;
          at.state.network = next;
          await at.schedule.pass(lengthMs);
        }
        assert.ok(wokenMs.length <= returns, `${wokenMs.length} wake-ups, ${returns} returns`);
        assert.ok(at.state.pendingMax <= 6, `${at.state.pendingMax} probes at once`);
      },
    ),
    { numRuns: 60 },
  );
});

test('recovery: no probes for a metered sink; it is woken by what others find', async () => {
  const at = site();
  const metered = waiting(at, 1, false);
  await at.schedule.pass(MINUTE_MS);
  assert.equal(at.probes.length, 0);
  const other = waiting(at, 1);
  await at.schedule.pass(SECOND_MS);
  at.state.network = 'up';
  await at.schedule.pass(SECOND_MS);
  assert.deepEqual([metered.wokenMs.length, other.wokenMs.length], [1, 1]);
});

test('recovery: a new address of this machine wakes who waits, without any traffic', async () => {
  const at = site();
  const { wokenMs } = waiting(at, 2, false);
  await at.schedule.pass(10 * SECOND_MS);
  at.state.addresses = [];
  await at.schedule.pass(10 * SECOND_MS);
  assert.deepEqual(wokenMs, [], 'an address that is gone helps nobody');
  at.state.addresses = ['10.0.0.2'];
  await at.schedule.pass(2 * SECOND_MS);
  assert.equal(wokenMs.length, 2);
  assert.equal(at.probes.length, 0);
  for (let n = 0; n < 100; n++) {
    at.state.addresses = [`10.0.0.${n + 3}`];
    await at.schedule.pass(SECOND_MS);
  }
  assert.ok(wokenMs.length <= 2 + 2 * 21, `${wokenMs.length}: once in five seconds at most`);
});

test('recovery: when nobody waits nothing runs', async () => {
  const at = site();
  const { leave } = waiting(at, 3);
  await at.schedule.pass(3 * SECOND_MS);
  leave();
  const count = at.probes.length;
  await at.schedule.pass(MINUTE_MS);
  assert.equal(at.probes.length, count);
  assert.equal(at.schedule.waiting, 0);
});

test('recovery: a sink that delivers after a failure wakes the others of its host only', async () => {
  const at = site();
  const woken: string[] = [];
  const [a, b] = [at.recovery.join(HOST, true), at.recovery.join(HOST, true)];
  const other = at.recovery.join('other.example:80', true);
  b.wait(() => woken.push('b'));
  other.wait(() => woken.push('other'));
  const leave = a.wait(() => woken.push('left'));
  leave();
  a.reached();
  assert.deepEqual(woken, ['b']);
});

test('recovery: a delivery that is stuck in a link that was gone is cut when it is back', async () => {
  const at = site();
  at.state.network = 'up';
  const link = at.recovery.join(HOST, true);
  const watch = delivery(link);
  await at.schedule.pass(2 * SECOND_MS);
  assert.equal(at.probes.length, 0, 'nothing is asked while a delivery takes no longer than usual');
  at.state.network = 'swallows';
  await at.schedule.pass(10 * SECOND_MS);
  assert.deepEqual(watch.cuts, []);
  at.state.network = 'up';
  await at.schedule.pass(SECOND_MS);
  assert.deepEqual(
    watch.cuts.map(({ code }) => code),
    ['SINK_DISCONNECTED'],
  );
  watch.stop();
  let woken = false;
  await at.schedule.pass(900);
  link.wait(() => {
    woken = true;
  });
  await at.schedule.pass(300);
  assert.ok(woken, 'sent again at once, not after its back-off');
});

test('recovery: a slow delivery over a link that works is left alone', async () => {
  const at = site();
  at.state.network = 'up';
  const watch = delivery(at.recovery.join(HOST, true));
  await at.schedule.pass(10 * MINUTE_MS);
  assert.deepEqual(watch.cuts, []);
});

test('recovery: a delivery that began when the link was back is not cut by the news of it', async () => {
  const at = site();
  const { leave } = waiting(at, 1);
  await at.schedule.pass(2 * SECOND_MS);
  leave();
  at.state.network = 'up';
  const watch = delivery(at.recovery.join(HOST, true));
  await at.schedule.pass(10 * SECOND_MS);
  assert.deepEqual(watch.cuts, []);
});

test('recovery: a link so full that probes fail beside the delivery does not cut it for ever', async () => {
  const at = site();
  const link = at.recovery.join(HOST, true);
  const cutAfterMs: number[] = [];
  for (let round = 0; round < 3; round++) {
    const startedMs = at.schedule.nowMs();
    const watch = delivery(link);
    while (watch.cuts.length === 0) {
      at.state.network = at.state.network === 'up' ? 'swallows' : 'up';
      await at.schedule.pass(2.5 * SECOND_MS);
    }
    cutAfterMs.push(at.schedule.nowMs() - startedMs);
    watch.stop();
  }
  const [first = 0, second = 0, third = 0] = cutAfterMs;
  assert.ok(second >= 12 * SECOND_MS && third >= 48 * SECOND_MS, cutAfterMs.join());
  link.reached();
  const again = at.schedule.nowMs();
  const watch = delivery(link);
  while (watch.cuts.length === 0) {
    at.state.network = at.state.network === 'up' ? 'swallows' : 'up';
    await at.schedule.pass(2.5 * SECOND_MS);
  }
  assert.ok(at.schedule.nowMs() - again <= first + 5 * SECOND_MS, 'forgotten with a delivery');
});

test('recovery: a probe of the machine connects, closes at once, and tells when nobody listens', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterTest(t, () => server.close());
  const address = server.address();
  assert.ok(address && typeof address === 'object');
  const closed = new Promise<void>((resolve) => {
    server.once('connection', (socket) => {
      socket.on('error', () => undefined);
      socket.once('close', () => resolve());
      socket.resume();
    });
  });
  const connect = tcpConnect();
  const { signal } = new AbortController();
  await connect({ host: 'localhost', port: address.port }, signal);
  await closed;
  const port = await freePort();
  await assert.rejects(connect({ host: '127.0.0.1', port }, signal), /ECONNREFUSED/);
  await assert.rejects(connect({ host: 'no-such-host.invalid', port }, signal));
});

test('recovery: a probe that is called off lets go', async () => {
  const controller = new AbortController();
  const probe = tcpConnect()({ host: '192.0.2.1', port: 9 }, controller.signal); // TEST-NET-1
  const rejected = assert.rejects(probe); // some networks answer for it at once
  await delay(20);
  controller.abort(new Error('called off'));
  await rejected;
});

test('host and port: of an address, and back', () => {
  assert.equal(hostPortOf('https://example.org/ingest'), 'example.org:443');
  assert.equal(hostPortOf('http://example.org'), 'example.org:80');
  assert.equal(hostPortOf('http://[::1]:8086/x'), '[::1]:8086');
  assert.deepEqual(parseHostPort('[::1]:8086'), { host: '::1', port: 8086 });
  assert.deepEqual(parseHostPort('example.org:443'), { host: 'example.org', port: 443 });
  for (const text of ['', 'example.org', 'a:0', 'a:65536', 'a:b', '::1:80', '[::1]'])
    assert.equal(parseHostPort(text), undefined, text);
});
