import type { Agent } from 'node:http';
import { promisify } from 'node:util';
import { crc32, gzip } from 'node:zlib';
import { cloudEventBatchEncoder, eventId } from '../../hub/core/cloud-event.ts';
import { HubError } from '../../hub/core/errors.ts';
import type { Batch, HubEvent } from '../../hub/core/event.ts';
import { cloudEventBytesAbove } from '../../hub/core/event-size.ts';
import { httpAgent, httpRequest, refusal } from '../../hub/core/http-request.ts';
import {
  type Connection,
  DELIVERED,
  type Delivery,
  type Sink,
  type SinkContext,
} from '../../hub/core/sink.ts';
import { utf8InSlices } from '../../hub/core/slices.ts';
import { headerBytes, WireMeter } from '../../hub/core/wire-meter.ts';
import type { HttpSinkOptions } from './spec.ts';

const compress = promisify(gzip);
/** Level 1 makes CloudEvents 12 times smaller; level 6 makes it 15, in four times the time. */
const GZIP = { level: 1, chunkSize: 64 * 1024 };

const CONTENT_TYPES = {
  cloudevents: 'application/cloudevents-batch+json',
  ndjson: 'application/x-ndjson',
} as const;

const FRAMES = {
  cloudevents: { before: '[', between: ',', after: ']' },
  ndjson: { before: '', between: '\n', after: '\n' },
} as const;

/** Tells batches that begin and end alike from each other, when events between are not in them. */
function gapsMark(events: readonly HubEvent[]): string {
  const [first, last] = [events[0]?.offset ?? 0, events.at(-1)?.offset ?? 0];
  if (last - first + 1 === events.length) return '';
  return `-${crc32(Float64Array.from(events, ({ offset }) => offset)).toString(16)}`;
}

interface EncodedBatch {
  /** Names the batch for a far side that drops what it has already seen. */
  readonly id: string;
  readonly body: Buffer;
}

/** Posts batches of CloudEvents. One request a batch; its status is the answer for all events. */
export class HttpSink implements Sink<EncodedBatch> {
  readonly #options: HttpSinkOptions;
  readonly #context: SinkContext;
  readonly #url: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #encoderFor: (batch: Batch) => (event: HubEvent) => string;
  readonly #meter = new WireMeter();
  #agent: Agent | undefined;

  constructor(options: HttpSinkOptions, context: SinkContext) {
    this.#options = options;
    this.#context = context;
    this.#url = new URL(options.url);
    this.#encoderFor = cloudEventBatchEncoder({ ...context, content: options.content });
    this.#headers = {
      ...Object.fromEntries(
        Object.entries(options.headers).map(([name, value]) => [name, value.reveal()]),
      ),
      ...(options.token && { authorization: `Bearer ${options.token.reveal()}` }),
      ...(options.compression === 'gzip' && { 'content-encoding': 'gzip' }),
      'content-type': CONTENT_TYPES[options.format],
    };
  }

  /** Makes no request: a webhook has nothing to ask for. New connections after an error, though. */
  async connect(signal: AbortSignal): Promise<Connection> {
    signal.throwIfAborted();
    this.#agent?.destroy();
    const { dataDir } = this.#context;
    this.#agent = await httpAgent(this.#url, this.#options, dataDir, this.#meter);
    return {};
  }

  async encode(batch: Batch): Promise<EncodedBatch> {
    const { events, lane, replay, retry } = batch;
    const { hubId, logId } = this.#context;
    const frame = FRAMES[this.#options.format];
    const plain = await utf8InSlices(events, this.#encoderFor(batch), frame);
    const body = this.#options.compression === 'gzip' ? await compress(plain, GZIP) : plain;
    const first = eventId(hubId, logId, lane, events[0]?.offset ?? '');
    const range = `${first}-${events.at(-1)?.offset ?? ''}${gapsMark(events)}`;
    // what is sent again on request must not look like what was seen, or refused
    const replayed = replay === undefined ? '' : `-replay-${replay}`;
    const retried = retry === undefined ? '' : `-retry-${retry}`;
    return { id: `${range}${replayed}${retried}`, body };
  }

  bytesAbove(event: HubEvent, bytesMax: number, batch: Batch): number | undefined {
    return cloudEventBytesAbove(event, bytesMax, this.#encoderFor(batch), this.#options);
  }

  sizeOf({ id, body }: EncodedBatch): number {
    return body.length + headerBytes(this.#url, this.#headers) + 2 * id.length;
  }

  wireBytes(): number {
    return this.#meter.bytes;
  }

  async send(encoded: EncodedBatch, signal: AbortSignal): Promise<Delivery> {
    if (!this.#agent) throw new HubError('SINK_DISCONNECTED', 'not connected');
    const id = encodeURIComponent(encoded.id); // a header holds less than a hub's name may
    const answer = await httpRequest({
      url: this.#url,
      method: this.#options.method,
      headers: { ...this.#headers, 'idempotency-key': id, 'webhook-id': id },
      body: encoded.body,
      timeoutMs: this.#options.timeout,
      agent: this.#agent,
      signal,
    });
    const error = refusal(answer, this.#url);
    if (error) throw error;
    return DELIVERED;
  }

  async close(_signal: AbortSignal): Promise<void> {
    this.#agent?.destroy();
    this.#agent = undefined;
  }
}
