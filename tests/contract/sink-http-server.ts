import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { afterTest } from '../support/after-test.ts';

export interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Unpacked. */
  readonly body: string;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** What the server does with a request: an answer, or what is worse. */
export type Behaviour = (request: SeenRequest) => Answer | 'cut' | 'stall';

/** A real HTTP server on a port of its own whose behaviour a test sets. */
export interface TestServer {
  readonly url: string;
  readonly server: Server;
  behaviour: Behaviour;
  /** Requests that were answered with 2xx, in order. */
  readonly taken: SeenRequest[];
  /** Every request that was read whole. */
  readonly requests: SeenRequest[];
}

export async function startTestServer(t: TestContext, behaviour: Behaviour): Promise<TestServer> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(Buffer.from(chunk));
    const raw = Buffer.concat(chunks);
    const packed = request.headers['content-encoding'] === 'gzip';
    const body = (packed ? gunzipSync(raw) : raw).toString();
    const { method = '', url = '', headers } = request;
    const seen = { method, url, headers, body };
    test.requests.push(seen);
    const answer = test.behaviour(seen);
    if (answer === 'cut') request.socket.destroy();
    if (answer === 'cut' || answer === 'stall') return;
    if (answer.status < 300) test.taken.push(seen);
    response.writeHead(answer.status, answer.headers).end(answer.body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const url = `http://127.0.0.1:${port}`;
  const test: TestServer = { url, server, behaviour, taken: [], requests: [] };
  afterTest(t, async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return test;
}
