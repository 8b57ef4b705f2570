import type { History, LatestValue, Status } from '../../hub/core/status.ts';

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
  /** Opens the event stream; the body goes on until it is aborted or lost. */
  stream(signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
}

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
    async stream(signal) {
      const response = await get('stream', 'text/event-stream', signal);
      if (!response.body) throw new Error('The hub sent no event stream.');
      return response.body;
    },
  };
}
