/**
 * Modbus TCP: a header with the number of the request before each frame, and no CRC. An answer
 * with another number is late and thrown away. A header that cannot be one means that the bytes are
 * out of step, and nothing after it can be trusted: the connection is given up.
 */
import type { HubError } from '../../hub/core/errors.ts';
import { type Expected, expectedOf, frameOf } from './frame.ts';
import type { Line } from './line.ts';
import { LineWatch } from './line-watch.ts';
import type { Wire, WireAnswer } from './wire.ts';

/** Request number, protocol (0), number of bytes that follow. */
const HEADER_BYTES = 6;
const CRC_BYTES = 2;
/** Unit and function at least; a frame of RTU without its CRC at most. */
const BODY_BYTES_MIN = 2;
const BODY_BYTES_MAX = 254;
const NUMBERS = 0x1_0000;

interface Pending {
  readonly number: number;
  readonly expected: Expected;
  resolve(answer: WireAnswer): void;
  reject(error: HubError): void;
}

export class TcpWire implements Wire {
  readonly name: string;
  readonly confusable = false;
  readonly lost: Promise<void>;
  lateAnswers = 0;
  readonly #line: Line;
  readonly #watch: LineWatch;
  #received: Buffer = Buffer.alloc(0);
  #number = 0;
  #pending: Pending | undefined;
  #deadline: NodeJS.Timeout | undefined;

  constructor(line: Line) {
    this.#line = line;
    this.name = line.name;
    this.#watch = new LineWatch(line, 'check the device and the network', {
      receive: (bytes) => this.#receive(bytes),
      ended: (error) => this.#ended(error),
    });
    this.lost = this.#watch.lost;
  }

  exchange(request: Buffer, timeoutMs: number): Promise<WireAnswer> {
    return new Promise((resolve, reject) => {
      const { failure } = this.#watch;
      if (failure) return reject(failure);
      this.#number = (this.#number + 1) % NUMBERS;
      this.#pending = { number: this.#number, expected: expectedOf(request), resolve, reject };
      this.#deadline = setTimeout(() => this.#settle({ kind: 'silent' }), timeoutMs);
      const body = request.subarray(0, -CRC_BYTES);
      const header = Buffer.alloc(HEADER_BYTES);
      header.writeUInt16BE(this.#number, 0);
      header.writeUInt16BE(body.length, 4);
      this.#line.stream.write(Buffer.concat([header, body]));
    });
  }

  close(): void {
    this.#watch.close();
  }

  #receive(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    while (this.#received.length >= HEADER_BYTES && !this.#watch.failure) {
      const length = this.#received.readUInt16BE(4);
      const isHeader = this.#received.readUInt16BE(2) === 0;
      if (!isHeader || length < BODY_BYTES_MIN || length > BODY_BYTES_MAX) {
        this.#watch.lose('what it sends is no Modbus TCP; for a device server use rtu_over_tcp');
        return;
      }
      const end = HEADER_BYTES + length;
      if (this.#received.length < end) return;
      const number = this.#received.readUInt16BE(0);
      const frame = frameOf(this.#received.subarray(HEADER_BYTES, end));
      this.#received = this.#received.subarray(end);
      this.#take(number, frame);
    }
  }

  #take(number: number, frame: Buffer): void {
    const pending = this.#pending;
    if (pending?.number !== number) {
      this.lateAnswers += 1;
      return;
    }
    const detail = `an answer that does not fit the request: ${frame.toString('hex', 0, 16)}`;
    this.#settle(
      pending.expected.matches(frame) ? { kind: 'frame', frame } : { kind: 'garbled', detail },
    );
  }

  #settle(answer: WireAnswer): void {
    clearTimeout(this.#deadline);
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.resolve(answer);
  }

  #ended(error: HubError): void {
    clearTimeout(this.#deadline);
    this.#pending?.reject(error);
    this.#pending = undefined;
  }
}
