import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { afterTest } from './after-test.ts';

/** What the link between a hub and its far side is like. The same in both directions. */
export interface LinkShape {
  /** Half of it each way, in ms. */
  readonly roundTripMs: number;
  /** Of all connections together, each way. */
  readonly bitsPerSecond: number;
}

/**
 * What the link itself holds of one connection, each way, before it pushes back: so much is under
 * way on a link of 20 Mbit/s with a round trip of 300 ms, and what a sender's kernel holds besides.
 */
const UNDER_WAY_BYTES_MAX = 1024 * 1024;
/** Bytes that leave at once; on 1 Mbit/s that is a frame every 12 ms. */
const FRAME_BYTES = 1_500;

/** One direction of all connections: a queue that empties at a pace, and a long way. */
class Direction {
  bytes = 0;
  readonly #shape: LinkShape;
  #freeMs = 0;

  constructor(shape: LinkShape) {
    this.#shape = shape;
  }

  /** When so many bytes, that are here now, will have arrived at the other end. */
  arrivalMs(bytes: number, nowMs: number): number {
    this.#freeMs = Math.max(nowMs, this.#freeMs) + (bytes * 8_000) / this.#shape.bitsPerSecond;
    return this.#freeMs + this.#shape.roundTripMs / 2;
  }

  arrived(bytes: number): void {
    this.bytes += bytes;
  }
}

interface Piece {
  readonly chunk: Buffer;
  readonly atMs: number;
}

/** What comes out of `from` goes into `to`, later and not faster than the direction allows. */
class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #direction: Direction;
  readonly #isBlack: () => boolean;
  #pieces: Piece[] = [];
  #held = 0;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(from: Socket, to: Socket, direction: Direction, isBlack: () => boolean) {
    this.#from = from;
    this.#to = to;
    this.#direction = direction;
    this.#isBlack = isBlack;
    from.on('data', (chunk: Buffer) => this.#take(chunk));
    from.on('end', () => {
      this.#ended = true;
      this.#deliver();
    });
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#pieces = [];
  }

  #take(chunk: Buffer): void {
    const nowMs = performance.now();
    for (let at = 0; at < chunk.length; at += FRAME_BYTES) {
      const frame = chunk.subarray(at, at + FRAME_BYTES);
      this.#pieces.push({ chunk: frame, atMs: this.#direction.arrivalMs(frame.length, nowMs) });
    }
    this.#held += chunk.length;
    if (this.#held > UNDER_WAY_BYTES_MAX) this.#from.pause();
    this.#schedule();
  }

  #schedule(): void {
    const [next] = this.#pieces;
    if (this.#timer || !next) return;
    const waitMs = Math.max(1, next.atMs - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#deliver();
    }, waitMs);
  }

  #deliver(): void {
    const nowMs = performance.now();
    let count = 0;
    while ((this.#pieces[count]?.atMs ?? Number.POSITIVE_INFINITY) <= nowMs) count++;
    const due = this.#pieces.splice(0, count);
    for (const { chunk } of due) {
      this.#held -= chunk.length;
      if (this.#isBlack() || this.#to.destroyed) continue;
      this.#direction.arrived(chunk.length);
      this.#to.write(chunk);
    }
    if (this.#held <= UNDER_WAY_BYTES_MAX && this.#from.isPaused()) this.#from.resume();
    if (this.#ended && this.#pieces.length === 0 && !this.#isBlack()) this.#to.end();
    this.#schedule();
  }
}

/**
 * A link of TCP connections to `127.0.0.1:<port>` with a round trip and a bandwidth that all of
 * them share. It does not lose packets: what a kernel does then is in `shaped-wire.c`. While
 * `blackhole` is true everything disappears in it, and nobody is told.
 */
export class ShapedLink {
  blackhole = false;
  readonly #port: number;
  readonly #shape: LinkShape;
  readonly #up: Direction;
  readonly #down: Direction;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  connections = 0;

  constructor(port: number, shape: LinkShape) {
    this.#port = port;
    this.#shape = shape;
    this.#up = new Direction(shape);
    this.#down = new Direction(shape);
  }

  /** Where it listens, once it does. */
  get port(): number {
    const address = this.#server.address();
    return address && typeof address === 'object' ? address.port : 0;
  }

  /** Bytes that have arrived at the far side. */
  get bytesUp(): number {
    return this.#up.bytes;
  }

  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  stop(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(near: Socket): void {
    this.connections++;
    const far = connect({ port: this.#port, host: '127.0.0.1', allowHalfOpen: true });
    const isBlack = () => this.blackhole;
    const pipes = [
      new Pipe(near, far, this.#up, isBlack),
      new Pipe(far, near, this.#down, isBlack),
    ];
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', (failed) => {
        this.#sockets.delete(socket);
        if (!failed) return;
        for (const pipe of pipes) pipe.close();
        setTimeout(() => other.destroy(), this.#shape.roundTripMs / 2);
      });
    }
  }
}

/** A link to a port of loopback, until the test ends. */
export async function shapedLink(
  t: TestContext,
  port: number,
  shape: LinkShape,
): Promise<ShapedLink> {
  const link = new ShapedLink(port, shape);
  await link.start();
  afterTest(t, () => link.stop());
  return link;
}
