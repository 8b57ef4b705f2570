import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { topicFilterProblem } from '../core/topic.ts';
import { Problem } from './problem.ts';
import { badParameter, Query } from './query.ts';
import type { EventStreams } from './stream.ts';
import type { Condition, HubView } from './view.ts';

const HOUR_MS = 3_600_000;
/** A screen is 1,000 to 4,000 pixels wide. */
const POINTS = { min: 1, max: 5_000, fallback: 300 };
const EVENTS = { min: 1, max: 1_000, fallback: 100 };
/** Each reads through the log on the main thread, in slices: more at once would only slow all. */
const LOG_QUERIES_MAX = 4;
/** What waits behind them: a page of charts. */
const LOG_QUERIES_WAITING_MAX = 32;

export interface RoutesOptions {
  readonly view: HubView;
  readonly streams: EventStreams;
  readonly wallMs: () => number;
}

/** A signal that aborts when the one who asked is gone. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => controller.abort(new Problem(499, 'The client has gone.')));
  return controller.signal;
}

const METRICS_TYPES = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
} as const;

/** Weight of the best range of an Accept header that `type` falls into exactly; 0 when in none. */
function weightOf(accept: string, type: string): number {
  const weights = accept.split(',').map((range) => {
    const [name, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    if (name !== type) return 0;
    const weight = parameters.find((parameter) => parameter.startsWith('q='));
    return weight === undefined ? 1 : Number(weight.slice(2)) || 0;
  });
  return Math.max(0, ...weights);
}

/** Only who asks for it by name: all others know the older text. */
function wantsOpenMetrics(accept: string | undefined): boolean {
  if (accept === undefined) return false;
  const weight = weightOf(accept, 'application/openmetrics-text');
  return weight > 0 && weight >= weightOf(accept, 'text/plain');
}

function sendCondition(reply: FastifyReply, word: 'healthy' | 'ready', condition: Condition) {
  reply.code(condition.ok ? 200 : 503).header('cache-control', 'no-store');
  const { ok, reasons, notes = [] } = condition;
  return reply.send({ [word]: ok, reasons, ...(notes.length > 0 && { notes }) });
}

/** Runs at most LOG_QUERIES_MAX at a time, the others in order. */
function logQueries() {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async <Result>(signal: AbortSignal, query: () => Promise<Result>): Promise<Result> => {
    if (running >= LOG_QUERIES_MAX) {
      if (waiting.length >= LOG_QUERIES_WAITING_MAX)
        throw new Problem(503, 'Too many queries of the log are waiting. Ask again in a moment.');
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running++;
    try {
      signal.throwIfAborted();
      return await query();
    } finally {
      const next = waiting.shift(); // takes over this one's place
      if (next === undefined) running--;
      else next();
    }
  };
}

/** The paths of the API; see docs, "HTTP". */
export function addRoutes(server: FastifyInstance, options: RoutesOptions): void {
  const { view, streams, wallMs } = options;
  const withPublic = { config: { public: true } };
  const asLogQuery = logQueries();

  server.get('/health', withPublic, (_, reply) => sendCondition(reply, 'healthy', view.health()));
  server.get('/ready', withPublic, (_, reply) => sendCondition(reply, 'ready', view.ready()));

  server.get('/metrics', async (request, reply) => {
    const format = wantsOpenMetrics(request.headers.accept) ? 'openmetrics' : 'prometheus';
    reply.type(METRICS_TYPES[format]).header('vary', 'accept');
    return view.metricsText(format);
  });

  server.get('/api/v1/status', (request) => {
    new Query(request.query, []);
    return view.status();
  });

  server.get('/api/v1/latest', (request) => {
    const query = new Query(request.query, ['device', 'metric']);
    return view.latest({ device: query.text('device'), metric: query.text('metric') });
  });

  server.get('/api/v1/devices', (request) => {
    new Query(request.query, []);
    return view.devices();
  });

  server.get('/api/v1/history', (request, reply) => {
    const query = new Query(request.query, ['device', 'metric', 'from', 'to', 'points']);
    const asked = {
      device: query.requiredText('device'),
      metric: query.requiredText('metric'),
      ...query.range(wallMs(), HOUR_MS),
      points: query.integer('points', POINTS),
    };
    const signal = goneSignal(reply);
    return asLogQuery(signal, () => view.history(asked, signal));
  });

  server.get('/api/v1/events', async (request, reply) => {
    const query = new Query(request.query, ['from', 'to', 'topic', 'limit']);
    const topic = query.text('topic');
    const problem = topic === undefined ? undefined : topicFilterProblem(topic);
    if (problem !== undefined)
      throw badParameter('topic', problem, 'an MQTT topic filter such as site/+/dev1/#');
    const asked = {
      ...query.range(wallMs(), HOUR_MS),
      topic,
      limit: query.integer('limit', EVENTS),
    };
    const signal = goneSignal(reply);
    const events = await asLogQuery(signal, () => view.events(asked, signal));
    reply.type('application/cloudevents-batch+json; charset=utf-8');
    return `[${events.join(',')}]`;
  });

  // No HEAD: it would never end.
  server.get(
    '/api/v1/stream',
    { exposeHeadRoute: false },
    (request: FastifyRequest, reply: FastifyReply) => {
      new Query(request.query, []);
      streams.assertRoom();
      reply.hijack();
      // Headers set by hooks so far; a hijacked reply does not send them by itself.
      const headers: Record<string, string> = {};
      for (const [name, value] of Object.entries(reply.getHeaders())) headers[name] = String(value);
      streams.add(reply.raw, headers);
    },
  );
}
