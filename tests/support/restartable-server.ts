import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';

/** An HTTP server that can be away for a while and comes back on the same port. */
export class RestartableServer {
  readonly #server;
  #port = 0;

  constructor(handle: RequestListener) {
    this.#server = createServer(handle);
  }

  get port(): number {
    return this.#port;
  }

  async start(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (address && typeof address === 'object') this.#port = address.port;
  }

  /** Cuts what is under way. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}
