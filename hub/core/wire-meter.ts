import { type AgentOptions, type ClientRequestArgs, Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent, type AgentOptions as HttpsAgentOptions } from 'node:https';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * Counts what goes through TCP sockets in both directions: payloads, headers, and with TLS the
 * handshakes and records. Not the headers of TCP and IP, which node cannot see.
 */
export class WireMeter {
  readonly #open = new Set<Socket>();
  #closedBytes = 0;

  /** Takes the socket under TLS, if there is TLS. */
  watch(socket: Socket): void {
    this.#open.add(socket);
    socket.once('close', () => {
      if (this.#open.delete(socket)) this.#closedBytes += bytesOf(socket);
    });
  }

  /** Cumulative, of all sockets so far. */
  get bytes(): number {
    let bytes = this.#closedBytes;
    for (const socket of this.#open) bytes += bytesOf(socket);
    return bytes;
  }
}

function bytesOf({ bytesRead, bytesWritten }: Socket): number {
  return bytesRead + bytesWritten;
}

type Connected = (error: Error | null, stream: Duplex) => void;

/** An agent whose sockets are metered. */
export class MeteredHttpAgent extends HttpAgent {
  readonly #meter: WireMeter;

  constructor(options: AgentOptions, meter: WireMeter) {
    super(options);
    this.#meter = meter;
  }

  override createConnection(options: ClientRequestArgs, connected?: Connected) {
    const socket = super.createConnection(options, connected);
    if (socket instanceof Socket) this.#meter.watch(socket);
    return socket;
  }
}

/** The same for TLS: what is metered is the socket below it. */
export class MeteredHttpsAgent extends HttpsAgent {
  readonly #plain: MeteredHttpAgent;

  constructor(options: HttpsAgentOptions, meter: WireMeter) {
    super(options);
    this.#plain = new MeteredHttpAgent({}, meter);
  }

  override createConnection(options: ClientRequestArgs, connected?: Connected) {
    const socket = this.#plain.createConnection(options);
    return super.createConnection({ ...options, ...(socket && { socket }) }, connected);
  }
}

/** What node adds to a request, and a short answer: request line, host, length, status, date. */
const FIXED_HEADER_BYTES = 350;

/** About what a request to `url` and its answer weigh besides the body. */
export function headerBytes(url: URL, headers: Readonly<Record<string, string>>): number {
  let bytes = FIXED_HEADER_BYTES + url.pathname.length + url.search.length + url.host.length;
  for (const [name, value] of Object.entries(headers)) bytes += name.length + value.length + 4;
  return bytes;
}
