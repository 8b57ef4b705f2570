import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { Lane } from '../../hub/core/event.ts';
import type { Forwarder } from '../../hub/forward/forwarder.ts';
import { budgetOf } from '../../hub/hub-budget.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { HttpSink } from '../../sinks/http/sink.ts';
import { httpSinkSpec } from '../../sinks/http/spec.ts';
import { parsed } from '../config/problems-of.ts';
import { sinkContext } from '../contract/sink.ts';
import { afterTest } from '../support/after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { append, forwarderOf, SINK_ID, testLog } from '../support/forwarding.ts';
import { MemorySink } from '../support/memory-sink.ts';
import { until } from '../support/until.ts';

const KIB = 1024;
const MIB = 1024 ** 2;
const HOUR_MS = 3_600_000;

/** A far side that counts what goes through its sockets, in both directions. */
class CountingFarSide {
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((request, response) => this.#listener(request, response));
  readonly events: Record<string, number> = { alarm: 0, normal: 0 };
  status = 204;

  async start(t: TestContext): Promise<string> {
    this.#server.on('connection', (socket) => this.#sockets.add(socket));
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    afterTest(t, () => {
      this.#server.closeAllConnections();
      this.#server.close();
    });
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}/ingest`;
  }

  get bytes(): number {
    return [...this.#sockets].reduce(
      (sum, { bytesRead, bytesWritten }) => sum + bytesRead + bytesWritten,
      0,
    );
  }

  readonly #listener: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      if (this.status < 300) {
        const batch: { id: string }[] = JSON.parse(gunzipSync(Buffer.concat(chunks)).toString());
        for (const { id } of batch) {
          const lane = id.split('.').at(-2) ?? '';
          this.events[lane] = (this.events[lane] ?? 0) + 1;
        }
      }
      response.writeHead(this.status).end();
    });
  };
}

interface Setup {
  readonly log: DurableLog;
  readonly clock: FakeClock;
  readonly url: string;
  /** As it is written in the configuration. */
  readonly budget: string;
}

async function budgeted(t: TestContext, { log, clock, url, budget }: Setup) {
  const text = `sinks:\n  - { id: ${SINK_ID}, type: http, url: "${url}", budget: ${budget} }`;
  const [config] = parsed(text).sinks;
  assert.ok(config);
  const options = httpSinkSpec.options.parse({ url });
  const sink = new HttpSink(options, sinkContext('/nonexistent'));
  const forwarder = forwarderOf(log, new MemorySink(), {
    sink,
    clock,
    reopen: async () => sink,
    requestsMax: options.connections_max,
    partOf: ({ offset }) => offset, // every event may go side by side with the next
    batch: { eventsMax: 5_000, bytesMax: MIB, lingerMs: 0 },
    budget: await budgetOf(config, '127.0.0.1:1', log, clock),
  });
  afterTest(t, () => forwarder.stop());
  await forwarder.start();
  return forwarder;
}

/** Of a kilobyte that no compression makes smaller. */
async function publish(log: DurableLog, events: number, lane: Lane = 'normal'): Promise<void> {
  const payloads = Array.from({ length: events }, () => randomBytes(750));
  await Promise.all(payloads.map((payload) => append(log, ['a/b'], lane, payload)));
}

const isHeld = (forwarder: Forwarder, reason: string) =>
  until(
    reason,
    () => forwarder.status().governor?.held.some((held) => held.reason === reason) ?? false,
  );

test('1 MiB a day is kept within 5 %, alarms go, and it goes on after midnight', async (t) => {
  const clock = new FakeClock();
  clock.advance(10 * HOUR_MS);
  const log = await testLog(t, clock);
  const far = new CountingFarSide();
  const url = await far.start(t);
  const setup = { log, clock, url, budget: '{ bytes_per_day: 1 MiB, timezone: UTC }' };
  await publish(log, 4_000);
  const first = await budgeted(t, setup);
  await isHeld(first, 'budget_day');
  const today = far.bytes;
  assert.ok(today <= 1.05 * MIB, `${today / MIB} MiB`);
  assert.ok(today >= 0.95 * MIB, `${today / MIB} MiB`);
  t.diagnostic(`used ${((100 * today) / MIB).toFixed(2)} % of the first day`);
  const { state, detail, wireBytes, governor, lagEvents } = first.status();
  assert.equal(state, 'reading');
  assert.match(detail ?? '', /^held until 00:00: /);
  assert.equal(wireBytes, today);
  assert.equal(governor?.day.usedBytes, today);
  assert.ok(lagEvents > 2_500);

  const { normal } = far.events;
  await publish(log, 20, 'alarm');
  await until('alarms', () => far.events['alarm'] === 20);
  assert.equal(far.events['normal'], normal);
  const withAlarms = far.bytes;
  await until('counted', () => first.status().governor?.day.usedBytes === withAlarms);

  await first.stop();
  await new Promise((resolve) => log.write([], resolve)); // as closing the log does
  const second = await budgeted(t, setup);
  await isHeld(second, 'budget_day');
  assert.equal(second.status().governor?.day.usedBytes, withAlarms, 'a restart resets nothing');
  assert.equal(far.bytes, withAlarms);

  clock.advance(14 * HOUR_MS);
  await until('the next day', () => far.bytes > withAlarms + 0.9 * MIB);
  await isHeld(second, 'budget_day');
  const tomorrow = far.bytes - withAlarms;
  assert.ok(tomorrow <= 1.05 * MIB && tomorrow >= 0.95 * MIB, `${tomorrow / MIB} MiB`);
  const { delivered } = log.cursors.get(SINK_ID, 'normal');
  assert.ok(delivered <= (far.events['normal'] ?? 0), 'each is sent once');
  assert.deepEqual(second.status().deadLetters, 0);
});

test('tries that fail use the budget up, and no more than that', async (t) => {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  const far = new CountingFarSide();
  const url = await far.start(t);
  far.status = 500;
  await publish(log, 40);
  const budget = '{ bytes_per_day: 200 KiB, timezone: UTC }';
  const forwarder = await budgeted(t, { log, clock, url, budget });
  const tick = setInterval(() => clock.advance(20), 1);
  afterTest(t, () => clearInterval(tick));
  await isHeld(forwarder, 'budget_day');
  assert.ok(
    far.bytes >= 0.8 * 200 * KIB && far.bytes <= 1.05 * 200 * KIB,
    `${far.bytes / KIB} KiB`,
  );
  assert.equal(log.cursors.get(SINK_ID, 'normal').offset, 0);
});

test('outside of the window nothing goes but alarms; it opens by the clock', async (t) => {
  const clock = new FakeClock();
  clock.advance(10 * HOUR_MS);
  const log = await testLog(t, clock);
  const far = new CountingFarSide();
  const url = await far.start(t);
  const budget = '{ window: "01:00-05:00", timezone: UTC }';
  await publish(log, 50);
  const forwarder = await budgeted(t, { log, clock, url, budget });
  await isHeld(forwarder, 'window');
  await publish(log, 3, 'alarm');
  await until('alarms', () => far.events['alarm'] === 3);
  assert.equal(far.events['normal'], 0);
  assert.equal(forwarder.status().detail, 'held until 01:00: outside of the window 01:00-05:00');
  clock.advance(15 * HOUR_MS);
  await until('events', () => far.events['normal'] === 50);
  assert.deepEqual(forwarder.status().governor?.held, []);
});

test('an event that is larger than the whole budget goes first thing in a day', async (t) => {
  const clock = new FakeClock();
  const log = await testLog(t, clock);
  const far = new CountingFarSide();
  const url = await far.start(t);
  await append(log, ['a'], 'normal', randomBytes(20 * KIB));
  await append(log, ['a'], 'normal', randomBytes(20 * KIB));
  const budget = '{ bytes_per_day: 10 KiB, timezone: UTC }';
  const forwarder = await budgeted(t, { log, clock, url, budget });
  await until('events', () => far.events['normal'] === 1);
  await isHeld(forwarder, 'budget_day');
  assert.equal(far.events['normal'], 1);
  clock.advance(24 * HOUR_MS);
  await until('events', () => far.events['normal'] === 2);
});
