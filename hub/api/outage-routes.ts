import type { FastifyInstance } from 'fastify';
import { Problem } from './problem.ts';
import { Query } from './query.ts';
import type { OutageView } from './view.ts';

/** More than a page shows; 100 are kept of each sink. */
const LIMIT = { min: 1, max: 1_000, fallback: 100 };

/** When far sides took nothing: of all sinks, and of one. The newest first. */
export function addOutageRoutes(server: FastifyInstance, outages: OutageView): void {
  server.get('/api/v1/outages', (request) => {
    const limit = new Query(request.query, ['limit']).integer('limit', LIMIT);
    return outages.all().slice(0, limit);
  });

  server.get<{ Params: { sink: string } }>('/api/v1/sinks/:sink/outages', (request) => {
    const limit = new Query(request.query, ['limit']).integer('limit', LIMIT);
    const { sink } = request.params;
    const found = outages.of(sink);
    if (!found) {
      const name = sink.slice(0, 64);
      throw new Problem(404, `There is no sink \`${name}\`; /api/v1/status lists them.`);
    }
    return found.slice(0, limit);
  });
}
