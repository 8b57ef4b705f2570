import { existsSync } from 'node:fs';
import { join, sep } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';
import { Problem } from './problem.ts';

/** Vite puts everything whose name carries its hash in here: a name never changes its content. */
const HASHED_FOLDER = `${sep}assets${sep}`;
const FOREVER = 'public, max-age=31536000, immutable';

/** The console at `/`: files only, the same for everybody, so they are public. */
export function serveConsole(server: FastifyInstance, folder: string): void {
  if (!existsSync(join(folder, 'index.html'))) {
    server.get('/', { config: { public: true } }, () => {
      throw new Problem(
        404,
        'The console is not built. Run `npm run build`; the API works without it.',
      );
    });
    return;
  }
  // Its own scope: the plugin's route then carries the mark that it is public.
  server.register((scope, _options, done) => {
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, public: true };
    });
    scope.register(fastifyStatic, {
      root: folder,
      preCompressed: true,
      cacheControl: false,
      dotfiles: 'ignore',
      setHeaders(reply, path) {
        reply.setHeader('cache-control', path.includes(HASHED_FOLDER) ? FOREVER : 'no-cache');
        reply.setHeader('vary', 'accept-encoding');
      },
    });
    done();
  });
}
