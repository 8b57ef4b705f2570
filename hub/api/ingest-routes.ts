import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ingestMessages } from './ingest-events.ts';
import { Problem } from './problem.ts';
import type { IngestView } from './view.ts';

/** A thousand readings as CloudEvents are 300 KiB; this has room for long ones. */
const BATCH_BYTES_MAX = 1024 * 1024;
/** What base64 and the attributes of a single event add to the largest message. */
const BASE64_SHARE = 4 / 3;
const ATTRIBUTES_BYTES_MAX = 64 * 1024;
/**
 * Bodies that are in memory at a time, in all: the requests of one burst, and a thirtieth of a
 * small machine.
 */
const BODIES_BYTES_MAX = 32 * 1024 * 1024;
/** By then a commit or a batch of a sink has passed. */
const RETRY_AFTER_SECONDS = 5;
/** By then some of the bodies have been stored. */
const BUSY_RETRY_AFTER_SECONDS = 1;

const inflate = promisify(gunzip);

/** `POST /api/v1/events`: stores messages, and answers when they are stored. */
export function addIngestRoutes(server: FastifyInstance, ingest: IngestView): void {
  const bodyLimit = Math.max(
    BATCH_BYTES_MAX,
    Math.ceil(ingest.messageBytesMax * BASE64_SHARE) + ATTRIBUTES_BYTES_MAX,
  );
  const bodies = bodiesInMemory(Math.max(BODIES_BYTES_MAX, bodyLimit));
  // its own scope: here a body is bytes, whatever its type
  server.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, parsed) => {
      parsed(null, body);
    });
    scope.addHook('onRequest', async (request, reply) => bodies.admit(request, reply, bodyLimit));
    scope.post('/api/v1/events', { bodyLimit }, async (request, reply) => {
      const body = await plainBody(request, bodyLimit);
      const { headers, query } = request;
      const messages = ingestMessages({ headers, query, body }, ingest);
      switch (await ingest.accept(messages, goneSignal(reply))) {
        case 'stored':
          return reply.code(ingest.durable ? 204 : 202).send();
        case 'full':
          reply.header('retry-after', RETRY_AFTER_SECONDS);
          throw new Problem(503, 'The log is full. Nothing was stored: send it again later.');
        case 'unsure':
          reply.header('retry-after', RETRY_AFTER_SECONDS);
          throw new Problem(
            503,
            'The log cannot be written now. Send all of it again later: a part may be stored.',
          );
        case 'gone':
          throw new Problem(499, 'The client has gone.');
      }
    });
    done();
  });
}

/** Refuses requests whose bodies would not fit in memory beside the others. */
function bodiesInMemory(bytesMax: number) {
  let bytes = 0;
  return {
    admit(request: FastifyRequest, reply: FastifyReply, bodyLimit: number): void {
      const { headers } = request;
      const announced = Number(headers['content-length'] ?? Number.NaN);
      const known = announced >= 0 && headers['content-encoding'] === undefined;
      const wanted = known ? Math.min(announced, bodyLimit) : bodyLimit;
      if (bytes + wanted > bytesMax) {
        reply.header('retry-after', BUSY_RETRY_AFTER_SECONDS);
        throw new Problem(429, 'Too much is being stored at once. Nothing of this was: try again.');
      }
      bytes += wanted;
      reply.raw.once('close', () => {
        bytes -= wanted;
      });
    },
  };
}

async function plainBody(request: FastifyRequest, bytesMax: number): Promise<Buffer> {
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  const encoding = request.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (encoding === 'identity') return body;
  if (encoding !== 'gzip') {
    const expected = 'gzip, or no content-encoding';
    throw new Problem(415, `This content-encoding is not known here. Expected: ${expected}.`, {
      expected,
    });
  }
  try {
    return await inflate(body, { maxOutputLength: bytesMax });
  } catch (cause) {
    const tooLarge = cause instanceof RangeError;
    const detail = tooLarge
      ? `The body has more than ${bytesMax} bytes when it is decompressed.`
      : 'The body is not gzip, as its content-encoding says.';
    throw new Problem(tooLarge ? 413 : 400, detail, {}, cause);
  }
}

/** A signal that aborts when the one who asked is gone. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => controller.abort());
  return controller.signal;
}
