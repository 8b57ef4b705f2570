import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { generate } from 'mqtt-packet';

/** A subscriber that only counts: whatever it did besides would slow down what it measures. */
export interface CountingSubscriber {
  /** PUBLISH packets so far. */
  readonly received: number;
  /** When the first came, by `performance.now()`; undefined before it. */
  readonly firstMs: number | undefined;
  close(): void;
}

const PUBLISH = 3;
const CONNECT_MS_MAX = 10_000;
const RECONNECT_MS = 2;

/** Counts packets in a stream of MQTT without keeping them. */
export class PacketCounter {
  received = 0;
  firstMs: number | undefined;
  /** Bytes of the current packet that are still to come. */
  #skip = 0;
  /** The beginning of a header that was cut. */
  #rest: Buffer = Buffer.alloc(0);

  take(chunk: Buffer): void {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    let at = this.#skip;
    while (at < bytes.length) {
      let [length, digits, digit] = [0, 0, 0x80];
      while (digit >= 0x80 && at + 1 + digits < bytes.length) {
        digit = bytes[at + 1 + digits] ?? 0;
        length += (digit & 0x7f) * 128 ** digits;
        digits++;
      }
      if (digit >= 0x80) break; // the length is not complete yet
      if ((bytes[at] ?? 0) >> 4 === PUBLISH) {
        this.firstMs ??= performance.now();
        this.received++;
      }
      at += 1 + digits + length;
    }
    this.#skip = Math.max(0, at - bytes.length);
    this.#rest = at < bytes.length ? bytes.subarray(at) : Buffer.alloc(0);
  }
}

/**
 * Subscribes to everything, in a session that outlives the connection and the broker, so that
 * nothing is missed between the broker's start and ours. Tries until the broker is there.
 */
export async function countingSubscriber(host: string, port: number): Promise<CountingSubscriber> {
  const endMs = performance.now() + CONNECT_MS_MAX;
  for (;;) {
    const socket = connect({ port, host, noDelay: true });
    try {
      await once(socket, 'connect');
      const counter = new PacketCounter();
      socket.on('data', (chunk: Buffer) => counter.take(chunk));
      socket.on('error', () => socket.destroy());
      socket.write(generate({ cmd: 'connect', clientId: 'count', clean: false, keepalive: 0 }));
      const subscriptions = [{ topic: '#', qos: 0 as const }];
      socket.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions }));
      return Object.assign(counter, { close: () => void socket.destroy() });
    } catch (error) {
      socket.destroy();
      if (performance.now() > endMs) throw error;
      await delay(RECONNECT_MS);
    }
  }
}
