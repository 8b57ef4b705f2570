import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { afterTest } from './after-test.ts';
import { RestartableServer } from './restartable-server.ts';

/** `lose-ack` stores and cuts the connection; `slow` answers after a while. */
export type Mode = 'ok' | '500' | '429' | 'hang' | 'reset' | 'lose-ack' | 'slow';

/** What a far side that keeps book knows of one topic. */
interface Book {
  readonly seen: Set<number>;
  last: number;
}

interface FarEvent {
  readonly id: string;
  readonly topic: string;
  readonly n: number;
  readonly replay: boolean;
}

interface WireEvent {
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly data: { readonly n: number };
  readonly replay?: unknown;
}

const RETRY_AFTER_S = 1;
const SLOW_MS = 200;

/** Takes CloudEvents batches, remembers the `n` of every topic, and misbehaves on demand. */
export class HttpFarSide {
  mode: Mode = 'ok';
  /** A batch with one of these is answered 400. */
  poison = new Set<number>();
  requests = 0;
  events = 0;
  duplicates = 0;
  /** Events that came after a later one of their topic. */
  disorder = 0;
  /** When requests came, and in which mode. */
  /** Ids of events that were marked as a replay: they are in no book. */
  readonly replayedIds = new Set<string>();
  /** Ids of all others. */
  readonly liveIds = new Set<string>();
  readonly log: { readonly mode: Mode; readonly atMs: number }[] = [];
  readonly #books = new Map<string, Book>();
  readonly #server = new RestartableServer(
    (request, response) => void this.#handle(request, response),
  );

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}/ingest`;
  }

  get unique(): number {
    return this.uniqueBelow('');
  }

  /** Different events of the topics that begin so. */
  uniqueBelow(start: string): number {
    let unique = 0;
    for (const [topic, { seen }] of this.#books) if (topic.startsWith(start)) unique += seen.size;
    return unique;
  }

  has(topic: string, n: number): boolean {
    return this.#books.get(topic)?.seen.has(n) ?? false;
  }

  /** Listens, on the port of last time if there was one. */
  start(): Promise<void> {
    return this.#server.start();
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { mode } = this;
    this.requests++;
    this.log.push({ mode, atMs: performance.now() });
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return; // the hub was killed while it sent
    }
    const events = parse(Buffer.concat(chunks), request.headers['content-encoding']);
    if (mode === 'hang') return;
    if (mode === 'reset') request.socket.destroy();
    else if (mode === '500') response.writeHead(500).end('out of order');
    else if (mode === '429')
      response.writeHead(429, { 'retry-after': String(RETRY_AFTER_S) }).end();
    else if (events.some(({ n }) => this.poison.has(n))) response.writeHead(400).end('bad value');
    else {
      if (mode === 'slow') await delay(SLOW_MS);
      for (const event of events) this.#note(event);
      if (mode === 'lose-ack') request.socket.destroy();
      else response.writeHead(204).end();
    }
  }

  #note({ id, topic, n, replay }: FarEvent): void {
    (replay ? this.replayedIds : this.liveIds).add(id);
    if (replay) return;
    const book = this.#books.get(topic) ?? { seen: new Set(), last: -1 };
    this.#books.set(topic, book);
    this.events++;
    if (book.seen.has(n)) {
      this.duplicates++;
      return;
    }
    if (n < book.last) this.disorder++;
    book.seen.add(n);
    book.last = Math.max(book.last, n);
  }
}

function parse(body: Buffer, encoding: string | undefined): FarEvent[] {
  const text = (encoding === 'gzip' ? gunzipSync(body) : body).toString();
  const batch: WireEvent[] = JSON.parse(text);
  return batch
    .filter(({ type }) => type === 'dev.holdfast.message.v1')
    .map(({ id, subject, data, replay }) => ({
      id,
      topic: subject,
      n: data.n,
      replay: replay === true,
    }));
}

/** A far side that listens until the test ends. */
export async function httpFarSide(t: TestContext): Promise<HttpFarSide> {
  const side = new HttpFarSide();
  await side.start();
  afterTest(t, () => side.stop());
  return side;
}
