import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { extname, join, normalize } from 'node:path';
import type { LatestValue } from '../../hub/core/status.ts';
import {
  siteHistory,
  siteLatest,
  siteOutages,
  siteReadings,
  siteStatus,
} from './console-fixture-data.ts';

/** As the hub sends it: nothing inline, nothing from elsewhere. */
const CONTENT_SECURITY_POLICY =
  "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export interface ConsoleFixtureOptions {
  /** Folder of the built page. */
  readonly dir: string;
  readonly token?: string;
  /** Without readings: what a new hub shows. */
  readonly empty?: boolean;
  /** So many further metrics, for a page with more than fits on the screen. */
  readonly extraMetrics?: number;
  /** Default 0: any free port. */
  readonly port?: number;
}

export interface ConsoleFixture {
  readonly baseUrl: string;
  readonly port: number;
  /** Sends a reading as if it had just arrived. */
  publish(device: string, metric: string, value: LatestValue['value']): void;
  /** Streams open at the moment. */
  readonly streams: number;
  readonly historiesAnswered: number;
  close(): Promise<void>;
}

function extraReadings(count: number, nowMs: number): LatestValue[] {
  return Array.from({ length: count }, (_, i) => ({
    device: `meter-${1 + Math.floor(i / 4)}`,
    metric: ['power', 'voltage', 'current', 'energy'][i % 4] ?? 'power',
    value: Number((100 + 20 * Math.sin(nowMs / 30_000 + i)).toFixed(1)),
    timeMs: nowMs,
    timeQuality: 'synced',
    receivedMs: nowMs,
    tags: { area: `hall-${1 + (i % 3)}` },
  }));
}

class Fixture implements ConsoleFixture {
  readonly #options: ConsoleFixtureOptions;
  readonly #startedMs = Date.now();
  readonly #server: Server;
  readonly #streams = new Set<ServerResponse>();
  readonly #published = new Map<string, LatestValue>();
  readonly #timers: NodeJS.Timeout[] = [];
  #sentMs = Date.now();
  #port = 0;
  #historiesAnswered = 0;

  constructor(options: ConsoleFixtureOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        response.writeHead(500).end(String(error));
      });
    });
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#options.port ?? 0, '127.0.0.1', resolve);
    });
    const address = this.#server.address();
    this.#port = typeof address === 'object' && address ? address.port : 0;
    this.#timers.push(
      setInterval(() => this.#sendReadings(), 250), // 4 Hz, as the hub coalesces
      setInterval(() => this.#send('status', this.#status()), 2_000),
    );
    return this;
  }

  get port(): number {
    return this.#port;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  get streams(): number {
    return this.#streams.size;
  }

  get historiesAnswered(): number {
    return this.#historiesAnswered;
  }

  publish(device: string, metric: string, value: LatestValue['value']): void {
    const nowMs = Date.now();
    const known = siteLatest(nowMs).find((one) => one.device === device && one.metric === metric);
    const reading: LatestValue = {
      device,
      metric,
      value,
      ...(known?.unit === undefined ? {} : { unit: known.unit }),
      timeMs: nowMs,
      timeQuality: 'synced',
      receivedMs: nowMs,
      tags: known?.tags ?? { area: 'a' },
    };
    this.#published.set(`${device}\u0000${metric}`, reading);
    this.#send('readings', [reading]);
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    for (const stream of this.#streams) stream.destroy();
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }

  #latest(): LatestValue[] {
    const nowMs = Date.now();
    const site = this.#options.empty
      ? []
      : [...siteLatest(nowMs), ...extraReadings(this.#options.extraMetrics ?? 0, nowMs)];
    const own = (one: LatestValue) => this.#published.get(`${one.device}\u0000${one.metric}`);
    const replaced = site.filter((one) => own(one) === undefined);
    return [...replaced, ...this.#published.values()];
  }

  #status() {
    return siteStatus(this.#startedMs, Date.now(), this.#options.empty ? 0 : 1);
  }

  #send(event: string, data: unknown): void {
    for (const stream of this.#streams)
      stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  #sendReadings(): void {
    const nowMs = Date.now();
    const fresh = this.#options.empty ? [] : siteReadings(this.#sentMs, nowMs);
    this.#sentMs = nowMs;
    // What a test has published stays on screen until the test is done with it.
    const readings = fresh.filter(
      (one) => !this.#published.has(`${one.device}\u0000${one.metric}`),
    );
    if (readings.length > 0) this.#send('readings', readings);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://127.0.0.1');
    if (!url.pathname.startsWith('/api/')) return this.#file(url.pathname, response);
    const { token } = this.#options;
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`) {
      response.writeHead(401, { 'content-type': 'application/problem+json' });
      response.end(
        JSON.stringify({ title: 'Unauthorized', status: 401, detail: 'A token is needed.' }),
      );
      return;
    }
    if (url.pathname === '/api/v1/stream') return this.#stream(response);
    const answer = this.#json(url);
    response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer ?? { title: 'Not Found', status: 404 }));
  }

  #json(url: URL): unknown {
    if (url.pathname === '/api/v1/status') return this.#status();
    if (url.pathname === '/api/v1/latest') return this.#latest();
    if (url.pathname === '/api/v1/outages') return siteOutages(this.#startedMs, Date.now());
    if (url.pathname !== '/api/v1/history') return undefined;
    this.#historiesAnswered++;
    const query = url.searchParams;
    const device = query.get('device') ?? '';
    const metric = query.get('metric') ?? '';
    const fromMs = Date.parse(query.get('from') ?? '');
    const toMs = Date.parse(query.get('to') ?? '');
    const found = siteHistory(device, metric, {
      fromMs,
      toMs,
      points: Number(query.get('points')),
    });
    const sampled = metric === 'illuminance';
    const read = found.points.length * 5;
    const counts = { sampled, readEvents: read, totalEvents: sampled ? 40 * read : read };
    return { device, metric, ...found, fromMs, toMs, ...counts };
  }

  #stream(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write(': hello\n\n');
    this.#streams.add(response);
    response.on('close', () => this.#streams.delete(response));
  }

  async #file(path: string, response: ServerResponse): Promise<void> {
    const name = normalize(path === '/' ? '/index.html' : path);
    try {
      const body = await readFile(join(this.#options.dir, `${name}.gz`));
      response.writeHead(200, {
        'content-type': TYPES[extname(name)] ?? 'application/octet-stream',
        'content-encoding': 'gzip',
        'content-security-policy': CONTENT_SECURITY_POLICY,
      });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  }
}

/**
 * Serves the built console and answers its API with a small believable site: one sink in back-off
 * with a backlog, one draining, one up to date.
 */
export function startConsoleFixture(options: ConsoleFixtureOptions): Promise<ConsoleFixture> {
  return new Fixture(options).start();
}
