import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { generate, type Packet, parser } from 'mqtt-packet';
import { afterTest } from './after-test.ts';

export interface PublisherOptions {
  readonly port: number;
  readonly name: string;
  readonly qos: 1 | 2;
  /** Messages under way at a time. */
  readonly window: number;
  /** Default: for as long as it runs. */
  readonly total?: number;
  /** Random bytes besides, which no compression makes smaller. */
  readonly padding?: number;
  /** Pause after each message, in ms. Default: none, as fast as the window allows. */
  readonly everyMs?: number;
}

const RECONNECT_MS = 30;

/**
 * One MQTT connection that numbers its messages from 0 and remembers which were acknowledged: each
 * of them is an obligation of the hub. It reconnects and sends again, as the standard says, in
 * order.
 */
export class OraclePublisher {
  readonly topic: string;
  /** `n` of the messages that the hub is bound to deliver. */
  readonly acknowledged = new Set<number>();
  /** Publishes that were sent once more on another connection. */
  sentAgain = 0;
  readonly #options: PublisherOptions;
  /** Under way, in the order in which they were sent; `released` after PUBREC. */
  readonly #under = new Map<number, { readonly n: number; released: boolean }>();
  #next = 0;
  #socket: Socket | undefined;
  #paused = false;
  #state: 'running' | 'finishing' | 'ended' = 'running';

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.topic = `site/a/${options.name}/temp`;
  }

  get done(): boolean {
    return this.#under.size === 0 && this.#next >= (this.#options.total ?? 0);
  }

  get ended(): boolean {
    return this.#state === 'ended';
  }

  async run(): Promise<void> {
    for (;;) {
      await this.#session();
      if (this.ended) return;
      await delay(RECONNECT_MS);
    }
  }

  /** No new messages; `done` when the last one is acknowledged. */
  finish(): void {
    this.#state = 'finishing';
  }

  end(): void {
    this.#state = 'ended';
    this.#socket?.destroy();
  }

  async #session(): Promise<void> {
    const socket = connect({ port: this.#options.port, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    const packets = parser();
    packets.on('packet', (packet) => this.#received(packet));
    socket.on('data', (chunk) => packets.parse(chunk));
    this.#send({ cmd: 'connect', clientId: this.#options.name, clean: false, keepalive: 0 });
    await new Promise((resolve) => {
      socket.on('error', () => undefined);
      socket.on('close', resolve);
    });
  }

  #received(packet: Packet): void {
    const id = packet.messageId ?? 0;
    const message = this.#under.get(id);
    if (packet.cmd === 'connack') this.#sendAgain();
    if (packet.cmd === 'pubrec') {
      if (message) message.released = true;
      this.#send({ cmd: 'pubrel', messageId: id });
    }
    if (packet.cmd === 'puback' || packet.cmd === 'pubcomp') {
      if (message) this.acknowledged.add(message.n);
      this.#under.delete(id);
    }
    this.#fill();
  }

  #sendAgain(): void {
    for (const [messageId, { released }] of this.#under) {
      if (released) this.#send({ cmd: 'pubrel', messageId });
      else {
        this.sentAgain++;
        this.#publish(messageId, true);
      }
    }
  }

  #fill(): void {
    const { window, total = Number.POSITIVE_INFINITY, everyMs } = this.#options;
    while (this.#state === 'running' && this.#under.size < window && this.#next < total) {
      if (everyMs !== undefined && !this.#paces(everyMs)) return;
      const n = this.#next++;
      const messageId = (n % 65_535) + 1;
      this.#under.set(messageId, { n, released: false });
      this.#publish(messageId, false);
    }
  }

  /** Whether the next message may go; if not, it is looked at again when it may. */
  #paces(everyMs: number): boolean {
    if (this.#paused) return false;
    this.#paused = true;
    setTimeout(() => {
      this.#paused = false;
      this.#fill();
    }, everyMs);
    return true;
  }

  #publish(messageId: number, dup: boolean): void {
    const { qos, padding = 0 } = this.#options;
    const { n } = this.#under.get(messageId) ?? { n: 0 };
    const payload = JSON.stringify({ v: n / 10, n, pad: randomBytes(padding).toString('base64') });
    this.#send({ cmd: 'publish', topic: this.topic, qos, dup, retain: false, messageId, payload });
  }

  #send(packet: Packet): void {
    if (this.#socket?.writable) this.#socket.write(generate(packet));
  }
}

/** Publishers that run until the test ends or they are ended. */
export function publishers(
  t: TestContext,
  count: number,
  options: Omit<PublisherOptions, 'name'> & { readonly name?: string },
): OraclePublisher[] {
  const name = options.name ?? 'dev';
  const all = Array.from(
    { length: count },
    (_, index) => new OraclePublisher({ ...options, name: `${name}${index}` }),
  );
  const running = all.map((publisher) => publisher.run());
  afterTest(t, async () => {
    for (const publisher of all) publisher.end();
    await Promise.all(running);
  });
  return all;
}

export function acknowledgedOf(all: readonly OraclePublisher[]): number {
  return all.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0);
}
