import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { S3Store, type S3StoreOptions } from '../../hub/forward/claim-check/s3-store.ts';
import { afterTest } from './after-test.ts';
import { RestartableServer } from './restartable-server.ts';
import { signatureProblem } from './sigv4-oracle.ts';

/** `hang` never answers; `lose-ack` stores and cuts the connection. */
export type StorageMode = 'ok' | '500' | 'slow-down' | 'hang' | 'lose-ack' | 'too-large' | 'moved';

export interface FarObject {
  readonly content: Buffer;
  readonly type: string | undefined;
  /** `x-amz-meta-*`, without the beginning. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** S3 refuses what is signed further from its own time than this. */
const SKEW_MS_MAX = 900_000;

/**
 * Object storage that a test can break: PUT and GET with the path style, the signature and the
 * checksum of the body checked as S3 does, and errors in S3's words.
 */
export class ObjectFarSide {
  readonly account = { accessKeyId: 'AKIAHOLDFAST', secretAccessKey: 'wJalrXUtn/FEMI+K7MDENG' };
  readonly bucket = 'telemetry';
  mode: StorageMode = 'ok';
  /** How far the clock of the server is ahead of this machine's. */
  aheadMs = 0;
  readonly objects = new Map<string, FarObject>();
  /** Keys in the order in which they were stored, each time. */
  readonly puts: string[] = [];
  requests = 0;
  readonly #server = new RestartableServer(
    (request, response) => void this.#handle(request, response),
  );

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  /** The lines of a configuration for this storage. */
  get yaml(): string {
    const { accessKeyId, secretAccessKey } = this.account;
    const keys = `access_key_id: ${accessKeyId}, secret_access_key: ${secretAccessKey}`;
    return `{ id: big, type: s3, url: "${this.url}", bucket: ${this.bucket}, timeout: 1 s, ${keys} }`;
  }

  start(): Promise<void> {
    return this.#server.start();
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'GET') {
      const object = this.objects.get(this.#keyOf(request));
      if (object) response.writeHead(200, { 'content-type': object.type }).end(object.content);
      else this.#refuse(response, 404, 'NoSuchKey');
      return;
    }
    this.requests++;
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(Buffer.from(chunk));
    } catch {
      return; // the hub gave up, or was killed
    }
    this.#put(request, Buffer.concat(chunks), response);
  }

  #put(request: IncomingMessage, content: Buffer, response: ServerResponse): void {
    const { mode } = this;
    const problem = this.#problem(request, content);
    if (mode === 'hang') return;
    if (mode === '500') this.#refuse(response, 500, 'InternalError');
    else if (mode === 'slow-down') this.#refuse(response, 503, 'SlowDown', { 'retry-after': '1' });
    else if (mode === 'too-large') this.#refuse(response, 400, 'EntityTooLarge');
    else if (mode === 'moved') {
      const region = { 'x-amz-bucket-region': 'eu-central-1' };
      this.#refuse(response, 301, 'PermanentRedirect', region);
    } else if (problem) this.#refuse(response, problem.status, problem.code);
    else {
      this.#store(request, content);
      if (mode === 'lose-ack') request.socket.destroy();
      else response.writeHead(200).end();
    }
  }

  #problem(
    request: IncomingMessage,
    content: Buffer,
  ): { status: number; code: string } | undefined {
    const { headers, method = '', url: target = '' } = request;
    const signature = signatureProblem({ method, target, headers }, this.account);
    if (signature) return { status: 403, code: signature };
    const signedMs = Date.parse(
      String(headers['x-amz-date']).replace(
        /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/,
        '$1-$2-$3T$4:$5:$6Z',
      ),
    );
    if (!(Math.abs(signedMs - this.#nowMs()) <= SKEW_MS_MAX))
      return { status: 403, code: 'RequestTimeTooSkewed' };
    const hash = createHash('sha256').update(content).digest('hex');
    if (hash !== headers['x-amz-content-sha256'])
      return { status: 400, code: 'XAmzContentSHA256Mismatch' };
    if (!target.startsWith(`/${this.bucket}/`)) return { status: 404, code: 'NoSuchBucket' };
    return undefined;
  }

  #store(request: IncomingMessage, content: Buffer): void {
    const key = this.#keyOf(request);
    const metadata = Object.entries(request.headers).flatMap(([name, value]) =>
      name.startsWith('x-amz-meta-') ? [[name.slice('x-amz-meta-'.length), String(value)]] : [],
    );
    this.puts.push(key);
    const type = request.headers['content-type'];
    this.objects.set(key, { content, type, metadata: Object.fromEntries(metadata) });
  }

  #keyOf({ url = '' }: IncomingMessage): string {
    return url.slice(`/${this.bucket}/`.length);
  }

  #nowMs(): number {
    return Date.now() + this.aheadMs;
  }

  #refuse(
    response: ServerResponse,
    status: number,
    code: string,
    headers: Record<string, string> = {},
  ): void {
    const date = new Date(this.#nowMs()).toUTCString();
    const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`;
    response.writeHead(status, { ...headers, date, 'content-type': 'application/xml' }).end(body);
  }
}

/** Object storage that listens until the test ends. */
export async function objectFarSide(t: TestContext): Promise<ObjectFarSide> {
  const side = new ObjectFarSide();
  await side.start();
  afterTest(t, () => side.stop());
  return side;
}

/** What the hub makes of it. */
export function storeFor(side: ObjectFarSide, more: Partial<S3StoreOptions> = {}): S3Store {
  return new S3Store({
    id: 'big',
    url: new URL(side.url),
    bucket: side.bucket,
    region: 'us-east-1',
    prefix: 'holdfast/',
    pathStyle: true,
    referenceUrl: undefined,
    credentials: side.account,
    timeoutMs: 1_000,
    tls: {},
    folder: '/nonexistent',
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    ...more,
  });
}
