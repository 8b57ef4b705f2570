import type { LatestValue, Status } from '../../hub/core/status.ts';
import { type Api, ApiError } from './api.ts';
import { type StreamEvent, sseParser } from './sse.ts';

/** How the page is connected to the hub. Times are on the local monotonic clock, in ms. */
export type Connection =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  | { readonly kind: 'lost'; readonly retryAtMs: number; readonly reason: string }
  /** The hub wants a token; `refused` when the one it got is wrong. */
  | { readonly kind: 'locked'; readonly refused: boolean };

export interface LiveOptions {
  readonly api: Api;
  /** Whether a token was sent: decides what a 401 means. */
  hasToken(): boolean;
  onConnection(connection: Connection): void;
  /** Called for everything that arrives, heartbeats included. */
  onHeard(): void;
  onSnapshot(status: Status, latest: readonly LatestValue[]): void;
  onStatus(status: Status): void;
  onReadings(values: readonly LatestValue[]): void;
  /** Waits; settles early when the page has a reason to try at once (it became visible, online). */
  wait(delayMs: number, signal: AbortSignal): Promise<void>;
}

/** The hub sends a status every two seconds: a silence ten times as long is a dead link. */
const SILENCE_MS_MAX = 20_000;
const RETRY_MS_MIN = 500;
/** A hub that was started again is seen within 5 s. */
const RETRY_MS_MAX = 5_000;

function reasonOf(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  if (error instanceof Error && error.name === 'TimeoutError') return 'The hub does not answer.';
  return 'The hub cannot be reached.';
}

/** Reads the stream until it ends; rejects when it breaks or stays silent too long. */
async function follow(
  body: ReadableStream<Uint8Array>,
  options: LiveOptions,
  abort: AbortController,
): Promise<void> {
  const decoder = new TextDecoder();
  const parser = sseParser((event) => deliver(event, options));
  const silence = () =>
    setTimeout(() => abort.abort(new DOMException('silent', 'TimeoutError')), SILENCE_MS_MAX);
  let watchdog = silence();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = silence();
      options.onHeard();
      parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    clearTimeout(watchdog);
    abort.abort();
  }
}

function deliver({ event, data }: StreamEvent, options: LiveOptions): void {
  if (event === 'readings') options.onReadings(JSON.parse(data) as readonly LatestValue[]);
  if (event === 'status') options.onStatus(JSON.parse(data) as Status);
}

/**
 * One connection from its start to its end. The stream is opened first, so nothing falls between.
 */
async function connectOnce(options: LiveOptions, signal: AbortSignal): Promise<void> {
  const abort = new AbortController();
  const linked = AbortSignal.any([signal, abort.signal]);
  try {
    const body = await options.api.stream(linked);
    const [status, latest] = await Promise.all([
      options.api.status(linked),
      options.api.latest(linked),
    ]);
    options.onHeard();
    options.onSnapshot(status, latest);
    options.onConnection({ kind: 'live' });
    await follow(body, options, abort);
  } finally {
    abort.abort();
  }
}

/**
 * Keeps the page connected until `signal` aborts. Returns early when the hub wants another token:
 * call it again when there is one.
 */
export async function runLive(options: LiveOptions, signal: AbortSignal): Promise<void> {
  options.onConnection({ kind: 'connecting' });
  let delayMs = RETRY_MS_MIN;
  while (!signal.aborted) {
    let reason = 'The hub closed the connection.';
    const startedMs = performance.now();
    try {
      await connectOnce(options, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status === 401) {
        options.onConnection({ kind: 'locked', refused: options.hasToken() });
        return;
      }
      reason = reasonOf(error);
    }
    if (performance.now() - startedMs > RETRY_MS_MAX) delayMs = RETRY_MS_MIN;
    options.onConnection({ kind: 'lost', retryAtMs: performance.now() + delayMs, reason });
    await options.wait(delayMs, signal);
    delayMs = Math.min(RETRY_MS_MAX, delayMs * 1.6);
  }
}
