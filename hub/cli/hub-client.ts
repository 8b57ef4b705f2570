import { hostname, userInfo } from 'node:os';
import type { Environment } from '../../config/environment.ts';
import { resolveConfigFile } from '../../config/find-file.ts';
import { loadConfig } from '../../config/load.ts';
import { describeError, HubError } from '../core/errors.ts';
import { ACTOR_HEADER } from '../core/operation.ts';

/** Where the running hub is: what every command takes that talks to it. */
export interface HubAddressOptions {
  /** `--config FILE`: its `http` section. */
  readonly config?: string;
  /** `--url URL` instead, for a hub elsewhere. */
  readonly url?: string;
  /** `--token TOKEN`; default HOLDFAST_TOKEN, or with `--config` its `http.token`. */
  readonly token?: string;
}

/** A hub on a slow card answers within a second. */
const ANSWER_MS_MAX = 15_000;
const ANY_ADDRESS: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** The API of a running hub. */
export class HubClient {
  readonly url: string;
  readonly #token: string | undefined;

  constructor(url: string, token: string | undefined) {
    this.url = url;
    this.#token = token;
  }

  /**
   * Asks for `path` below `/api/v1/`; with `body` as JSON. Errors: SERVICE_UNAVAILABLE when no hub
   * answers or it cannot now, USAGE when it says what is wrong with the request.
   */
  async ask<Answer>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) {
    const response = await this.#fetch(method, path, body);
    const text = await response.text();
    if (response.ok) return parsed<Answer>(text, this.url);
    const problem = problemText(text) ?? `${response.status} ${response.statusText}`;
    const busy = [409, 429].includes(response.status) || response.status >= 500;
    throw new HubError(busy ? 'SERVICE_UNAVAILABLE' : 'USAGE', `${this.url}: ${problem}`);
  }

  async #fetch(method: string, path: string, body: unknown): Promise<Response> {
    try {
      return await fetch(`${this.url}/api/v1/${path}`, {
        method,
        headers: {
          [ACTOR_HEADER]: actorHeader(),
          ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(ANSWER_MS_MAX),
      });
    } catch (cause) {
      const message = `no hub answers at ${this.url}: ${describeError(cause)}`;
      throw new HubError('SERVICE_UNAVAILABLE', message, { cause });
    }
  }
}

/** Errors: USAGE; those of the configuration. */
export function hubClient(options: HubAddressOptions, env: Environment): HubClient {
  const given = options.token ?? (env['HOLDFAST_TOKEN'] || undefined);
  if (options.url !== undefined) {
    if (options.config !== undefined)
      throw new HubError('USAGE', 'give --config or --url, not both');
    return new HubClient(baseUrl(options.url), given);
  }
  const { http } = loadConfig(resolveConfigFile(options.config), env).config;
  if (http.port === 0) throw new HubError('USAGE', 'http.port is 0, any free one: give --url');
  const host = ANY_ADDRESS[http.host] ?? http.host;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${http.port}`;
  return new HubClient(url, options.token ?? http.token?.reveal());
}

/** Whoever runs the command, for the event of what it does. */
function actorHeader(): string {
  return `cli ${encodeURIComponent(`${userName()}@${hostname()}`.slice(0, 128))}`;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? ''); // a container's user may have no name
  }
}

function baseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') {
    return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
  }
  const shown = text.slice(0, 128);
  throw new HubError('USAGE', `--url ${shown} is no address; expected http://127.0.0.1:8080`);
}

function parsed<Answer>(text: string, url: string): Answer {
  try {
    return JSON.parse(text) as Answer; // command and hub are built from one source
  } catch (cause) {
    throw new HubError('USAGE', `what answers at ${url} is no hub`, { cause });
  }
}

/** The `detail` of a problem document. */
function problemText(text: string): string | undefined {
  try {
    const problem: unknown = JSON.parse(text);
    const isProblem = typeof problem === 'object' && problem !== null && 'detail' in problem;
    return isProblem ? String(problem.detail) : undefined;
  } catch {
    return undefined; // something else listens there
  }
}
