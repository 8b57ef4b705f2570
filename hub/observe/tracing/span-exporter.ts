/**
 * Sends spans to a collector by OTLP/HTTP, beside everything else.
 *
 * Invariants:
 * - `add` never waits and never throws; what does not fit is dropped and counted;
 * - at most SPANS_MAX spans are kept, those under way among them;
 * - every request has a deadline; after a failure the next one waits, with jitter;
 * - a collector that is away, hangs or answers nonsense costs spans, and nothing else.
 */
import type { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Clock } from '../../core/clock.ts';
import { describeError, HubError } from '../../core/errors.ts';
import { httpAgent, httpRequest, refusal, type TlsFiles } from '../../core/http-request.ts';
import type { SampledWarn } from '../../core/sampled-warnings.ts';
import { type OtlpResource, otlpJson } from './otlp-json.ts';
import type { Span } from './span.ts';

/** About 2 MB: a collector that restarts is back before sampled spans are so many. */
export const SPANS_MAX = 2_048;
/** OpenTelemetry's own size of a batch: 200 KiB of JSON, encoded in a few ms. */
const BATCH_SPANS_MAX = 512;
/** Spans of one event come within a second, and share a request. */
const GATHER_MS = 1_000;
const DELAY_MIN_MS = 1_000;
const DELAY_MAX_MS = 60_000;
/** A stopping hub has other things to bring home. */
const LAST_TRY_MS = 1_500;
const GZIP_LEVEL = 1;

const compress = promisify(gzip);

export interface SpanExporterOptions extends OtlpResource {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly compression: 'gzip' | 'none';
  readonly timeoutMs: number;
  readonly tls: TlsFiles;
  /** Relative TLS files start here. */
  readonly folder: string;
  readonly clock: Clock;
  random(): number;
  readonly warn: SampledWarn;
  exported(spans: number): void;
  dropped(spans: number): void;
  /** How long a span waits for others; default 1 s. */
  readonly gatherMs?: number;
  /** Between the first two tries; default 1 s. */
  readonly delayMinMs?: number;
}

export class SpanExporter {
  readonly #options: SpanExporterOptions;
  readonly #stop = new AbortController();
  readonly #queue: Span[] = [];
  #wake: (() => void) | undefined;
  #agent: Agent | undefined;
  #running: Promise<void> | undefined;
  #failures = 0;

  constructor(options: SpanExporterOptions) {
    this.#options = options;
  }

  add(span: Span): void {
    if (this.#queue.length >= SPANS_MAX || this.#stop.signal.aborted) {
      this.#options.dropped(1);
      return;
    }
    this.#queue.push(span);
    this.#wake?.();
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Tries once more to send what is there, for a moment. What is left is dropped. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake?.();
    await this.#running;
    const deadline = AbortSignal.timeout(LAST_TRY_MS);
    while (this.#queue.length > 0 && !deadline.aborted) {
      const waitMs = await this.#sendSome(deadline);
      if (waitMs > 0) break;
    }
    this.#options.dropped(this.#queue.splice(0).length);
    this.#agent?.destroy();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      if (this.#queue.length === 0) await this.#news();
      await this.#pause(this.#options.gatherMs ?? GATHER_MS);
      if (signal.aborted) return;
      const waitMs = await this.#sendSome(signal);
      if (waitMs > 0) await this.#pause(waitMs);
    }
  }

  #news(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#stop;
    await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
  }

  /** Sends one batch. Answers how long to wait before the next one, in ms. */
  async #sendSome(signal: AbortSignal): Promise<number> {
    const spans = this.#queue.slice(0, BATCH_SPANS_MAX);
    if (spans.length === 0) return 0;
    try {
      const rejected = await this.#send(spans, signal);
      this.#queue.splice(0, spans.length);
      this.#failures = 0;
      this.#options.exported(spans.length - rejected);
      this.#options.dropped(rejected);
      return 0;
    } catch (error) {
      if (this.#stop.signal.aborted && !(error instanceof HubError)) return DELAY_MIN_MS;
      return this.#failed(error, spans.length);
    }
  }

  #failed(error: unknown, spans: number): number {
    const { warn, random, dropped } = this.#options;
    const code = error instanceof HubError ? error.code : undefined;
    const forGood = code === 'SINK_REFUSED' || code === 'SINK_REJECTED';
    if (forGood) {
      this.#queue.splice(0, spans);
      dropped(spans);
    }
    const what = forGood ? 'the collector refuses spans' : 'the collector does not take spans';
    warn('otlp', what, () => ({ error: describeError(error) }));
    const firstMs = this.#options.delayMinMs ?? DELAY_MIN_MS;
    const ceilingMs = Math.min(DELAY_MAX_MS, firstMs * 2 ** this.#failures);
    this.#failures++;
    const asked = error instanceof HubError ? (error.retryAfterMs ?? 0) : 0;
    return Math.max(ceilingMs * (0.5 + random() / 2), Math.min(asked, DELAY_MAX_MS));
  }

  /** Answers how many of them the collector did not want. */
  async #send(spans: readonly Span[], signal: AbortSignal): Promise<number> {
    const { url, headers, compression, timeoutMs, tls, folder, clock } = this.#options;
    this.#agent ??= await httpAgent(url, tls, folder);
    const text = otlpJson(spans, this.#options, clock.wallMs() - clock.monotonicMs());
    const plain = Buffer.from(text);
    const body = compression === 'gzip' ? await compress(plain, { level: GZIP_LEVEL }) : plain;
    const answer = await httpRequest({
      url,
      method: 'POST',
      headers: {
        ...headers,
        'content-type': 'application/json',
        ...(compression === 'gzip' && { 'content-encoding': 'gzip' }),
      },
      body,
      timeoutMs,
      agent: this.#agent,
      signal,
    });
    const error = refusal(answer, url);
    if (error) throw error;
    return rejectedIn(answer.text, spans.length);
  }
}

/** `{"partialSuccess":{"rejectedSpans":"3"}}`; anything else is a full success. */
function rejectedIn(text: string, spans: number): number {
  const digits = /"rejected_?[sS]pans"\s*:\s*"?(\d{1,9})/.exec(text)?.[1];
  return digits === undefined ? 0 : Math.min(Number(digits), spans);
}
