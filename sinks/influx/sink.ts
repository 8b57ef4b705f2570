import type { Agent } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { HubError } from '../../hub/core/errors.ts';
import type { Batch, HubEvent } from '../../hub/core/event.ts';
import { type HttpAnswer, httpAgent, httpRequest, refusal } from '../../hub/core/http-request.ts';
import type { Connection, Delivery, Rejection, Sink, SinkContext } from '../../hub/core/sink.ts';
import { utf8InSlices } from '../../hub/core/slices.ts';
import { headerBytes, WireMeter } from '../../hub/core/wire-meter.ts';
import { lineEncoder } from './line-protocol.ts';
import type { InfluxSinkOptions } from './spec.ts';

const compress = promisify(gzip);
/** Level 1 makes line protocol 12 times smaller; level 6 makes it 13, in twice the time. */
const GZIP = { level: 1, chunkSize: 64 * 1024 };
/** Every line of the protocol ends with a line break of its own. */
const UNFRAMED = { before: '', between: '', after: '' };
/** 1971: what a device sends that counts its time from its own start lies before it. */
const TIME_MS_MIN = 31_536_000_000;
/** VictoriaMetrics drops in silence what lies more than two days ahead. */
const TIME_AHEAD_MAX_MS = 2 * 86_400_000;
/** VictoriaMetrics tells 40 to 100 KiB about itself. */
const METRICS_BYTES_MAX = 1024 * 1024;
/** InfluxDB answers 400, as for a bad point, when the place to write to is missing. */
const NO_SUCH_PLACE =
  /(database|bucket|org\w*) (is|are) required|(database|bucket|org\w*)\b.{0,80}\bnot found/i;

interface EncodedBatch {
  /** Undefined when no event has readings. */
  readonly body: Buffer | undefined;
  readonly rejected: readonly Rejection[];
}

/** Writes readings as line protocol. Events without readings are not its to carry. */
export class InfluxSink implements Sink<EncodedBatch> {
  readonly #options: InfluxSinkOptions;
  readonly #context: SinkContext;
  readonly #base: URL;
  readonly #writeUrl: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #lines: ReturnType<typeof lineEncoder>;
  readonly #meter = new WireMeter();
  #agent: Agent | undefined;
  #instance: string | undefined;

  constructor(options: InfluxSinkOptions, context: SinkContext) {
    this.#options = options;
    this.#context = context;
    this.#base = new URL(options.url.endsWith('/') ? options.url : `${options.url}/`);
    this.#lines = lineEncoder({ ...options, hubId: context.hubId });
    this.#writeUrl = new URL(options.api === 'v1' ? 'write' : 'api/v2/write', this.#base);
    const query = { db: options.database, org: options.org, bucket: options.bucket };
    for (const [key, value] of Object.entries(query))
      if (value !== undefined) this.#writeUrl.searchParams.set(key, value);
    this.#writeUrl.searchParams.set('precision', 'ms');
    const account = `${options.username ?? ''}:${options.password?.reveal() ?? ''}`;
    this.#headers = {
      ...(options.token && { authorization: `Token ${options.token.reveal()}` }),
      ...(options.username && {
        authorization: `Basic ${Buffer.from(account).toString('base64')}`,
      }),
    };
  }

  async connect(signal: AbortSignal): Promise<Connection> {
    this.#agent?.destroy();
    const { dataDir } = this.#context;
    this.#agent = await httpAgent(this.#base, this.#options, dataDir, this.#meter);
    await this.#ping(signal);
    this.#instance = await this.#readInstance(signal);
    return this.#instance === undefined ? {} : { instance: this.#instance };
  }

  async encode(batch: Batch): Promise<EncodedBatch> {
    const rejected: Rejection[] = [];
    const timeMsMax = Date.now() + TIME_AHEAD_MAX_MS;
    const encodeOne = (event: HubEvent, index: number): string => {
      const { readings } = this.#context.decode(event);
      const bad = readings.find(({ timeMs }) => !(timeMs >= TIME_MS_MIN && timeMs <= timeMsMax));
      if (bad === undefined) return this.#lines(readings);
      const time = new Date(bad.timeMs);
      const text = Number.isNaN(time.getTime()) ? `${bad.timeMs} ms` : time.toISOString();
      rejected.push({ index, reason: `time ${text} is before 1971 or over 2 days ahead` });
      return '';
    };
    const plain = await utf8InSlices(batch.events, encodeOne, UNFRAMED);
    if (plain.length === 0) return { body: undefined, rejected };
    const body = this.#options.compression === 'gzip' ? await compress(plain, GZIP) : plain;
    return { body, rejected };
  }

  sizeOf({ body }: EncodedBatch): number {
    if (body === undefined) return 0;
    return body.length + headerBytes(this.#writeUrl, this.#headers);
  }

  wireBytes(): number {
    return this.#meter.bytes;
  }

  async send(encoded: EncodedBatch, signal: AbortSignal): Promise<Delivery> {
    const { body, rejected } = encoded;
    if (body === undefined) {
      signal.throwIfAborted();
      return { rejected, retry: [] };
    }
    const headers = {
      'content-type': 'text/plain; charset=utf-8',
      ...(this.#options.compression === 'gzip' && { 'content-encoding': 'gzip' }),
    };
    const answer = await this.#request(this.#writeUrl, 'POST', signal, { body, headers });
    const error = refusal(answer, this.#writeUrl);
    if (error?.code === 'SINK_REJECTED' && NO_SUCH_PLACE.test(answer.text))
      throw new HubError('SINK_REFUSED', error.message);
    if (error) throw error;
    if (!answer.reusedSocket) await this.#requireSameInstance(signal);
    return { rejected, retry: [] };
  }

  async close(_signal: AbortSignal): Promise<void> {
    this.#agent?.destroy();
    this.#agent = undefined;
  }

  async #request(
    url: URL,
    method: 'GET' | 'POST',
    signal: AbortSignal,
    more: { body?: Buffer; headers?: Record<string, string>; answerBytesMax?: number } = {},
  ): Promise<HttpAnswer> {
    if (!this.#agent) throw new HubError('SINK_DISCONNECTED', 'not connected');
    return await httpRequest({
      ...more,
      url,
      method,
      headers: { ...this.#headers, ...more.headers },
      timeoutMs: this.#options.timeout,
      agent: this.#agent,
      signal,
    });
  }

  /** Behind a proxy that passes on nothing but writes there is neither path: then writing tells. */
  async #ping(signal: AbortSignal): Promise<void> {
    for (const path of ['health', 'ping']) {
      const url = new URL(path, this.#base);
      const answer = await this.#request(url, 'GET', signal);
      if (answer.status === 404 || answer.status === 405) continue;
      const error = refusal(answer, url);
      if (error) throw error;
      return;
    }
  }

  /** When VictoriaMetrics started. Undefined without a `confirm_window`: nothing else needs it. */
  async #readInstance(signal: AbortSignal): Promise<string | undefined> {
    if (this.#options.confirm_window === 0) return undefined;
    const url = new URL('metrics', this.#base);
    const answer = await this.#request(url, 'GET', signal, { answerBytesMax: METRICS_BYTES_MAX });
    const instance = /^vm_app_start_timestamp (\S+)$/m.exec(answer.text)?.[1];
    if (instance !== undefined) return instance;
    const error = refusal(answer, url);
    if (error && error.code !== 'SINK_REFUSED' && error.code !== 'SINK_REJECTED') throw error;
    const why = error?.message ?? `${url.host}${url.pathname} has no vm_app_start_timestamp`;
    throw new HubError('SINK_REFUSED', `confirm_window cannot notice a restart: ${why}`);
  }

  /**
   * An idle connection that broke is replaced without an error; so may be the process behind it.
   * What was sent just now may be safe; what was acknowledged before is in question: connect again.
   */
  async #requireSameInstance(signal: AbortSignal): Promise<void> {
    if ((await this.#readInstance(signal)) === this.#instance) return;
    throw new HubError('SINK_DISCONNECTED', `${this.#base.host} was restarted`);
  }
}
