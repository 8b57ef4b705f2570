import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

/** An HTTP far side that takes batches of CloudEvents and keeps book of what came. */
export interface Receiver {
  readonly unique: number;
  readonly duplicates: number;
  /** Events that came after one with a higher offset of the same lane. */
  readonly disordered: number;
  /** When the first request came, by `performance.now()`; undefined before it. */
  readonly firstMs: number | undefined;
  close(): Promise<void>;
}

/**
 * `<hub>.<log>.<lane>.<offset>`; looked for in the text, because parsing would be the bottleneck.
 */
const EVENT_ID = /"id":"[^"]*\.([a-z]+)\.(\d+)"/g;

class Book {
  unique = 0;
  duplicates = 0;
  disordered = 0;
  firstMs: number | undefined;
  readonly #seen = new Map<string, Set<number>>();
  readonly #highest = new Map<string, number>();

  enter(body: string): void {
    for (const [, lane = '', digits = ''] of body.matchAll(EVENT_ID)) {
      const offset = Number(digits);
      const seen = this.#seen.get(lane) ?? new Set();
      this.#seen.set(lane, seen);
      if (seen.has(offset)) this.duplicates += 1;
      else {
        seen.add(offset);
        this.unique += 1;
        const highest = this.#highest.get(lane) ?? -1;
        if (offset < highest) this.disordered += 1;
        this.#highest.set(lane, Math.max(highest, offset));
      }
    }
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const isZipped = request.headers['content-encoding'] === 'gzip';
  return (isZipped ? await promisify(gunzip)(bytes) : bytes).toString('latin1');
}

/** Listens on `port` of loopback. */
export async function startReceiver(port: number): Promise<Receiver> {
  const book = new Book();
  const server = createServer(async (request, response) => {
    book.firstMs ??= performance.now();
    try {
      book.enter(await bodyOf(request));
      response.writeHead(204).end();
    } catch {
      response.writeHead(400).end(); // cut off, or not gzip
    }
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return Object.assign(book, {
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  });
}
