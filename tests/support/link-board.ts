import { Deframer, encodeFrame } from '../../firmware-bridge/link/frame.ts';

/** A board in the fewest words: go-back-N over what docs/link.md says, without time. */
export class LinkBoard {
  readonly window = 8;
  readonly device: string;
  session = 0;
  first = 1;
  sent = 0;
  cursor = 0;
  nonce = 0;
  up = false;
  /** What it holds, oldest first. */
  readonly held: number[] = [];
  readonly acknowledged: number[] = [];
  waits = 0;
  readonly answered: number[] = [];
  #deframer = new Deframer();

  constructor(device = 'nano') {
    this.device = device;
  }

  /** The next frame that it would send; undefined when it waits for the hub. */
  next(): Buffer | undefined {
    if (!this.up) return this.#hello();
    const value = this.held[this.cursor];
    if (this.cursor >= this.window || value === undefined) return undefined;
    const body = Buffer.alloc(25);
    body.writeUInt16LE(this.session & 0xffff, 0);
    body.writeUInt32LE(this.first + this.cursor, 2);
    body.set([1, 0, 0, 0, 0, 0, 0], 6);
    body.set([1, 1], 17);
    body.write('n', 19);
    body.writeInt32LE(value, 21);
    this.cursor += 1;
    this.sent = Math.max(this.sent, this.cursor);
    return encodeFrame(0x02, body);
  }

  /** Its patience is over: all that is not acknowledged is sent again. */
  timeout(): void {
    this.cursor = 0;
  }

  /** It starts anew with what it holds, as with a store. */
  restart(): void {
    this.up = false;
    this.cursor = 0;
    this.sent = Math.min(this.window, this.held.length);
    this.#deframer = new Deframer();
  }

  #hello(): Buffer {
    this.nonce = (this.nonce + 1) & 0xffff;
    const body = Buffer.alloc(17 + this.device.length);
    body[0] = 1;
    body.writeUInt16LE(this.nonce, 1);
    body.writeUInt32LE(this.session, 3);
    body.writeUInt32LE(this.first, 7);
    body.writeUInt32LE(this.first + this.sent, 11);
    body.set([this.window, 128], 15);
    body.write(this.device, 17);
    return encodeFrame(0x01, body);
  }

  receive(bytes: Buffer): void {
    for (const frame of this.#deframer.take(bytes)) {
      if (typeof frame === 'string') continue;
      const { type, body } = frame;
      if (type === 0x81) this.#welcome(body);
      else if (type === 0x85) this.up = false;
      else if (type === 0x86) this.answered.push(body.readUInt32LE(0));
      else if (this.up && body.readUInt16LE(0) === (this.session & 0xffff)) {
        this.#settle(body.readUInt32LE(2));
        if (type === 0x83) this.#sendAgain(body.readUInt32LE(6));
        if (type === 0x84) this.waits += 1;
      }
    }
  }

  #sendAgain(wanted: number): void {
    const index = wanted - this.first;
    if (index >= 0 && index < this.cursor) this.cursor = index;
  }

  #welcome(body: Buffer): void {
    if (this.up || body.readUInt16LE(1) !== this.nonce) return;
    const session = body.readUInt32LE(3);
    const last = body.readUInt32LE(7);
    this.up = true;
    this.cursor = 0;
    if (session === this.session) {
      this.#settle(last);
      return;
    }
    this.session = session;
    this.first = last + 1;
    this.sent = 0;
  }

  #settle(last: number): void {
    const count = last - this.first + 1;
    if (count <= 0 || count > this.sent) return;
    this.acknowledged.push(...this.held.splice(0, count));
    this.first += count;
    this.sent -= count;
    this.cursor = Math.max(0, this.cursor - count);
  }
}
