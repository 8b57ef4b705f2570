/**
 * Frames whose length is known: always the same, or written in front.
 *
 * Invariants:
 * - at most one frame is kept, whatever comes;
 * - what turns out to be no frame is left by one byte only: a good frame that begins inside of it
 *   is found all the same;
 * - a stretch without a frame is counted once, however long it is.
 */
import type { BadFrameReason } from '../../../hub/core/bridge.ts';
import type { Checksum, Framer, FrameSink } from './framer.ts';

/** A length in front of the payload. */
export interface LengthField {
  readonly bytes: 1 | 2 | 4;
  readonly order: 'big' | 'little';
  /** Whether it counts the checksum too. */
  readonly includesChecksum: boolean;
}

export interface CountedOptions {
  /** What every frame begins with; empty when there is nothing. */
  readonly start: Buffer;
  /** Bytes between the start and the checksum, or where their number stands. */
  readonly length: number | LengthField;
  readonly checksum: Checksum;
  /** The most bytes of a frame, all included. */
  readonly bytesMax: number;
}

type Look =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'bad'; readonly reason: BadFrameReason }
  | { readonly kind: 'frame'; readonly body: Buffer; readonly bytes: number };

const INCOMPLETE: Look = { kind: 'incomplete' };

export class CountedFramer implements Framer {
  readonly #options: CountedOptions;
  /** Room for as much again, so that what is kept is moved seldom. */
  readonly #held: Buffer;
  #from = 0;
  #to = 0;
  #lost = false;

  constructor(options: CountedOptions) {
    this.#options = options;
    this.#held = Buffer.allocUnsafe(2 * options.bytesMax);
  }

  get hasBegun(): boolean {
    return this.#to > this.#from;
  }

  beginsClean(): void {}

  push(bytes: Buffer, out: FrameSink): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#to === this.#held.length) this.#moveToFront();
      const taken = bytes.copy(this.#held, this.#to, at);
      at += taken;
      this.#to += taken;
      this.#scan(out);
    }
  }

  silence(out: FrameSink): void {
    while (this.hasBegun) {
      this.#leave('partial', out);
      this.#scan(out);
    }
    this.#lost = false;
  }

  end(out: FrameSink): void {
    this.silence(out);
  }

  encode(body: Buffer): Buffer {
    const { start, length, checksum, bytesMax } = this.#options;
    const frame = Buffer.concat([start, checksum.seal(this.#withLength(body))]);
    if (typeof length === 'number' && body.length !== length)
      throw new RangeError(`has ${body.length} bytes, a frame has ${length}`);
    if (frame.length > bytesMax)
      throw new RangeError(`makes a frame of ${frame.length} bytes; at most ${bytesMax}`);
    return frame;
  }

  #withLength(body: Buffer): Buffer {
    const { length, checksum } = this.#options;
    if (typeof length === 'number') return body;
    const { bytes, order, includesChecksum } = length;
    const value = body.length + (includesChecksum ? checksum.bytes : 0);
    if (value >= 2 ** (8 * bytes)) throw new RangeError(`has ${body.length} bytes, too many`);
    const field = Buffer.allocUnsafe(bytes);
    if (order === 'big') field.writeUIntBE(value, 0, bytes);
    else field.writeUIntLE(value, 0, bytes);
    return Buffer.concat([field, body]);
  }

  #moveToFront(): void {
    this.#held.copy(this.#held, 0, this.#from, this.#to);
    this.#to -= this.#from;
    this.#from = 0;
  }

  #scan(out: FrameSink): void {
    while (this.hasBegun) {
      const look = this.#look();
      if (look.kind === 'incomplete') return;
      if (look.kind === 'bad') {
        this.#leave(look.reason, out);
        continue;
      }
      this.#from += look.bytes;
      this.#lost = false;
      out.frame(look.body);
    }
    this.#from = 0;
    this.#to = 0;
  }

  /** No frame begins here: goes to the next place where one may. */
  #leave(reason: BadFrameReason, out: FrameSink): void {
    if (!this.#lost) out.bad(reason);
    this.#lost = true;
    const { start } = this.#options;
    this.#from++;
    if (start.length === 0) return;
    const next = this.#held.subarray(this.#from, this.#to).indexOf(start[0] ?? 0);
    this.#from = next < 0 ? this.#to : this.#from + next;
  }

  /** What stands at the beginning of what is held. */
  #look(): Look {
    const { start, length, checksum, bytesMax } = this.#options;
    const held = this.#held.subarray(this.#from, this.#to);
    const known = Math.min(start.length, held.length);
    if (start.compare(held, 0, known, 0, known) !== 0) return { kind: 'bad', reason: 'framing' };
    let head = start.length;
    let inside: number;
    if (typeof length === 'number') inside = length + checksum.bytes;
    else {
      if (held.length < head + length.bytes) return INCOMPLETE;
      const value =
        length.order === 'big'
          ? held.readUIntBE(head, length.bytes)
          : held.readUIntLE(head, length.bytes);
      inside = value + (length.includesChecksum ? 0 : checksum.bytes);
      head += length.bytes;
      if (inside < checksum.bytes) return { kind: 'bad', reason: 'framing' };
      if (head + inside > bytesMax) return { kind: 'bad', reason: 'too_long' };
    }
    const bytes = head + inside;
    if (held.length < bytes) return INCOMPLETE;
    const checked = checksum.open(held.subarray(start.length, bytes));
    if (checked === undefined) return { kind: 'bad', reason: 'checksum' };
    const body = Buffer.from(checked.subarray(head - start.length));
    return { kind: 'frame', body, bytes };
  }
}
