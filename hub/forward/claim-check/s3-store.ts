/**
 * Object storage that speaks S3. Each object is one signed PUT.
 *
 * Invariants:
 * - `put` resolves only after the store has answered that it has the object;
 * - two sinks that store the same object at the same time send it once; the failure of one is no
 *   answer for the other, which then sends it itself;
 * - nothing is ever deleted or read.
 */
import type { Agent } from 'node:http';
import { type AwsCredentials, type SigningKeys, signedHeaders } from '../../core/aws-signature.ts';
import { wellFormed } from '../../core/cloud-event.ts';
import { HubError } from '../../core/errors.ts';
import { httpAgent, httpRequest, type TlsFiles } from '../../core/http-request.ts';
import { WireMeter } from '../../core/wire-meter.ts';
import type { ObjectStore, ObjectUploads, StoredObject } from './object-store.ts';
import { storeRefusal } from './s3-answer.ts';
import { StoredKeys } from './stored-keys.ts';

/** A link slower than this is an outage: one that trickles would hold up the sink for ever. */
const BYTES_PER_SECOND_MIN = 1024;
/** Deliveries of one sink may run side by side, each with its uploads. */
const CONNECTIONS_MAX = 4;
/** S3 takes 2 KiB of metadata in all. A longer topic is in the event, which has it in any case. */
const TOPIC_METADATA_CHARS_MAX = 1024;

export interface S3StoreOptions {
  readonly id: string;
  /** Without path and query. */
  readonly url: URL;
  readonly bucket: string;
  readonly region: string;
  /** Characters that a path takes as they are. */
  readonly prefix: string;
  readonly pathStyle: boolean;
  /** What references begin with; undefined: the address of the bucket. */
  readonly referenceUrl: string | undefined;
  readonly credentials: AwsCredentials;
  readonly timeoutMs: number;
  readonly tls: TlsFiles;
  /** Folder that relative paths of `tls` start from. */
  readonly folder: string;
  wallMs(): number;
  monotonicMs(): number;
}

/** The connections of one sink, made at the first upload. */
interface Line {
  readonly meter: WireMeter;
  agent: Promise<Agent> | undefined;
}

export class S3Store implements ObjectStore {
  readonly id: string;
  readonly prefix: string;
  readonly #options: S3StoreOptions;
  readonly #base: string;
  readonly #stored: StoredKeys;
  readonly #signingKeys: SigningKeys = new Map();
  readonly #underWay = new Map<string, Promise<number>>();

  constructor(options: S3StoreOptions) {
    const { id, prefix, url, bucket, pathStyle } = options;
    this.id = id;
    this.prefix = prefix;
    this.#options = options;
    const { protocol, host } = url;
    this.#base = pathStyle ? `${protocol}//${host}/${bucket}` : `${protocol}//${bucket}.${host}`;
    this.#stored = new StoredKeys(() => options.monotonicMs());
  }

  urlOf(key: string): string {
    return `${this.#options.referenceUrl?.replace(/\/+$/, '') ?? this.#base}/${key}`;
  }

  open(): ObjectUploads {
    const line: Line = { meter: new WireMeter(), agent: undefined };
    return {
      put: (object, signal) => this.#put(object, signal, line),
      wireBytes: () => line.meter.bytes,
      close: () => hangUp(line),
    };
  }

  async #put(object: StoredObject, signal: AbortSignal, line: Line): Promise<number> {
    const once = `${object.replay ?? ''}:${object.key}`;
    for (;;) {
      signal.throwIfAborted();
      if (this.#stored.has(once)) return 0;
      const other = this.#underWay.get(once);
      if (!other) break;
      await settledOrAborted(other, signal);
    }
    const sending = this.#send(object, signal, line);
    this.#underWay.set(once, sending);
    try {
      const bytes = await sending;
      this.#stored.add(once);
      return bytes;
    } finally {
      this.#underWay.delete(once);
    }
  }

  async #send(object: StoredObject, signal: AbortSignal, line: Line): Promise<number> {
    try {
      return await this.#request(object, signal, line);
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      if (!(cause instanceof HubError)) throw cause;
      if (cause.code !== 'SINK_REJECTED') hangUp(line); // new connections for the next try
      const { code, message, retryAfterMs } = cause;
      const wait = retryAfterMs === undefined ? {} : { retryAfterMs };
      throw new HubError(code, `object storage ${this.id}: ${message}`, { cause, ...wait });
    }
  }

  async #request(object: StoredObject, signal: AbortSignal, line: Line): Promise<number> {
    const { content } = object;
    const { timeoutMs } = this.#options;
    const url = new URL(`${this.#base}/${object.key}`);
    const timeMs = this.#options.wallMs();
    const headers = await this.#signed(object, url, timeMs);
    const agent = await this.#connections(line);
    const late = new AbortController();
    // silence may come before the body and after it
    const lateMs = 2 * timeoutMs + (content.length / BYTES_PER_SECOND_MIN) * 1000;
    const timer = setTimeout(
      () => late.abort(new HubError('SINK_TIMEOUT', `${url.host} takes too long for an object`)),
      lateMs,
    );
    try {
      const answer = await httpRequest({
        url,
        method: 'PUT',
        headers,
        body: content,
        timeoutMs,
        agent,
        signal: AbortSignal.any([signal, late.signal]),
      });
      const error = storeRefusal(answer, url, timeMs);
      if (error) throw error;
      return content.length;
    } finally {
      clearTimeout(timer);
    }
  }

  async #signed(object: StoredObject, url: URL, timeMs: number): Promise<Record<string, string>> {
    const { region, credentials } = this.#options;
    const topic = encodeURIComponent(wellFormed(object.topic));
    const headers = {
      'content-type': object.type,
      'x-amz-meta-event-id': encodeURIComponent(object.eventId),
      'x-amz-meta-sha256': object.sha256,
      ...(topic.length <= TOPIC_METADATA_CHARS_MAX && { 'x-amz-meta-topic': topic }),
    };
    const bodySha256 = object.sha256;
    return await signedHeaders(
      { method: 'PUT', url, headers, bodySha256, service: 's3', region, timeMs },
      credentials,
      this.#signingKeys,
    );
  }

  #connections(line: Line): Promise<Agent> {
    const { url, tls, folder } = this.#options;
    const { ca_file, cert_file, key_file } = tls;
    const client = { ca_file, cert_file, key_file, connections_max: CONNECTIONS_MAX };
    line.agent ??= httpAgent(url, client, folder, line.meter);
    return line.agent;
  }
}

function hangUp(line: Line): void {
  const { agent } = line;
  line.agent = undefined;
  agent?.then(
    (open) => open.destroy(),
    () => undefined, // told to whoever asked for it
  );
}

/** Resolves when `work` has settled in either way; rejects with the signal's reason. */
async function settledOrAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  const settled = work.then(
    () => undefined,
    () => undefined,
  );
  try {
    await Promise.race([settled, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
