import type { ServerResponse } from 'node:http';
import type { StreamReadings } from '../core/status.ts';
import { Problem } from './problem.ts';
import type { HubView } from './view.ts';

/** Fifty screens; each costs a socket and up to CLIENT_BYTES_MAX of memory. */
const STREAMS_MAX = 50;
/** Proxies and phones drop connections that are silent for longer than about 30 s. */
const HEARTBEAT_MS = 15_000;
/** Rates and lags are averages over seconds: more often would show nothing new. */
const STATUS_INTERVAL_MS = 2_000;
/**
 * What a reader may leave unread: about a second of the busiest stream. A slower one is cut, and
 * its
 * browser connects again.
 */
const CLIENT_BYTES_MAX = 1_048_576;
/** Readings per event: a browser parses 500 without dropping a frame. */
const READINGS_PER_EVENT_MAX = 500;
/** How long a browser waits before it connects again. */
const RECONNECT_MS = 2_000;

export interface EventStreamsOptions {
  readonly view: Pick<HubView, 'status' | 'subscribe'>;
  readonly streamsMax?: number;
  readonly heartbeatMs?: number;
  readonly statusIntervalMs?: number;
}

/** Server-sent events: one subscription and one text for all who listen. */
export class EventStreams {
  readonly #options: EventStreamsOptions;
  readonly #clients = new Set<ServerResponse>();
  #nextId = 1;
  #stopAll: (() => void) | undefined;

  constructor(options: EventStreamsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#clients.size;
  }

  /** @throws Problem 503 when there are as many streams as there may be. */
  assertRoom(): void {
    const { streamsMax = STREAMS_MAX } = this.#options;
    if (this.#clients.size >= streamsMax)
      throw new Problem(503, `There are ${streamsMax} streams already; close a console elsewhere.`);
  }

  /** Sends the head, the status at once, and from then on what comes, until the reader goes. */
  add(response: ServerResponse, headers: Readonly<Record<string, string>>): void {
    response.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no', // nginx would collect
    });
    response.socket?.setNoDelay(true);
    this.#clients.add(response);
    response.once('close', () => {
      this.#clients.delete(response);
      if (this.#clients.size === 0) this.#stop();
    });
    response.on('error', () => response.destroy());
    if (this.#clients.size === 1) this.#start();
    this.#write(response, `retry: ${RECONNECT_MS}\n\n${this.#statusText()}`);
  }

  close(): void {
    this.#stop();
    for (const client of this.#clients) client.destroy();
  }

  #start(): void {
    const {
      view,
      heartbeatMs = HEARTBEAT_MS,
      statusIntervalMs = STATUS_INTERVAL_MS,
    } = this.#options;
    const unsubscribe = view.subscribe((readings) => this.#sendReadings(readings));
    const heartbeat = setInterval(() => this.#broadcast(': still here\n\n'), heartbeatMs);
    const status = setInterval(() => this.#broadcast(this.#statusText()), statusIntervalMs);
    this.#stopAll = () => {
      unsubscribe();
      clearInterval(heartbeat);
      clearInterval(status);
    };
  }

  #stop(): void {
    this.#stopAll?.();
    this.#stopAll = undefined;
  }

  #sendReadings(readings: StreamReadings): void {
    let text = '';
    for (let i = 0; i < readings.length; i += READINGS_PER_EVENT_MAX)
      text += this.#eventText('readings', readings.slice(i, i + READINGS_PER_EVENT_MAX));
    if (text !== '') this.#broadcast(text);
  }

  #statusText(): string {
    return this.#eventText('status', this.#options.view.status());
  }

  #eventText(event: 'readings' | 'status', data: unknown): string {
    return `event: ${event}\nid: ${this.#nextId++}\ndata: ${JSON.stringify(data)}\n\n`;
  }

  #broadcast(text: string): void {
    const bytes = Buffer.from(text, 'utf8'); // one copy for all readers
    for (const client of this.#clients) this.#write(client, bytes);
  }

  #write(client: ServerResponse, text: string | Buffer): void {
    if (client.writableLength > CLIENT_BYTES_MAX) client.destroy();
    else client.write(text);
  }
}
