/**
 * Frames that end with certain bytes: lines, COBS, SLIP, any delimiter.
 *
 * Invariants:
 * - at most `bytesMax` and one delimiter are kept, whatever comes; a longer frame is counted once
 *   and skipped to its end;
 * - each byte is copied once at most, also when they come one by one;
 * - an empty frame is none: delimiters may stand at both ends of a frame, and in rows.
 */
import type { Checksum, Framer, FrameSink } from './framer.ts';

export interface DelimitedOptions {
  readonly delimiter: Buffer;
  /** The most bytes between two delimiters. */
  readonly bytesMax: number;
  readonly checksum: Checksum;
  /** The inside of what stands between two delimiters; undefined when it is none. */
  decode(encoded: Buffer): Buffer | undefined;
  /**
   * What to write for a frame, with its delimiters.
   * @throws RangeError when it cannot be one.
   */
  encode(frame: Buffer): Buffer;
  /**
   * What comes before the first delimiter is left out: the port may have been opened in the middle
   * of a frame, and without a checksum half a number looks like a number.
   */
  readonly skipFirst: boolean;
}

export class DelimitedFramer implements Framer {
  readonly #options: DelimitedOptions;
  readonly #held: Buffer;
  #length = 0;
  #state: 'first' | 'inside' | 'skipping';

  constructor(options: DelimitedOptions) {
    this.#options = options;
    this.#held = Buffer.allocUnsafe(options.bytesMax + options.delimiter.length);
    this.#state = options.skipFirst ? 'first' : 'inside';
  }

  get hasBegun(): boolean {
    return this.#length > 0;
  }

  beginsClean(): void {
    if (this.#length === 0) this.#state = 'inside';
  }

  push(bytes: Buffer, out: FrameSink): void {
    let rest = bytes;
    while (this.#length > 0 && rest.length > 0) rest = this.#pushHeld(rest, out);
    const { delimiter } = this.#options;
    let start = 0;
    while (start < rest.length) {
      const end = rest.indexOf(delimiter, start);
      if (end < 0) break;
      this.#piece(rest.subarray(start, end), out);
      start = end + delimiter.length;
    }
    while (start < rest.length) start += this.#hold(rest, start, out);
  }

  silence(): void {}

  end(out: FrameSink): void {
    if (this.#length > 0 && this.#state !== 'skipping') out.bad('partial');
    this.#length = 0;
  }

  encode(body: Buffer): Buffer {
    return this.#options.encode(this.#options.checksum.seal(body));
  }

  /** Adds to what is held until its delimiter has come; answers what is left of `bytes`. */
  #pushHeld(bytes: Buffer, out: FrameSink): Buffer {
    const { delimiter } = this.#options;
    const before = this.#length;
    const taken = this.#hold(bytes, 0, undefined);
    const from = Math.max(0, before - delimiter.length + 1);
    const end = this.#held.subarray(0, this.#length).indexOf(delimiter, from);
    if (end < 0) {
      this.#dropTooLong(out);
      return bytes.subarray(taken);
    }
    this.#length = 0;
    this.#piece(Buffer.from(this.#held.subarray(0, end)), out);
    return bytes.subarray(end + delimiter.length - before);
  }

  /** Keeps as much as there is room for; answers how many bytes that were. */
  #hold(bytes: Buffer, from: number, out: FrameSink | undefined): number {
    const taken = bytes.copy(this.#held, this.#length, from);
    this.#length += taken;
    if (out) this.#dropTooLong(out);
    return taken;
  }

  /** Only what may be the beginning of a delimiter is kept. */
  #dropTooLong(out: FrameSink): void {
    if (this.#length < this.#held.length) return;
    if (this.#state !== 'skipping') out.bad('too_long');
    this.#state = 'skipping';
    const kept = this.#options.delimiter.length - 1;
    this.#held.copy(this.#held, 0, this.#length - kept, this.#length);
    this.#length = kept;
  }

  #piece(encoded: Buffer, out: FrameSink): void {
    const state = this.#state;
    this.#state = 'inside';
    if (state === 'skipping' || encoded.length === 0) return;
    if (encoded.length > this.#options.bytesMax) {
      out.bad('too_long');
      return;
    }
    if (state === 'first') {
      out.bad('partial');
      return;
    }
    const frame = this.#options.decode(encoded);
    if (frame === undefined) {
      out.bad('framing');
      return;
    }
    if (frame.length === 0) return;
    const body = this.#options.checksum.open(frame);
    if (body === undefined) out.bad('checksum');
    else out.frame(body);
  }
}
