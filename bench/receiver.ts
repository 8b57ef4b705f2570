import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

/** An HTTP far side that takes batches of CloudEvents and keeps book of what came. */
export interface Receiver {
  readonly unique: number;
  readonly duplicates: number;
  /** Events that came after one of the same lane and device with a higher offset. */
  readonly disordered: number;
  /** When the first request came, by `performance.now()`; undefined before it. */
  readonly firstMs: number | undefined;
  /** Of request bodies, as they came: compressed. */
  readonly bytes: number;
  /**
   * From publish to here of the events that were published at `sinceMs` (ms since 1970) or later,
   * by the clock of the machine, in ms. Looked for from this call on.
   */
  liveSince(sinceMs: number): readonly number[];
  close(): Promise<void>;
}

export interface ReceiverOptions {
  /** Default: loopback. */
  readonly host?: string;
  /** How long each request is left without an answer, in ms. Default: not at all. */
  readonly delayMs?: number;
}

/**
 * `<hub>.<log>.<lane>.<offset>` and the device; looked for in the text, because parsing would be
 * the bottleneck.
 */
const EVENT_ID = /"id":"[^"]*\.([a-z]+)\.(\d+)"(?:,"source":"([^"]*)")?/g;
/** In the payload of the load generator: when it was published. */
const PUBLISHED = /"t":(\d+)/g;

/** Offsets of one lane. A byte each: a set of a million numbers takes fifty times as much. */
class Lane {
  /** The highest offset by source. */
  readonly highest = new Map<string, number>();
  #seen = new Uint8Array(1 << 16);

  /** False when it was there already. */
  add(offset: number): boolean {
    if (offset >= this.#seen.length) {
      const longer = new Uint8Array(Math.max(offset + 1, this.#seen.length * 2));
      longer.set(this.#seen);
      this.#seen = longer;
    }
    if (this.#seen[offset] === 1) return false;
    this.#seen[offset] = 1;
    return true;
  }
}

class Book {
  unique = 0;
  duplicates = 0;
  disordered = 0;
  firstMs: number | undefined;
  bytes = 0;
  #live: { readonly sinceMs: number; readonly latenciesMs: number[] } | undefined;
  readonly #lanes = new Map<string, Lane>();

  liveSince(sinceMs: number): readonly number[] {
    this.#live = { sinceMs, latenciesMs: [] };
    return this.#live.latenciesMs;
  }

  enter(body: string): void {
    for (const [, name = '', digits = '', source = ''] of body.matchAll(EVENT_ID)) {
      const offset = Number(digits);
      const lane = this.#lanes.get(name) ?? new Lane();
      this.#lanes.set(name, lane);
      if (!lane.add(offset)) {
        this.duplicates += 1;
        continue;
      }
      this.unique += 1;
      if (offset < (lane.highest.get(source) ?? -1)) this.disordered += 1;
      else lane.highest.set(source, offset);
    }
    this.#noteLive(body);
  }

  #noteLive(body: string): void {
    if (!this.#live) return;
    const { sinceMs, latenciesMs } = this.#live;
    const nowMs = Date.now();
    for (const [, digits = ''] of body.matchAll(PUBLISHED)) {
      const publishedMs = Number(digits);
      if (publishedMs >= sinceMs) latenciesMs.push(nowMs - publishedMs);
    }
  }
}

async function bodyOf(request: IncomingMessage, book: Book): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) {
    chunks.push(chunk);
    book.bytes += chunk.length;
  }
  const bytes = Buffer.concat(chunks);
  const isZipped = request.headers['content-encoding'] === 'gzip';
  return (isZipped ? await promisify(gunzip)(bytes) : bytes).toString('latin1');
}

/** Listens on `port`. */
export async function startReceiver(
  port: number,
  { host = '127.0.0.1', delayMs = 0 }: ReceiverOptions = {},
): Promise<Receiver> {
  const book = new Book();
  const server = createServer(async (request, response) => {
    book.firstMs ??= performance.now();
    try {
      book.enter(await bodyOf(request, book));
      if (delayMs > 0) setTimeout(() => response.writeHead(204).end(), delayMs);
      else response.writeHead(204).end();
    } catch {
      response.writeHead(400).end(); // cut off, or not gzip
    }
  });
  server.listen(port, host);
  await once(server, 'listening');
  return Object.assign(book, {
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  });
}
