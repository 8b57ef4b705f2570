import type { FastifyInstance } from 'fastify';
import type { ReplayJob } from '../core/status.ts';
import type { Instructions } from './instructions.ts';
import { Problem } from './problem.ts';
import { Body, Query } from './query.ts';
import type { ReplayView } from './view.ts';

/** What a path of the API names. */
interface Place {
  readonly sink: string;
  readonly job: string;
}

function noSink(sink: string): Problem {
  return new Problem(404, `There is no sink \`${sink.slice(0, 64)}\`; /api/v1/status lists them.`);
}

/** Replays of one sink: ask for one, list them, cancel one. */
export function addReplayRoutes(
  server: FastifyInstance,
  replays: ReplayView,
  instructions: Instructions,
): void {
  server.post<{ Params: Pick<Place, 'sink'> }>(
    '/api/v1/sinks/:sink/replay',
    async (request, reply): Promise<ReplayJob> => {
      new Query(request.query, []);
      const { sink } = request.params;
      if (!replays.list(sink)) throw noSink(sink);
      const range = new Body(request.body, ['from', 'to']).range();
      const actor = instructions.take(request, reply, sink);
      const job = await replays.request(sink, range, actor);
      if (!job) {
        throw new Problem(409, 'Too many replays of this sink wait already. Cancel some, or wait.');
      }
      reply.code(202).header('location', `/api/v1/sinks/${encodeURIComponent(sink)}/replay`);
      return job;
    },
  );

  server.get<{ Params: Pick<Place, 'sink'> }>('/api/v1/sinks/:sink/replay', (request) => {
    new Query(request.query, []);
    const { sink } = request.params;
    const jobs = replays.list(sink);
    if (!jobs) throw noSink(sink);
    return jobs;
  });

  server.delete<{ Params: Place }>(
    '/api/v1/sinks/:sink/replay/:job',
    async (request, reply): Promise<ReplayJob> => {
      new Query(request.query, []);
      const { sink, job } = request.params;
      if (!replays.list(sink)) throw noSink(sink);
      const actor = instructions.take(request, reply, sink);
      const cancelled = /^\d{1,15}$/.test(job)
        ? await replays.cancel(sink, Number(job), actor)
        : undefined;
      if (!cancelled) {
        throw new Problem(404, `Sink \`${sink}\` knows no replay \`${job.slice(0, 64)}\`.`);
      }
      return cancelled;
    },
  );
}
