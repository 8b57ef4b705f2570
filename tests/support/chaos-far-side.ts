import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { afterTest } from './after-test.ts';
import { ChaosBook, type FarEvent } from './chaos-book.ts';
import { seededRandom } from './seeded-random.ts';

/**
 * What a far side does with one request instead of doing its work.
 *
 * - `refuse`: cuts this connection and listens no more, for a while;
 * - `cut-body`, `cut-answer`: cuts in the middle of what it receives, or, after processing, says;
 * - `lose-answer`, `500-after`: processes everything, and then cuts, or answers 500;
 * - `late`: processes everything, and answers 10 s later;
 * - `trickle`: reads 1 kB a second.
 */
export const MISCHIEFS = [
  'refuse',
  '500',
  '503-ask',
  '429',
  '429-ask',
  'hang',
  'cut-body',
  'cut-answer',
  'lose-answer',
  '500-after',
  'late',
  'trickle',
] as const;
export type Mischief = (typeof MISCHIEFS)[number];

/** How often, against each other. What holds a connection for long is rarer. */
const WEIGHTS: Readonly<Partial<Record<Mischief, number>>> = { hang: 0.3, late: 0.3, trickle: 0.3 };
const LATE_MS = 10_000;
const TRICKLE_BYTES_PER_MS = 1;
const REFUSE_MS_MAX = 800;
const RETRY_AFTER_S = 1;
/** Near the end of the hub's patience nobody can say whether it has heard the answer. */
const CERTAIN_MS = 1_000;

export interface ChaosOptions {
  readonly seed: number;
  /** Of the requests, how many go wrong: 0 to 1. */
  readonly mischief: number;
  /** A batch with one of these is refused as a whole, with 400. */
  isPoison?(topic: string, n: number): boolean;
  /** How long the hub waits for an answer. */
  readonly patienceMs: number;
}

/** The parts of a CloudEvent that the book is kept with. */
interface WireEvent {
  readonly id: string;
  readonly subject?: string;
  readonly source: string;
  readonly data?: { readonly n?: number };
  readonly backfill?: boolean;
}

/** Does harm by the seed, and keeps book. Takes CloudEvents in both formats, gzip or not. */
export class ChaosFarSide {
  readonly book = new ChaosBook();
  /** What was done, and how often; `ok` too. */
  readonly done = new Map<string, number>();
  /** `<topic> <n>` of every message that was processed. */
  readonly messages = new Set<string>();
  /** Ids of poison events that were seen. */
  readonly poison = new Set<string>();
  /** Set to 0 to let everything recover. */
  mischief: number;
  readonly #options: ChaosOptions;
  readonly #random: () => number;
  readonly #server = createServer((request, response) => void this.#handle(request, response));
  readonly #closing = new AbortController();
  #port = 0;

  constructor(options: ChaosOptions) {
    this.#options = options;
    this.mischief = options.mischief;
    this.#random = seededRandom(options.seed);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/ingest`;
  }

  async start(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (address && typeof address === 'object') this.#port = address.port;
  }

  stop(): void {
    this.#closing.abort();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  has(topic: string, n: number): boolean {
    return this.messages.has(`${topic} ${n}`);
  }

  #choose(): Mischief | 'ok' {
    if (this.#random() >= this.mischief) return 'ok';
    const weightOf = (mischief: Mischief) => WEIGHTS[mischief] ?? 1;
    let left = this.#random() * MISCHIEFS.reduce((sum, each) => sum + weightOf(each), 0);
    for (const mischief of MISCHIEFS) {
      left -= weightOf(mischief);
      if (left < 0) return mischief;
    }
    return 'ok';
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedMs = performance.now();
    const mischief = this.#choose();
    this.done.set(mischief, (this.done.get(mischief) ?? 0) + 1);
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    try {
      if (mischief === 'refuse') await this.#refuse(request);
      else if (mischief === 'cut-body') await cutBody(request);
      else await this.#read(request, response, mischief, startedMs);
    } catch {
      // cut off by the hub, or the test is over
    }
  }

  async #refuse(request: IncomingMessage): Promise<void> {
    request.socket.destroy();
    if (!this.#server.listening) return; // away already
    this.#server.close();
    await delay(this.#random() * REFUSE_MS_MAX, undefined, { signal: this.#closing.signal });
    this.#server.listen(this.#port, '127.0.0.1');
  }

  async #read(
    request: IncomingMessage,
    response: ServerResponse,
    mischief: Mischief | 'ok',
    startedMs: number,
  ): Promise<void> {
    const { signal } = this.#closing;
    const chunks: Buffer[] = [];
    for await (const chunk of request) {
      const bytes = Buffer.from(chunk);
      chunks.push(bytes);
      if (mischief === 'trickle')
        await delay(bytes.length / TRICKLE_BYTES_PER_MS, undefined, { signal });
    }
    const asked = { 'retry-after': String(RETRY_AFTER_S) };
    if (mischief === 'hang') return;
    if (mischief === '500') response.writeHead(500).end('out of order');
    else if (mischief === '503-ask') response.writeHead(503, asked).end('overloaded');
    else if (mischief === '429') response.writeHead(429).end('too many');
    else if (mischief === '429-ask') response.writeHead(429, asked).end('too many');
    else {
      const events = eventsOf(Buffer.concat(chunks), request.headers);
      await this.#process(events, request, response, mischief, startedMs);
    }
  }

  async #process(
    events: readonly WireEvent[],
    request: IncomingMessage,
    response: ServerResponse,
    mischief: Mischief | 'ok',
    startedMs: number,
  ): Promise<void> {
    const refused = events.filter(({ subject = '', data }) => {
      return data?.n !== undefined && this.#options.isPoison?.(subject, data.n);
    });
    for (const { id } of refused) this.poison.add(id);
    if (refused.length > 0) {
      const [first] = events.length === 1 ? refused : [];
      response.writeHead(400).end(first ? `poison ${first.id}` : 'something in it is poison');
      return;
    }
    const processed = this.book.process(events.map(farEvent));
    for (const { subject, data } of events) {
      if (data?.n !== undefined) this.messages.add(`${subject} ${data.n}`);
    }
    if (mischief === 'lose-answer') request.socket.destroy();
    else if (mischief === '500-after') response.writeHead(500).end('somewhere behind me');
    else if (mischief === 'cut-answer') {
      response.writeHead(200, { 'content-length': '100' });
      response.write('{"taken":', () => request.socket.destroy());
    } else {
      response.on('finish', () => {
        const nowMs = performance.now();
        const certain = nowMs - startedMs < this.#options.patienceMs - CERTAIN_MS;
        if (certain && !request.socket.destroyed) this.book.told(processed, nowMs);
      });
      if (mischief === 'late') await delay(LATE_MS, undefined, { signal: this.#closing.signal });
      response.writeHead(204).end();
    }
  }
}

/** After the headers, or a part of the body when it is longer than one read. */
async function cutBody(request: IncomingMessage): Promise<void> {
  await Promise.race([once(request, 'data'), once(request, 'end')]);
  request.socket.destroy();
}

function eventsOf(body: Buffer, headers: IncomingMessage['headers']): readonly WireEvent[] {
  const text = (headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString();
  const isLines = headers['content-type']?.includes('ndjson') ?? false;
  return JSON.parse(isLines ? `[${text.trim().split('\n').join(',')}]` : text);
}

function farEvent({ id, source, backfill }: WireEvent): FarEvent {
  const [lane = '', offset = ''] = id.split('.').slice(-2);
  return { id, lane, offset: Number(offset), device: source, backfill: backfill === true };
}

/** A far side that does harm until the test ends or `mischief` is 0. */
export async function chaosFarSide(t: TestContext, options: ChaosOptions): Promise<ChaosFarSide> {
  const side = new ChaosFarSide(options);
  await side.start();
  afterTest(t, () => side.stop());
  return side;
}
