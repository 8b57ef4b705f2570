/**
 * One HTTP request for the sinks, and what its result means to the forwarder. Redirects are not
 * followed and nothing is retried here: the forwarder owns that.
 */
import { readFile } from 'node:fs/promises';
import { type Agent as HttpAgent, request as httpRequestOf, type IncomingMessage } from 'node:http';
import { request as httpsRequestOf } from 'node:https';
import { resolve } from 'node:path';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { HubError } from './errors.ts';
import { MeteredHttpAgent, MeteredHttpsAgent, WireMeter } from './wire-meter.ts';

/** An answer is for people or a short JSON; more than 64 KiB of it would only fill the memory. */
const ANSWER_BYTES_MAX = 64 * 1024;
/** Beside the deliveries one socket serves a look at the far side's health. */
const FURTHER_SOCKETS = 1;
/** A far side that asks for more than an hour has a mistake in its header, or we have. */
const RETRY_AFTER_MAX_MS = 3_600_000;
/** Of the far side's own words, as much as one log line bears. */
const ANSWER_EXCERPT_CHARS = 200;
/** And as much as explains a refusal: a problem document, a list of what is wrong. */
const RESPONSE_CHARS = 1_024;

export interface HttpRequest {
  readonly url: URL;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** How long the far side may be silent, and how long it may take to answer, in ms. */
  readonly timeoutMs: number;
  readonly agent: HttpAgent;
  readonly signal: AbortSignal;
  /** Default 64 KiB. What comes after it is not read. */
  readonly answerBytesMax?: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** At most `answerBytesMax` bytes of it, as UTF-8. */
  readonly text: string;
  /** False when a new connection was made for it. */
  readonly reusedSocket: boolean;
}

export interface TlsFiles {
  readonly ca_file?: string | undefined;
  readonly cert_file?: string | undefined;
  readonly key_file?: string | undefined;
}

export interface HttpClientOptions extends TlsFiles {
  /** Deliveries side by side; default 1. */
  readonly connections_max?: number | undefined;
}

/** Why `text` is not the address of a far side, or undefined when it is one. */
export function httpUrlProblem(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    return 'expected an address that begins with `http://` or `https://`';
  if (url.username !== '' || url.password !== '')
    return 'credentials in the address would be logged: set them with the options for that';
  return undefined;
}

/** Why `name` is not an HTTP header name, or undefined when it is one (RFC 9110, 5.1). */
export function headerNameProblem(name: string): string | undefined {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(name) ? undefined : 'has a name that HTTP does not allow';
}

/** Why `value` cannot be sent in a header, or undefined when it can (RFC 9110, 5.5). */
export function headerValueProblem(value: string): string | undefined {
  if (/[\r\n]/.test(value)) return 'has a line break in its value';
  return /[^\t\u0020-\u007e\u0080-\u00ff]/.test(value)
    ? 'has a character in its value that HTTP does not allow'
    : undefined;
}

function tlsFileError(message: string, cause: unknown): HubError {
  return new HubError('SINK_REFUSED', message, { cause });
}

async function readPem(folder: string, key: string, path: string | undefined) {
  if (path === undefined) return undefined;
  const file = resolve(folder, path);
  return await readFile(file).catch((cause: unknown) => {
    throw tlsFileError(`${key} ${file} cannot be read`, cause);
  });
}

/** Reads the files' content now: at the first request it would be an error like any other. */
function secureContext(pem: SecureContextOptions): SecureContext {
  try {
    return createSecureContext(pem);
  } catch (cause) {
    throw tlsFileError('ca_file, cert_file or key_file cannot be used', cause);
  }
}

/**
 * Connections for one far side, counted by `meter`. Files are relative to `folder`.
 * @throws HubError SINK_REFUSED when a TLS file cannot be read or used.
 */
export async function httpAgent(
  url: URL,
  files: HttpClientOptions,
  folder: string,
  meter = new WireMeter(),
): Promise<HttpAgent> {
  const maxSockets = (files.connections_max ?? 1) + FURTHER_SOCKETS;
  const sockets = { keepAlive: true, noDelay: true, maxSockets };
  if (url.protocol === 'http:') return new MeteredHttpAgent(sockets, meter);
  const [ca, cert, key] = await Promise.all([
    readPem(folder, 'ca_file', files.ca_file),
    readPem(folder, 'cert_file', files.cert_file),
    readPem(folder, 'key_file', files.key_file),
  ]);
  const pem = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  return new MeteredHttpsAgent({ ...sockets, secureContext: secureContext(pem) }, meter);
}

/** Wrong names and unknown authorities do not heal by themselves. */
const TLS_REFUSED: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);
/** These do, once the clock of a Pi is set. */
const TLS_TIME = /^(CERT_HAS_EXPIRED|CERT_NOT_YET_VALID)$/;
function networkError(cause: unknown, url: URL): HubError {
  if (cause instanceof HubError) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const where = url.host;
  if (TLS_REFUSED.has(code))
    return new HubError(
      'SINK_REFUSED',
      `${where} has a certificate we do not trust (see ca_file)`,
      {
        cause,
      },
    );
  if (TLS_TIME.test(code))
    return new HubError('SINK_DISCONNECTED', `${where}: certificate or clock out of date`, {
      cause,
    });
  return new HubError('SINK_DISCONNECTED', `${where} cannot be reached`, { cause });
}

/**
 * Collects the body up to its bound. A status that is an error counts even when the body is cut.
 */
async function readAnswer(response: IncomingMessage, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response) {
      const bytes = Buffer.from(chunk);
      chunks.push(bytes.subarray(0, bytesMax - size));
      size += bytes.length;
      if (size >= bytesMax) break; // leaving the loop destroys the rest, and its socket
    }
  } catch (cause) {
    if ((response.statusCode ?? 0) < 300) throw cause;
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * Sends one request and reads its answer, whatever its status (see `refusal`).
 * @throws HubError SINK_DISCONNECTED, SINK_TIMEOUT or SINK_REFUSED (certificates); the signal's
 *   reason when it aborts.
 */
export async function httpRequest(options: HttpRequest): Promise<HttpAnswer> {
  const { url, signal, timeoutMs } = options;
  signal.throwIfAborted();
  const send = url.protocol === 'https:' ? httpsRequestOf : httpRequestOf;
  return await new Promise<HttpAnswer>((resolveAnswer, reject) => {
    let answerTimer: NodeJS.Timeout | undefined;
    const late = () => {
      const message = `${url.host} did not answer within ${timeoutMs / 1000} s`;
      fail(new HubError('SINK_TIMEOUT', message));
    };
    const onAbort = () => fail(signal.reason);
    const settled = () => {
      clearTimeout(answerTimer);
      signal.removeEventListener('abort', onAbort);
    };
    const fail = (cause: unknown) => {
      settled();
      reject(signal.aborted ? signal.reason : networkError(cause, url));
      request.destroy();
    };
    const request = send(url, {
      method: options.method,
      agent: options.agent,
      timeout: timeoutMs, // of silence, from the first SYN on; a slow uplink may need long in all
      headers: {
        ...options.headers,
        'user-agent': 'holdfast',
        ...(options.body && { 'content-length': options.body.length }),
      },
    });
    const boundAnswer = () => {
      answerTimer ??= setTimeout(late, timeoutMs);
    };
    request.on('timeout', late);
    request.on('finish', boundAnswer);
    request.on('error', fail);
    request.on('response', (response) => {
      // A far side may answer before it has read everything (413): what it said counts.
      request.off('error', fail);
      request.on('error', () => undefined);
      boundAnswer();
      const { reusedSocket } = request;
      readAnswer(response, options.answerBytesMax ?? ANSWER_BYTES_MAX).then((text) => {
        settled();
        if (!request.writableFinished) request.destroy();
        const { statusCode: status = 0, headers } = response;
        resolveAnswer({ status, headers, text, reusedSocket });
      }, fail);
    });
    signal.addEventListener('abort', onAbort, { once: true });
    request.end(options.body);
  });
}

/** Retry-After in ms, as seconds or as a date by the far side's own clock (RFC 9110, 10.2.3). */
function retryAfterMs(headers: IncomingMessage['headers']): number | undefined {
  const text = headers['retry-after']?.trim();
  if (!text) return undefined;
  // A Pi without a set clock would misjudge a date; the answer's own Date header does not.
  const nowMs = Date.parse(headers.date ?? '') || Date.now();
  const isSeconds = /^\d+$/.test(text);
  if (!isSeconds && !text.endsWith('GMT')) return undefined; // Date.parse takes '-5' for a date
  const waitMs = isSeconds ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, 0), RETRY_AFTER_MAX_MS);
}

/** Text of the far side, fit for a log line. */
function excerpt(text: string, chars = ANSWER_EXCERPT_CHARS): string {
  const clean = text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ').trim();
  return clean.slice(0, chars);
}

const REFUSED: ReadonlySet<number> = new Set([401, 403, 404, 407, 410]);

/**
 * What an answer means: undefined for 2xx, else SINK_THROTTLED (429, 503), SINK_REFUSED (3xx, 401,
 * 403, 404, 407, 410), SINK_DISCONNECTED (408, 5xx), SINK_REJECTED (any other 4xx: halve and try).
 */
export function refusal(answer: HttpAnswer, url: URL): HubError | undefined {
  const { status } = answer;
  if (status >= 200 && status < 300) return undefined;
  const said = excerpt(answer.text);
  const message = `${url.host} answered ${status}${said ? `: ${said}` : ''}`;
  if (status === 429 || status === 503) {
    const waitMs = retryAfterMs(answer.headers);
    const options = waitMs === undefined ? {} : { retryAfterMs: waitMs };
    return new HubError('SINK_THROTTLED', message, options);
  }
  if (status >= 300 && status < 400) {
    const location = excerpt(answer.headers.location ?? 'nowhere');
    return new HubError('SINK_REFUSED', `${url.host} answered ${status}: it moved to ${location}`);
  }
  if (REFUSED.has(status)) return new HubError('SINK_REFUSED', message);
  if (status === 408 || status >= 500 || status < 200)
    return new HubError('SINK_DISCONNECTED', message);
  const response = excerpt(answer.text, RESPONSE_CHARS);
  return new HubError('SINK_REJECTED', message, response ? { response } : {});
}
