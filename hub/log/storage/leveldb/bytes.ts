/** LevelDB's ways to write numbers and byte strings: varints and lengths before bytes. */

/** What is read is not what it should be, though its checksum may be right. */
export class FormatError extends Error {}

/** Reads one thing after another. Errors: FormatError at the end of the bytes. */
export class ByteReader {
  at: number;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  get done(): boolean {
    return this.at >= this.#bytes.length;
  }

  byte(): number {
    const value = this.#bytes[this.at++];
    if (value === undefined) throw new FormatError('it ends too early');
    return value;
  }

  /** Up to 2^53: file numbers, sizes, sequences. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
    }
    if (!Number.isSafeInteger(value)) throw new FormatError('a number is too large');
    return value;
  }

  take(length: number): Buffer {
    if (length > this.#bytes.length - this.at) throw new FormatError('it ends too early');
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  /** Bytes with their length before them. */
  slice(): Buffer {
    return this.take(this.varint());
  }
}

export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

export function slice(bytes: Buffer): Buffer {
  return Buffer.concat([varint(bytes.length), bytes]);
}
