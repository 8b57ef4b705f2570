import type {
  DeadLetterDiscard,
  DeadLetterPage,
  DeadLetterRetry,
  History,
  LatestValue,
  Outage,
  SinkStatus,
  Status,
} from '../../hub/core/status.ts';

/** An answer of the hub that is not a success. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
  }
}

export interface ApiOptions {
  /** Ends with a slash: `http://127.0.0.1:8080/api/v1/`. */
  readonly baseUrl: string;
  token(): string | undefined;
  /** Called with every `date` header, to learn the hub's clock. */
  onDate(dateMs: number, askedMs: number, answeredMs: number): void;
}

export interface Api {
  status(signal: AbortSignal): Promise<Status>;
  latest(signal: AbortSignal): Promise<readonly LatestValue[]>;
  history(query: HistoryQuery, signal: AbortSignal): Promise<History>;
  /** Of all sinks, the newest first. */
  outages(signal: AbortSignal): Promise<readonly Outage[]>;
  /** The newest `limit` dead letters of a sink. */
  deadLetters(sink: string, limit: number, signal: AbortSignal): Promise<DeadLetterPage>;
  operate(sink: string, what: 'pause' | 'resume'): Promise<SinkStatus>;
  /** Has a sink leave out the next events, or all that there are. */
  skip(sink: string, to: { readonly events: number } | { readonly to: 'now' }): Promise<unknown>;
  retryDeadLetters(sink: string, choice: LetterChoice): Promise<DeadLetterRetry>;
  discardDeadLetters(sink: string, choice: LetterChoice): Promise<DeadLetterDiscard>;
  /** Opens the event stream; the body goes on until it is aborted or lost. */
  stream(signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
}

/** Numbers of dead letters, or all that the sink has. */
export type LetterChoice = readonly number[] | 'all';

export interface HistoryQuery {
  readonly device: string;
  readonly metric: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly points: number;
}

/**
 * A hub that does not answer in this time is not reachable; history of a slow card needs the most.
 */
const ANSWER_MS_MAX = 15_000;

function lettersPath(sink: string): string {
  return `sinks/${encodeURIComponent(sink)}/dead-letters`;
}

async function problemOf(response: Response): Promise<ApiError> {
  let text = `The hub answered ${response.status} ${response.statusText}`.trim();
  try {
    const problem: unknown = await response.json();
    if (typeof problem === 'object' && problem !== null && 'detail' in problem)
      text = `${text}: ${String(problem.detail).slice(0, 200)}`; // 200: two lines on a phone
  } catch {
    // not a problem document: the status line says it
  }
  return new ApiError(response.status, text);
}

/**
 * The hub's API. A failed call rejects with ApiError, or with fetch's error when nobody answers.
 */
export function hubApi({ baseUrl, token, onDate }: ApiOptions): Api {
  async function get(path: string, accept: string, signal: AbortSignal): Promise<Response> {
    const secret = token();
    const askedMs = performance.now();
    const response = await fetch(new URL(path, baseUrl), {
      headers: {
        accept,
        'cache-control': 'no-cache',
        ...(secret ? { authorization: `Bearer ${secret}` } : {}),
      },
      signal,
    });
    const dateMs = Date.parse(response.headers.get('date') ?? '');
    if (Number.isFinite(dateMs)) onDate(dateMs, askedMs, performance.now());
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  async function getJson<T>(path: string, signal: AbortSignal): Promise<T> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)]);
    const response = await get(path, 'application/json', limited);
    return (await response.json()) as T; // page and hub are built from one source
  }

  /** Gives the hub an instruction; it notes that it came from this page. */
  async function tell<T>(method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<T> {
    const secret = token();
    const response = await fetch(new URL(path, baseUrl), {
      method,
      headers: {
        'holdfast-actor': 'console',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(secret ? { authorization: `Bearer ${secret}` } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
    if (!response.ok) throw await problemOf(response);
    return (await response.json()) as T; // page and hub are built from one source
  }

  return {
    status: (signal) => getJson<Status>('status', signal),
    latest: (signal) => getJson<readonly LatestValue[]>('latest', signal),
    history({ device, metric, fromMs, toMs, points }, signal) {
      const query = new URLSearchParams({
        device,
        metric,
        from: new Date(fromMs).toISOString(),
        to: new Date(toMs).toISOString(),
        points: String(points),
      });
      return getJson<History>(`history?${query}`, signal);
    },
    outages: (signal) => getJson<readonly Outage[]>('outages?limit=1000', signal),
    deadLetters: (sink, limit, signal) =>
      getJson<DeadLetterPage>(`${lettersPath(sink)}?limit=${limit}`, signal),
    operate: (sink, what) => tell<SinkStatus>('POST', `sinks/${encodeURIComponent(sink)}/${what}`),
    skip: (sink, to) => tell<unknown>('POST', `sinks/${encodeURIComponent(sink)}/skip`, to),
    retryDeadLetters: (sink, choice) =>
      tell<DeadLetterRetry>(
        'POST',
        lettersPath(sink),
        choice === 'all' ? { all: true } : { numbers: choice },
      ),
    discardDeadLetters(sink, choice) {
      const query = choice === 'all' ? 'all=true' : choice.map((n) => `number=${n}`).join('&');
      return tell<DeadLetterDiscard>('DELETE', `${lettersPath(sink)}?${query}`);
    },
    async stream(signal) {
      const response = await get('stream', 'text/event-stream', signal);
      if (!response.body) throw new Error('The hub sent no event stream.');
      return response.body;
    },
  };
}
