import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { crc16 } from '../../firmware-bridge/modbus/frame.ts';

const MBAP_BYTES = 6;
const ILLEGAL_FUNCTION = 1;

/** How one request is treated. `echo`: function 8 is answered, refused, or ignored. */
export interface Manners {
  muted?: boolean;
  delayMs?: number;
  exception?: number;
  echo?: 'answers' | 'refuses' | 'ignores';
  /** Goes before the answer. */
  noise?: Buffer;
  /** Changes the frame of an answer, with its header or CRC. */
  spoil?: (frame: Buffer) => Buffer;
  /** As an adapter that hears itself. */
  hearsItself?: boolean;
}

/**
 * Slaves on a socket that speak RTU or Modbus TCP. Every register holds `unit * 1000 + address`, a
 * coil is set where its address is odd. Answers go out in the order of the requests.
 */
export class ScriptedSlave {
  manners: Manners = {};
  readonly writes: Buffer[] = [];
  requests = 0;
  readonly #kind: 'tcp' | 'rtu_over_tcp';
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(kind: 'tcp' | 'rtu_over_tcp') {
    this.#kind = kind;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async start(kind: 'tcp' | 'rtu_over_tcp'): Promise<ScriptedSlave> {
    const slave = new ScriptedSlave(kind);
    slave.#server.listen(0, '127.0.0.1');
    await once(slave.#server, 'listening');
    return slave;
  }

  get transport(): object {
    const address = this.#server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    return { type: this.#kind, host: '127.0.0.1', port };
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, 'close');
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    let bytes = Buffer.alloc(0);
    socket.on('data', (more) => {
      bytes = Buffer.concat([bytes, more]);
      for (let length = this.#lengthOf(bytes); length <= bytes.length; ) {
        this.#take(socket, Buffer.from(bytes.subarray(0, length)));
        bytes = bytes.subarray(length);
        length = this.#lengthOf(bytes);
      }
    });
  }

  #lengthOf(bytes: Buffer): number {
    if (bytes.length < 8) return Number.POSITIVE_INFINITY;
    if (this.#kind === 'tcp') return MBAP_BYTES + bytes.readUInt16BE(4);
    const code = bytes[1] ?? 0;
    return code === 15 || code === 16 ? 9 + (bytes[6] ?? 0) : 8;
  }

  #take(socket: Socket, request: Buffer): void {
    this.requests += 1;
    const manners = { ...this.manners };
    const head = this.#kind === 'tcp' ? request.subarray(0, MBAP_BYTES) : Buffer.alloc(0);
    const body = this.#kind === 'tcp' ? request.subarray(MBAP_BYTES) : request.subarray(0, -2);
    if (manners.hearsItself) socket.write(request);
    const answer = this.#answer(body, manners);
    if (answer === undefined) return;
    this.#turn = this.#turn.then(async () => {
      if (manners.delayMs) await delay(manners.delayMs);
      if (socket.destroyed) return;
      const frame = this.#framed(head, answer);
      if (manners.noise) socket.write(manners.noise);
      socket.write(manners.spoil ? manners.spoil(frame) : frame);
    });
  }

  #framed(head: Buffer, body: Buffer): Buffer {
    if (this.#kind === 'tcp') {
      const header = Buffer.from(head);
      header.writeUInt16BE(body.length, 4);
      return Buffer.concat([header, body]);
    }
    const crc = Buffer.alloc(2);
    crc.writeUInt16LE(crc16(body));
    return Buffer.concat([body, crc]);
  }

  #answer(body: Buffer, manners: Manners): Buffer | undefined {
    const [unit = 0, code = 0] = body;
    if (code > 4 && code !== 8) this.writes.push(Buffer.from(body));
    if (manners.muted) return undefined;
    if (code === 8 && manners.echo === 'ignores') return undefined;
    if (code === 8 && manners.echo === 'refuses')
      return Buffer.from([unit, 0x88, ILLEGAL_FUNCTION]);
    if (manners.exception !== undefined) return Buffer.from([unit, code | 0x80, manners.exception]);
    if (code > 4) return code === 15 || code === 16 ? body.subarray(0, 6) : body;
    const [address, count] = [body.readUInt16BE(2), body.readUInt16BE(4)];
    const isBits = code <= 2;
    const data = Buffer.alloc(isBits ? Math.ceil(count / 8) : 2 * count);
    for (let i = 0; i < count; i++)
      if (!isBits) data.writeUInt16BE((unit * 1000 + address + i) % 0x1_0000, 2 * i);
      else if ((address + i) % 2 === 1)
        data[Math.floor(i / 8)] = (data[Math.floor(i / 8)] ?? 0) | (1 << (i % 8));
    return Buffer.concat([Buffer.from([unit, code, data.length]), data]);
  }
}
