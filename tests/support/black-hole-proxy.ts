import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/**
 * A cable between a hub and a far side that can be pulled: what was open then goes on to be open,
 * for ever, and nothing comes through it; nobody answers a new connection.
 */
export class BlackHoleProxy {
  readonly #farPort: number;
  readonly #sockets = new Set<Socket>();
  #pipes: (readonly [Socket, Socket])[] = [];
  #server: Server | undefined;
  #port = 0;
  /** Connections that were taken, probes among them. */
  connections = 0;

  constructor(farPort: number) {
    this.#farPort = farPort;
  }

  get port(): number {
    return this.#port;
  }

  async plug(): Promise<void> {
    const server = createServer((near) => this.#connected(near));
    this.#server = server;
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address && typeof address === 'object') this.#port = address.port;
  }

  pull(): void {
    this.#server?.close();
    for (const [near, far] of this.#pipes) {
      near.unpipe();
      far.unpipe();
      near.resume();
      far.resume();
    }
    this.#pipes = [];
  }

  close(): void {
    this.pull();
    for (const socket of this.#sockets) socket.destroy();
  }

  #connected(near: Socket): void {
    this.connections++;
    const far = connect(this.#farPort, '127.0.0.1');
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
    }
    near.pipe(far);
    far.pipe(near);
    this.#pipes.push([near, far]);
  }
}
