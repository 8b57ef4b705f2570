import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { systemClock } from '../../hub/clock/system-clock.ts';
import { hostPortOf } from '../../hub/core/host-port.ts';
import { Recovery } from '../../hub/forward/recovery.ts';
import { outagesOf } from '../../hub/hub-outages.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import { httpSinkSpec } from '../../sinks/http/spec.ts';
import { afterTest } from '../support/after-test.ts';
import { BlackHoleProxy } from '../support/black-hole-proxy.ts';
import { append, forwarderOf, openTestLog, type Tuning } from '../support/forwarding.ts';
import { type HttpFarSide, httpFarSide } from '../support/http-far-side.ts';
import { MemorySink } from '../support/memory-sink.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

/** Whoever waits for a back-off in these tests waits for five minutes at least. */
const LONG_BACKOFF = { delayMinMs: 600_000, delayMaxMs: 600_000, attemptsMax: 5 };

/** Forwarders of real HTTP sinks that share one log and what is known of the far side. */
async function forwarders(t: TestContext, url: string, count: number, tuning: Tuning = {}) {
  const folder = await temporaryFolder(t);
  const ids = Array.from({ length: count }, (_, n) => `sink-${n}`);
  const log = await openTestLog(folder, { sinks: ids });
  const recovery = new Recovery();
  const logger = pino({ level: 'silent' });
  const started = await Promise.all(
    ids.map(async (id) => {
      const options = httpSinkSpec.options.parse({ url, compression: 'none' });
      const sink = await httpSinkSpec.create(options, {
        ...{ id, hubId: 'gateway-01', logId: log.id, logger, dataDir: folder },
        decode: createDecoder([]),
      });
      const forwarder = forwarderOf(log, new MemorySink(), {
        ...{ id, sink, reopen: async () => sink, retry: LONG_BACKOFF },
        outages: outagesOf(log, systemClock(), id),
        farSide: recovery.join(hostPortOf(url), true),
        ...tuning,
      });
      await forwarder.start();
      return forwarder;
    }),
  );
  afterTest(t, async () => {
    for (const forwarder of started) await forwarder.stop();
    await log.close();
  });
  let n = 0;
  const publish = () => append(log, ['a'], 'normal', Buffer.from(JSON.stringify({ n: n++ })));
  return { log, publish, started };
}

const portOf = ({ url }: HttpFarSide) => Number(new URL(url).port);

test('outages: five sinks of a host that is back deliver at once, long before their back-offs are due', async (t) => {
  const side = await httpFarSide(t);
  await side.stop();
  const { publish, started } = await forwarders(t, side.url, 5);
  await publish();
  const states = () => started.map((forwarder) => forwarder.status());
  await until('all wait', () => states().every(({ state }) => state === 'backoff'));
  await delay(1_200); // some probes find nobody
  const soonestMs = Math.min(...states().map(({ retryAtMs = 0 }) => retryAtMs - Date.now()));
  assert.ok(soonestMs > 240_000, `${soonestMs} ms until the next try of their own`);
  assert.equal(side.requests, 0);
  const backMs = performance.now();
  await side.start();
  await until('all delivered', () => states().every(({ lagEvents }) => lagEvents === 0));
  const firstMs = Math.round((side.log[0]?.atMs ?? 0) - backMs);
  const lastMs = Math.round((side.log.at(-1)?.atMs ?? 0) - backMs);
  t.diagnostic(`first delivery ${firstMs} ms after the return, the fifth ${lastMs} ms`);
  for (const { outage } of states()) assert.equal(outage, null);
  for (const forwarder of started) {
    const [outage] = forwarder.outages.list();
    assert.equal(outage?.firstError.code, 'SINK_DISCONNECTED');
    assert.ok((outage?.lengthMs ?? 0) >= 1_000 && outage?.drainedAfterMs !== null);
  }
});

test('outages: a far side that takes connections and answers 500 is not hammered', async (t) => {
  const side = await httpFarSide(t);
  side.mode = '500';
  const proxy = new BlackHoleProxy(portOf(side));
  await proxy.plug();
  afterTest(t, () => proxy.close());
  const { publish, started } = await forwarders(t, `http://127.0.0.1:${proxy.port}/`, 1);
  await publish();
  await until('probed', () => proxy.connections >= 5);
  assert.equal(side.requests, 1, 'one delivery, and connections that said nothing');
  assert.equal(started[0]?.status().outage?.tries, 1);
});

test('outages: a delivery that a pulled cable has swallowed is sent again when it is back', async (t) => {
  const side = await httpFarSide(t);
  const proxy = new BlackHoleProxy(portOf(side));
  await proxy.plug();
  afterTest(t, () => proxy.close());
  const { publish, started } = await forwarders(t, `http://127.0.0.1:${proxy.port}/`, 1);
  await publish();
  await until('the first is there', () => side.unique === 1);
  proxy.pull();
  const pulledMs = performance.now();
  await publish();
  await until('under way', () => started[0]?.status().state === 'sending');
  await delay(3_600); // its patience is over, and probes find nobody
  assert.equal(started[0]?.status().state, 'sending', 'nobody has told it that it waits in vain');
  await proxy.plug();
  const backMs = performance.now();
  await until('it is there', () => side.unique === 2);
  const tookMs = Math.round(performance.now() - backMs);
  t.diagnostic(
    `delivered ${tookMs} ms after the return, cut off for ${Math.round(backMs - pulledMs)} ms`,
  );
  await until('settled', () => started[0]?.status().lagEvents === 0);
  assert.equal(side.duplicates, 0, 'what was swallowed had not arrived');
  assert.match(started[0]?.outages.list()[0]?.firstError.text ?? '', /is back: sent again/);
});

test('outages: F23: an outage of any number of tries is no attempt of any event', async (t) => {
  const folder = await temporaryFolder(t);
  const log = await openTestLog(folder);
  const sink = new MemorySink();
  const retry = { delayMinMs: 0.01, delayMaxMs: 0.01, attemptsMax: 1 };
  const forwarder = forwarderOf(log, sink, { retry });
  afterTest(t, async () => {
    await forwarder.stop();
    await log.close();
  });
  const tries = { left: 300 };
  sink.connected = () => {
    if (tries.left % 3 === 0 && tries.left-- > 0) throw new Error('connect ECONNREFUSED');
    return {};
  };
  const answer = sink.answer;
  sink.answer = (batch, signal) =>
    tries.left-- > 0 ? new Error('socket hang up') : answer(batch, signal);
  await append(log, Array<string>(20).fill('a'));
  await forwarder.start();
  await until('all delivered', () => sink.taken.length === 20);
  await until('settled', () => forwarder.status().lagEvents === 0);
  const { deadLetters, lostEvents, deliveredEvents } = forwarder.status();
  assert.deepEqual([deadLetters, lostEvents, deliveredEvents], [0, 0, 20]);
  const [outage] = forwarder.outages.list();
  assert.ok((outage?.tries ?? 0) >= 200, String(outage?.tries));
  assert.equal(forwarder.outages.list().length, 1);
});
