/**
 * Frames of Holdfast Link (docs/link.md): type, body and CRC-16, stuffed by COBS, ended by 0x00.
 * A frame has at most 254 bytes before it is stuffed, so stuffing adds exactly one.
 */
import type { BadFrameReason } from '../../hub/core/bridge.ts';

/** Type and checksum included: beyond it COBS would need a second block. */
export const FRAME_BYTES_MAX = 254;
const CRC_BYTES = 2;

/** CRC-16/IBM-3740: CCITT, begun with 0xffff. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++)
      crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1;
  }
  return crc;
}

/** With a delimiter before and behind: what noise has left is ended. Errors: RangeError. */
export function encodeFrame(type: number, body: Uint8Array): Buffer {
  const length = 1 + body.length + CRC_BYTES;
  if (length > FRAME_BYTES_MAX) throw new RangeError(`a frame of ${length} bytes is too long`);
  const frame = Buffer.alloc(length + 3);
  frame[2] = type;
  frame.set(body, 3);
  frame.writeUInt16LE(crc16(frame.subarray(2, length)), length);
  let code = 1;
  for (let at = length + 1; at > 1; at--) {
    if (frame[at] === 0) {
      frame[at] = code;
      code = 0;
    }
    code++;
  }
  frame[1] = code;
  return frame;
}

export interface Frame {
  readonly type: number;
  readonly body: Buffer;
}

function unstuffed(stuffed: Buffer): Buffer | undefined {
  const bytes = Buffer.from(stuffed);
  let at = 0;
  while (at < bytes.length) {
    const code = bytes[at] ?? 0;
    bytes[at] = 0;
    at += code; // never 0: there is no delimiter inside
  }
  return at === bytes.length ? bytes.subarray(1) : undefined;
}

/** `stuffed` has no delimiter in it. */
export function decodeFrame(stuffed: Buffer): Frame | BadFrameReason {
  const bytes = unstuffed(stuffed);
  if (!bytes || bytes.length <= CRC_BYTES) return 'framing';
  const end = bytes.length - CRC_BYTES;
  if (bytes.readUInt16LE(end) !== crc16(bytes.subarray(0, end))) return 'checksum';
  return { type: bytes[0] ?? 0, body: bytes.subarray(1, end) };
}

/** Finds the frames in bytes that are cut anywhere. Holds at most one frame. */
export class Deframer {
  readonly #held = Buffer.alloc(FRAME_BYTES_MAX + 1);
  #length = 0;
  #tooLong = false;

  *take(bytes: Buffer): Generator<Frame | BadFrameReason> {
    for (let at = 0; at < bytes.length; ) {
      const zero = bytes.indexOf(0, at);
      const end = zero < 0 ? bytes.length : zero;
      this.#hold(bytes.subarray(at, end));
      at = end + 1;
      if (zero >= 0) yield* this.#end();
    }
  }

  #hold(bytes: Buffer): void {
    if (this.#length + bytes.length > this.#held.length) this.#tooLong = true;
    else this.#length += bytes.copy(this.#held, this.#length);
  }

  *#end(): Generator<Frame | BadFrameReason> {
    const stuffed = this.#held.subarray(0, this.#length);
    if (this.#tooLong) yield 'too_long';
    else if (stuffed.length > 0) yield decodeFrame(stuffed);
    this.#length = 0;
    this.#tooLong = false;
  }
}
