// F5: a machine without a battery clock. The test owns the clock of a real hub: what goes out,
// when, and with which time.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import mqtt from 'mqtt';
import { parseConfig } from '../../config/load.ts';
import type { Status } from '../../hub/core/status.ts';
import { type RunningHub, startHub } from '../../hub/hub.ts';
import { createLogger } from '../../hub/observe/logger.ts';
import { afterTest } from '../support/after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

interface Delivered {
  readonly time: string;
  readonly receivedtime: string;
  readonly timequality: string;
  readonly id: string;
  readonly data: { readonly n: number; readonly truth: number };
}

/** A hub with a clock of the test, a publisher that tells the true time, and a file sink. */
class Site {
  readonly clock = new FakeClock();
  readonly folder: string;
  readonly #wait: string;
  readonly #start: { readonly trueMs: number; readonly monotonicMs: number };
  #hub: RunningHub | undefined;
  #published = 0;

  constructor(folder: string, behindMs: number, wait: string) {
    this.folder = folder;
    this.#wait = wait;
    this.#start = {
      trueMs: this.clock.wallMs() + behindMs,
      monotonicMs: this.clock.monotonicMs(),
    };
  }

  static async start(t: TestContext, { behindMs = 30 * DAY_MS, wait = '3 h' } = {}): Promise<Site> {
    const site = new Site(await temporaryFolder(t), behindMs, wait);
    site.clock.isSynced = false;
    afterTest(t, () => site.stop());
    return site;
  }

  async run(): Promise<void> {
    const text = `
      hub: { id: gw, data_dir: . }
      mqtt: { anonymous: true, listeners: [{ type: tcp, host: 127.0.0.1, port: 0 }] }
      http: { port: 0 }
      decode: [{ topic: "site/{area}/{device}/{metric}", format: json }]
      log:
        lanes: { alarm: ["+/+/+/alarm"] }
        retention: { age_max: 7 d }
        commit: { profile: latency } # the others gather by a clock that goes
      clock: { wait_for_sync_max: ${this.#wait} }
      sinks: [{ id: files, type: file, path: out, batch: { linger_ms: 0 } }]`;
    const config = parseConfig(text, { file: 'site.yaml', baseDir: this.folder }, {});
    const { clock } = this;
    const logger = await createLogger({ level: 'silent' });
    this.#hub = await startHub({ config, version: 'test', logger, clock });
  }

  async stop(): Promise<void> {
    await this.#hub?.stop();
    this.#hub = undefined;
  }

  get trueMs(): number {
    return this.#start.trueMs + this.clock.monotonicMs() - this.#start.monotonicMs;
  }

  synchronise(): void {
    this.clock.jump(this.trueMs - this.clock.wallMs());
    this.clock.isSynced = true;
  }

  /** One event every `everyMs`, every tenth an alarm. Resolves when all are acknowledged. */
  async publish(count: number, everyMs: number): Promise<void> {
    const client = await mqtt.connectAsync(`mqtt://${this.#hub?.mqtt[0]}`);
    for (let event = 0; event < count; event++) {
      this.clock.advance(everyMs);
      const n = this.#published++;
      const payload = JSON.stringify({ n, truth: this.trueMs });
      const topic = `site/a/dev/${n % 10 === 9 ? 'alarm' : 'temp'}`;
      await client.publishAsync(topic, payload, { qos: 1 });
    }
    await client.endAsync();
  }

  async delivered(): Promise<Delivered[]> {
    const out = join(this.folder, 'out');
    const names = await readdir(out).catch(() => []);
    const texts = await Promise.all(names.sort().map((name) => readFile(join(out, name), 'utf8')));
    const lines = texts.join('').split('\n');
    return lines.filter((line) => line !== '').map((line): Delivered => JSON.parse(line));
  }

  async status(): Promise<Status> {
    const answer = await fetch(`${this.#hub?.url}/api/v1/status`);
    return JSON.parse(await answer.text());
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.#hub?.url}/metrics`)).text();
    return Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.split(' ')[1],
    );
  }

  /** Arrival of the present value of each metric. */
  async latest(): Promise<number[]> {
    const answer = await fetch(`${this.#hub?.url}/api/v1/latest`);
    const values: { receivedMs: number }[] = JSON.parse(await answer.text());
    return values.map(({ receivedMs }) => receivedMs);
  }

  async eventTimes(fromMs: number, toMs: number): Promise<readonly string[]> {
    const range = `from=${new Date(fromMs).toISOString()}&to=${new Date(toMs).toISOString()}`;
    const answer = await fetch(`${this.#hub?.url}/api/v1/events?${range}&limit=1000`);
    const events: { time: string }[] = JSON.parse(await answer.text());
    return events.map(({ time }) => time);
  }
}

/** By quality, how many; and that each is right to the second and in order. */
function checked(delivered: readonly Delivered[]): Record<string, number> {
  const counts: Record<string, number> = {};
  const newest = new Map<string, string>();
  for (const { id, time, receivedtime, timequality, data } of delivered) {
    counts[timequality] = (counts[timequality] ?? 0) + 1;
    assert.equal(time, receivedtime);
    const lane = id.split('.')[2] ?? '';
    assert.ok((newest.get(lane) ?? '') <= time, `${id} is in order`);
    newest.set(lane, time);
    if (timequality === 'estimated') continue;
    const offMs = Date.parse(time) - data.truth;
    assert.ok(
      Math.abs(offMs) <= SECOND_MS,
      `event ${data.n} (${timequality}) is off by ${offMs} ms`,
    );
  }
  return counts;
}

/** Long enough for the log to have looked after itself, twice. */
const housekept = () => new Promise((resolve) => setTimeout(resolve, 2_200));

test('30 days in the past, an hour offline, then synchronised: all times right, none expired', async (t) => {
  const site = await Site.start(t);
  await site.run();
  const startMs = site.trueMs;
  await site.publish(60, MINUTE_MS);
  const waiting = await site.status();
  assert.deepEqual(await site.delivered(), []);
  assert.deepEqual(waiting.clock, { synced: false, state: 'unsynced', offsetMs: 0, waiting: true });
  assert.equal(waiting.sinks[0]?.state, 'reading');
  assert.equal(waiting.sinks[0]?.detail, 'waits for the clock');
  assert.ok(waiting.hub.ready && waiting.hub.problems.some((text) => text.includes('clock')));
  assert.equal(await site.metric('holdfast_clock_synced'), 0);
  site.synchronise();
  await until('the hub has noticed and sent', async () => (await site.delivered()).length === 60);
  await site.publish(5, SECOND_MS);
  await until('all sent', async () => (await site.delivered()).length === 65);
  assert.deepEqual(checked(await site.delivered()), { corrected: 60, synced: 5 });
  const { clock, hub, sinks } = await site.status();
  assert.deepEqual(clock, { synced: true, state: 'synced', offsetMs: 30 * DAY_MS, waiting: false });
  assert.deepEqual([hub.problems, sinks[0]?.detail], [[], undefined]);
  assert.ok(Math.abs(hub.startedMs - startMs) <= SECOND_MS, 'the hub started when it did');
  assert.equal(await site.metric('holdfast_clock_offset_seconds'), 30 * 86_400);
  await until('what is shown is corrected too', async () => {
    const latest = await site.latest();
    return latest.length > 1 && latest.every((timeMs) => timeMs > startMs);
  });
  await housekept();
  assert.equal((await site.eventTimes(startMs, site.trueMs + 1)).length, 65, 'none expired');
  assert.equal(
    (await site.eventTimes(startMs, startMs + 30 * MINUTE_MS)).length,
    29,
    'found by time',
  );
  site.clock.advance(6 * DAY_MS);
  await housekept();
  assert.equal((await site.eventTimes(startMs, site.trueMs)).length, 65, 'younger than a week');
  site.clock.advance(2 * DAY_MS);
  await until('a week is a week', async () => (await site.status()).log.events === 0);
});

test('a hub that is restarted while it waits sends what it kept with the right times', async (t) => {
  const site = await Site.start(t);
  await site.run();
  await site.publish(10, MINUTE_MS);
  await site.stop();
  site.clock.advance(MINUTE_MS);
  await site.run();
  await site.publish(10, MINUTE_MS);
  assert.deepEqual(await site.delivered(), []);
  site.synchronise();
  await until('all sent', async () => (await site.delivered()).length === 20);
  assert.deepEqual(checked(await site.delivered()), { corrected: 20 });
});

test('when the wait is over events go as estimated, alarms too, and not before', async (t) => {
  const site = await Site.start(t, { wait: '10 min' });
  await site.run();
  await site.publish(10, 50 * SECOND_MS);
  await housekept();
  assert.deepEqual(await site.delivered(), []);
  site.clock.advance(2 * MINUTE_MS);
  await until('sent', async () => (await site.delivered()).length === 10);
  assert.deepEqual(checked(await site.delivered()), { estimated: 10 });
  assert.equal((await site.status()).clock.waiting, false);
  site.synchronise();
  await site.publish(3, SECOND_MS);
  await until('all sent', async () => (await site.delivered()).length === 13);
  assert.deepEqual(checked(await site.delivered()), { estimated: 10, synced: 3 });
});

test('where nothing tells of the clock nothing waits', async (t) => {
  const site = await Site.start(t, { behindMs: 0 });
  site.clock.otherwise = 'unknown';
  await site.run();
  await site.publish(5, SECOND_MS);
  await until('sent', async () => (await site.delivered()).length === 5);
  assert.deepEqual(checked(await site.delivered()), { estimated: 5 });
  const { clock, hub } = await site.status();
  assert.deepEqual([clock.state, clock.waiting, hub.problems], ['unknown', false, []]);
});

test('a time server that is lost: times go on by the monotonic clock, nothing waits', async (t) => {
  const site = await Site.start(t, { behindMs: 0 });
  site.clock.isSynced = true;
  await site.run();
  await site.publish(3, SECOND_MS);
  site.clock.isSynced = false;
  await site.publish(3, SECOND_MS);
  site.clock.jump(-200 * DAY_MS); // and somebody plays with the clock
  await site.publish(3, SECOND_MS);
  await until('sent', async () => (await site.delivered()).length === 9);
  assert.deepEqual(checked(await site.delivered()), { synced: 3, corrected: 6 });
  assert.ok((await site.status()).hub.problems.some((text) => text.includes('not synchronised')));
});
