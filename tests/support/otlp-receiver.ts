import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';
import { afterTest } from './after-test.ts';
import { RestartableServer } from './restartable-server.ts';

const hex = (digits: number) => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`));
const nanoseconds = z
  .string()
  .regex(/^\d{16,20}$/)
  .transform((text) => Number(BigInt(text) / 1000n) / 1000);
const attributeValue = z.union([
  z.strictObject({ stringValue: z.string() }).transform(({ stringValue }) => stringValue),
  z.strictObject({ intValue: z.string().regex(/^-?\d+$/) }).transform((v) => Number(v.intValue)),
  z.strictObject({ doubleValue: z.number() }).transform(({ doubleValue }) => doubleValue),
  z.strictObject({ boolValue: z.boolean() }).transform(({ boolValue }) => boolValue),
]);
const attributes = z
  .array(z.strictObject({ key: z.string().min(1), value: attributeValue }))
  .transform((all) => Object.fromEntries(all.map(({ key, value }) => [key, value])));

/** OTLP/JSON as opentelemetry-proto has it; nothing else is let through. */
const SPAN = z.strictObject({
  traceId: hex(32),
  spanId: hex(16),
  parentSpanId: hex(16).optional(),
  traceState: z.string().optional(),
  name: z.string().min(1),
  kind: z.int().min(1).max(5),
  startTimeUnixNano: nanoseconds,
  endTimeUnixNano: nanoseconds,
  attributes,
  links: z
    .array(z.strictObject({ traceId: hex(32), spanId: hex(16) }))
    .max(128)
    .optional(),
  status: z.strictObject({ code: z.literal(2), message: z.string() }).optional(),
});
const REQUEST = z.strictObject({
  resourceSpans: z.array(
    z.strictObject({
      resource: z.strictObject({ attributes }),
      scopeSpans: z.array(
        z.strictObject({
          scope: z.strictObject({ name: z.string(), version: z.string() }),
          spans: z.array(SPAN),
        }),
      ),
    }),
  ),
});

/** Times in ms since 1970. */
export type ReceivedSpan = z.output<typeof SPAN>;

type Answer = number | 'hang' | 'cut' | { readonly rejected: number };

/** A collector of our own: decodes what it is sent, strictly, and misbehaves on demand. */
export class OtlpReceiver {
  answer: Answer = 200;
  requests = 0;
  readonly spans: ReceivedSpan[] = [];
  readonly resources: Record<string, unknown>[] = [];
  /** What could not be decoded; a test asks that there is none. */
  readonly problems: string[] = [];
  headers: IncomingMessage['headers'] = {};
  readonly #server = new RestartableServer(
    (request, response) => void this.#handle(request, response),
  );

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}/v1/traces`;
  }

  named(name: string): ReceivedSpan[] {
    return this.spans.filter((span) => span.name === name);
  }

  start(): Promise<void> {
    return this.#server.start();
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++;
    this.headers = request.headers;
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return; // the hub was killed while it sent
    }
    const { answer } = this;
    if (answer === 'hang') return;
    if (answer === 'cut') request.socket.destroy();
    else if (typeof answer === 'number' && answer >= 300) response.writeHead(answer).end('no');
    else {
      this.#take(Buffer.concat(chunks), request.headers['content-encoding']);
      const rejected = typeof answer === 'object' ? answer.rejected : 0;
      const partial = rejected > 0 ? { partialSuccess: { rejectedSpans: String(rejected) } } : {};
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(partial));
    }
  }

  #take(body: Buffer, encoding: string | undefined): void {
    const text = (encoding === 'gzip' ? gunzipSync(body) : body).toString();
    const request = REQUEST.safeParse(JSON.parse(text));
    if (!request.success) {
      this.problems.push(z.prettifyError(request.error));
      return;
    }
    for (const { resource, scopeSpans } of request.data.resourceSpans) {
      this.resources.push(resource.attributes);
      for (const { spans } of scopeSpans) this.spans.push(...spans);
    }
  }
}

/** A receiver that listens until the test ends. */
export async function otlpReceiver(t: TestContext): Promise<OtlpReceiver> {
  const receiver = new OtlpReceiver();
  await receiver.start();
  afterTest(t, () => receiver.stop());
  return receiver;
}
