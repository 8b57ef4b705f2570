import type { FastifyInstance } from 'fastify';
import { LANES } from '../core/event.ts';
import type { SkipRequest, SkipResult, SkipTo } from '../core/operation.ts';
import type { SinkStatus } from '../core/status.ts';
import type { Instructions } from './instructions.ts';
import { Problem } from './problem.ts';
import { Body, badParameter, Query } from './query.ts';
import type { HubView } from './view.ts';

/** Each is looked at; to leave more out, name a time. */
const SKIPPED_EVENTS = { min: 1, max: 1_000_000 };

type OfSink = { Params: { readonly sink: string } };

/** The sinks, and what people tell them: pause, resume, skip. */
export function addOperationRoutes(
  server: FastifyInstance,
  { status, operations }: Pick<HubView, 'status' | 'operations'>,
  instructions: Instructions,
): void {
  const path = '/api/v1/sinks/:sink';
  const sinkOf = (id: string): SinkStatus =>
    status().sinks.find((sink) => sink.id === id) ?? noSink(id);

  server.get('/api/v1/sinks', (request) => {
    new Query(request.query, []);
    return status().sinks;
  });

  server.get<OfSink>(path, (request) => {
    new Query(request.query, []);
    return sinkOf(request.params.sink);
  });

  for (const word of ['pause', 'resume'] as const) {
    server.post<OfSink>(`${path}/${word}`, async (request, reply): Promise<SinkStatus> => {
      new Query(request.query, []);
      const { sink } = request.params;
      sinkOf(sink);
      if (request.body !== undefined && request.body !== null) new Body(request.body, []);
      const actor = instructions.take(request, reply, sink);
      return doneOf(sink, await operations[word](sink, actor));
    });
  }

  server.post<OfSink>(`${path}/skip`, async (request, reply): Promise<SkipResult> => {
    new Query(request.query, []);
    const { sink } = request.params;
    sinkOf(sink);
    const asked = skipRequest(new Body(request.body, ['to', 'events', 'lane']));
    const actor = instructions.take(request, reply, sink);
    return doneOf(sink, await operations.skip(sink, asked, actor));
  });
}

function noSink(sink: string): never {
  throw new Problem(404, `There is no sink \`${sink.slice(0, 64)}\`; /api/v1/sinks lists them.`);
}

function doneOf<Done extends object>(sink: string, done: Done | 'busy' | undefined): Done {
  if (done === 'busy')
    throw new Problem(503, `Sink \`${sink}\` does not let go of what is under way. Try again.`);
  return done ?? noSink(sink);
}

/** `{"to":"now"}`, `{"to":<time>}` or `{"events":1}`; with a `lane`, only of that one. */
function skipRequest(body: Body): SkipRequest {
  const lane = body.word('lane', LANES);
  if (body.has('to') === body.has('events'))
    throw badParameter('to', 'or `events` is needed, and not both', 'a time, `now`, or a number');
  return { to: skipTo(body), lanes: lane ? [lane] : LANES };
}

function skipTo(body: Body): SkipTo {
  if (body.has('events')) return { kind: 'events', events: body.integer('events', SKIPPED_EVENTS) };
  if (body.is('to', 'now')) return { kind: 'now' };
  return { kind: 'time', timeMs: body.timeMs('to') };
}
