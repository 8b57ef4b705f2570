import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { pino } from 'pino';
import { systemClock } from '../../hub/clock/system-clock.ts';
import { LANES } from '../../hub/core/event.ts';
import { Broker, type BrokerLimits } from '../../hub/intake/broker/broker.ts';
import { Intake } from '../../hub/intake/intake.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { SESSION_RANGE } from '../../hub/log/keys.ts';
import type { LogOptions } from '../../hub/log/log-options.ts';
import { openLog } from '../../hub/log/open-log.ts';
import { NO_RESERVE } from '../../hub/log/room/reserve.ts';
import { levelStorage } from '../../hub/log/storage/level-storage.ts';
import type { Storage } from '../../hub/log/storage/storage.ts';
import { afterTest } from './after-test.ts';
import { memoryMark } from './memory-mark.ts';
import { connectRaw } from './raw-mqtt.ts';
import { until } from './until.ts';

const LIMITS: BrokerLimits = {
  clientsMax: 1_000,
  packetBytesMax: 256 * 1024,
  topicLevelsMax: 16,
  topicBytesMax: 512,
  sessionQueueEventsMax: 1_000,
  sessionsMax: 10_000,
  retainedMessagesMax: 10_000,
  inflightMax: 1_000,
};

export interface FixtureOptions {
  readonly limits?: Partial<BrokerLimits>;
  readonly anonymous?: boolean;
  /** Default: any free one. */
  readonly port?: number;
  readonly log?: Partial<Pick<LogOptions, 'bytesMax' | 'whenFull' | 'profile' | 'sinks'>>;
}

/** Storage whose writes can be held up; real otherwise. */
export class HeldStorage implements Storage {
  readonly #inner: Storage;
  readonly open: Storage['open'];
  readonly close: Storage['close'];
  readonly get: Storage['get'];
  readonly last: Storage['last'];
  readonly entries: Storage['entries'];
  readonly compact: Storage['compact'];
  readonly startOver: Storage['startOver'];
  readonly salvage: Storage['salvage'];
  readonly release: Storage['release'];
  /** Writes that wait. */
  waiting = 0;
  #gate: Promise<void> | undefined;
  #open: () => void = () => {};

  constructor(inner: Storage) {
    this.#inner = inner;
    this.open = () => inner.open();
    this.close = () => inner.close();
    this.get = (key) => inner.get(key);
    this.last = (range) => inner.last(range);
    this.entries = (range) => inner.entries(range);
    this.compact = (range) => inner.compact(range);
    this.startOver = (reason) => inner.startOver(reason);
    this.salvage = (range) => inner.salvage(range);
    this.release = () => inner.release();
  }

  hold(): void {
    this.#gate ??= new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  letGo(): void {
    this.#gate = undefined;
    this.#open();
  }

  async write(...[operations, options]: Parameters<Storage['write']>): Promise<void> {
    this.waiting++;
    await this.#gate;
    this.waiting--;
    await this.#inner.write(operations, options);
  }
}

/** A broker on a real log in a folder of its own, which can be stopped and started again. */
export class BrokerFixture {
  readonly folder: string;
  readonly #options: FixtureOptions;
  readonly #clients: MqttClient[] = [];
  storage: HeldStorage;
  log!: DurableLog;
  intake!: Intake;
  broker!: Broker;
  port = 0;

  constructor(folder: string, options: FixtureOptions) {
    this.folder = folder;
    this.#options = options;
    this.storage = new HeldStorage(levelStorage(join(folder, 'log')));
  }

  async start(limits: Partial<BrokerLimits> = {}): Promise<void> {
    this.storage = new HeldStorage(levelStorage(join(this.folder, 'log')));
    this.log = await openLog({
      storage: this.storage,
      mark: memoryMark(),
      reserve: NO_RESERVE,
      clock: systemClock(),
      durability: { kind: 'fsync' },
      profile: 'latency',
      bytesMax: 256 * 1024 * 1024,
      freeBytesMin: 0,
      whenFull: 'block',
      ageMaxMs: 7 * 86_400_000,
      sinks: [],
      freeBytes: async () => Number.POSITIVE_INFINITY,
      ...this.#options.log,
    });
    this.intake = new Intake(this.log, { alarm: [], bulk: [] });
    this.broker = new Broker({
      intake: this.intake,
      log: this.log,
      listeners: [{ host: '127.0.0.1', port: this.#options.port ?? 0 }],
      anonymous: this.#options.anonymous ?? true,
      limits: { ...LIMITS, ...this.#options.limits, ...limits },
      logger: pino({ level: 'silent' }),
    });
    await this.broker.start();
    this.port = Number(this.broker.addresses[0]?.split(':').at(-1));
  }

  async stop(): Promise<void> {
    this.storage.letGo();
    for (const client of this.#clients.splice(0)) await client.endAsync(true);
    await this.broker.stop();
    await this.log.close();
  }

  async restart(limits: Partial<BrokerLimits> = {}): Promise<void> {
    await this.stop();
    await this.start(limits);
  }

  /** An ordinary client: mqtt.js. Ended with the fixture. */
  async client(options: IClientOptions = {}): Promise<MqttClient> {
    const client = await connectAsync(`mqtt://127.0.0.1:${this.port}`, {
      reconnectPeriod: 0,
      ...options,
    });
    client.on('error', () => {}); // being cut is seen by `close`
    this.#clients.push(client);
    return client;
  }

  /** Everything in the log, as `topic payload`, in order. */
  async events(): Promise<string[]> {
    const found: string[] = [];
    for (const lane of LANES) {
      let { head: offset, tail } = this.log.range(lane);
      while (offset < tail) {
        for (const block of await this.log.read(lane, offset, 1024 * 1024)) {
          for (let i = offset - block.firstOffset; i < block.count; i++) {
            const { topic, payload } = block.eventAt(i);
            found.push(`${topic} ${payload}`);
          }
          offset = block.firstOffset + block.count;
        }
        tail = this.log.range(lane).tail;
      }
    }
    return found;
  }

  /** Keys of the session state on disk, as text with `|` for NUL. */
  async sessionKeys(): Promise<string[]> {
    const keys: string[] = [];
    for await (const [key] of this.storage.entries(SESSION_RANGE)) {
      keys.push(key.toString().replaceAll('\0', '|'));
    }
    return keys;
  }

  refusals(): Record<string, number> {
    return Object.fromEntries(this.broker.refusals());
  }

  /** Fails unless a well-behaved client is served within a second. */
  async serves(): Promise<void> {
    const startMs = performance.now();
    const client = await connectRaw(this.port, `good-${Math.random()}`);
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'good/+', qos: 1 }] });
    await client.wait('suback');
    const before = this.log.acceptedEvents;
    client.send(Buffer.from([0x32, 10, 0, 6, ...Buffer.from('good/1'), 0, 9]));
    await client.wait('puback');
    await client.wait('publish');
    assert.equal(this.log.acceptedEvents - before >= 1, true);
    assert.ok(performance.now() - startMs < 1_000, 'a well-behaved client waits for a second');
    await client.cut();
  }
}

/** A started fixture that is stopped and removed after the test. */
export async function brokerFixture(
  t: TestContext,
  options: FixtureOptions = {},
): Promise<BrokerFixture> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-broker-'));
  const fixture = new BrokerFixture(folder, options);
  await fixture.start();
  afterTest(t, async () => {
    await fixture.stop();
    await rm(folder, { recursive: true, force: true });
  });
  return fixture;
}

/** What an mqtt.js client has received, as `topic payload`. */
export function inbox(client: MqttClient): string[] {
  const received: string[] = [];
  client.on('message', (topic, payload) => received.push(`${topic} ${payload}`));
  return received;
}

export async function untilReceived(received: readonly string[], count: number): Promise<void> {
  await until(`${count} messages, there are ${received.length}`, () => received.length >= count);
}
