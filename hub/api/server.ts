import fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import type { Logger } from 'pino';
import { describeError, HubError } from '../core/errors.ts';
import { addCommandRoutes } from './command-routes.ts';
import { serveConsole } from './console.ts';
import { addDeadLetterRoutes } from './dead-letter-routes.ts';
import { fromElsewhere, hostGuard, tokenGuard } from './guards.ts';
import { addIngestRoutes } from './ingest-routes.ts';
import { Instructions } from './instructions.ts';
import { addOperationRoutes } from './operation-routes.ts';
import { addOutageRoutes } from './outage-routes.ts';
import { PROBLEM_TYPE, Problem, type ProblemMembers, problemText } from './problem.ts';
import { addReplayRoutes } from './replay-routes.ts';
import { addRoutes } from './routes.ts';
import { EventStreams } from './stream.ts';
import type { HubView } from './view.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answered without a token. */
    readonly public?: boolean;
  }
}

export interface ApiOptions {
  readonly view: HubView;
  readonly hubId: string;
  /** Default 127.0.0.1; IPv6 without brackets. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** When set, all but /health, /ready and the console's files needs it. */
  readonly token?: string | undefined;
  /** Where the built console is; when it is not there, `/` says how to build it. */
  readonly consoleDir: string;
  readonly logger: Pick<Logger, 'error'>;
  /** In ms since 1970. Default: the system's. */
  readonly wallMs?: () => number;
}

export interface Api {
  /**
   * Listens; answers the address to open.
   * @throws HubError SERVICE_UNAVAILABLE that says what to do when the port cannot be had.
   */
  listen(): Promise<{ readonly host: string; readonly port: number; readonly url: string }>;
  /** Cuts the streams, lets running answers end for a moment, and stops. Also before `listen`. */
  close(): Promise<void>;
}

/** A generous command. Events to be stored have a limit of their own. */
const BODY_BYTES_MAX = 65_536;
/** A token, some cookies of other programs on the same host, and no more. */
const HEADER_BYTES_MAX = 16_384;
/** To send a request in full: slower ones hold a socket and nothing else. */
const REQUEST_TIMEOUT_MS = 10_000;
/** Longer than the interval of the usual scrapers. */
const KEEP_ALIVE_MS = 65_000;
/** Fifty streams, and browsers that open six sockets each. */
const CONNECTIONS_MAX = 512;

/** The page takes everything from here, is in no frame, and says nothing of where it came from. */
const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
} as const;

function sendProblem(
  reply: FastifyReply,
  status: number,
  detail: string,
  members: ProblemMembers = {},
): FastifyReply {
  reply.code(status).header('content-type', PROBLEM_TYPE).header('cache-control', 'no-store');
  return reply.send(problemText(status, detail, members));
}

function statusOf(error: unknown): number {
  if (error instanceof Problem) return error.status;
  if (error instanceof HubError) return 503; // the log cannot be read now
  const status =
    error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : Number.NaN;
  return status >= 400 && status < 500 ? status : 500;
}

function answerErrors(server: FastifyInstance, logger: ApiOptions['logger']): void {
  server.setErrorHandler((error, request, reply) => {
    const status = statusOf(error);
    if (error instanceof Problem) return sendProblem(reply, status, error.message, error.members);
    if (status < 500) return sendProblem(reply, status, describeError(error));
    logger.error({ err: error, path: request.routeOptions.url }, 'A request failed.');
    const detail =
      status === 503
        ? describeError(error)
        : 'A defect of the hub: its log says what failed. Please report it.';
    return sendProblem(reply, status, detail);
  });
  server.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0]?.slice(0, 200) ?? '';
    return sendProblem(reply, 404, `There is nothing at ${request.method} ${path}.`);
  });
}

/** Methods that change nothing. */
const READING = new Set(['GET', 'HEAD', 'OPTIONS']);

function guard(server: FastifyInstance, options: ApiOptions): void {
  const isOurHost = hostGuard([options.host, options.hubId]);
  const hasToken = options.token === undefined ? undefined : tokenGuard(options.token);
  server.addHook('onRequest', async (request, reply) => {
    reply.headers(SECURITY_HEADERS);
    if (!isOurHost(request.headers.host))
      throw new Problem(
        421,
        'This hub does not answer to that host name. Use its address, localhost, ' +
          `\`${options.hubId}\` or the name set as http.host.`,
      );
    if (!READING.has(request.method) && fromElsewhere(request.headers))
      throw new Problem(403, 'A page of another origin may not change anything here.');
    const isPublic = request.routeOptions.config.public === true;
    if (isPublic || hasToken === undefined || hasToken(request.headers.authorization)) {
      if (request.url.startsWith('/api/')) reply.header('cache-control', 'no-store');
      return;
    }
    reply.header('www-authenticate', 'Bearer');
    throw new Problem(401, 'A token is needed: `authorization: Bearer <http.token>`.');
  });
}

/** What to do when a port cannot be had. */
function listenError(error: unknown, host: string, port: number): HubError {
  const place = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const messages: Readonly<Record<string, string>> = {
    EADDRINUSE:
      `http: ${place} is in use by another program. ` +
      `Stop it (\`ss -ltnp 'sport = :${port}'\` shows it), or set another http.port.`,
    EACCES: `http: this user may not listen on ${place}. Set http.port to 1024 or above.`,
    EADDRNOTAVAIL: `http: ${host} is not an address of this machine. Correct http.host.`,
    ENOTFOUND: `http: the host name ${host} is not known. Correct http.host.`,
  };
  const known = typeof code === 'string' ? messages[code] : undefined;
  const message = known ?? `http: cannot listen on ${place}: ${describeError(error)}`;
  return new HubError('SERVICE_UNAVAILABLE', message, { cause: error });
}

/** The HTTP server of the hub: console, API, health and metrics. */
export function createApi(options: ApiOptions): Api {
  const { view, host, port } = options;
  const server = fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: true,
    http: {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: REQUEST_TIMEOUT_MS / 2, // how late the timeouts above may strike
    },
    routerOptions: { maxParamLength: 1_024 },
    frameworkErrors: (error, _request, reply) => {
      void sendProblem(reply, statusOf(error), describeError(error));
    },
  });
  server.server.maxConnections = CONNECTIONS_MAX;
  const streams = new EventStreams({ view });
  answerErrors(server, options.logger);
  guard(server, options);
  addRoutes(server, { view, streams, wallMs: options.wallMs ?? Date.now });
  const instructions = new Instructions();
  addOperationRoutes(server, view, instructions);
  addReplayRoutes(server, view.replays, instructions);
  addDeadLetterRoutes(server, view, instructions);
  addIngestRoutes(server, view.ingest);
  addOutageRoutes(server, view.outages);
  addCommandRoutes(server, view.commands);
  serveConsole(server, options.consoleDir);

  return {
    async listen() {
      try {
        const listening: Promise<string> = server.listen({ host, port });
        await listening;
      } catch (error) {
        throw listenError(error, host, port);
      }
      const address = server.server.address();
      const actual = typeof address === 'object' && address !== null ? address.port : port;
      const url = `http://${host.includes(':') ? `[${host}]` : host}:${actual}`;
      return { host, port: actual, url };
    },
    async close() {
      streams.close();
      await server.close();
    },
  };
}
