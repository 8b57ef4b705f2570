/**
 * Decompresses what LevelDB compressed (format: google/snappy, format_description.txt). Logs that
 * were made before compression was turned off have such tables; new ones have none.
 */
import { ByteReader, FormatError } from './bytes.ts';

/** A block is one value at most, and ours end at 260 MiB. */
const OUTPUT_BYTES_MAX = 300 * 1024 * 1024;
const LITERAL = 0;
const COPY_SHORT = 1;
const COPY_2 = 2;

function littleEndian(reader: ByteReader, bytes: number): number {
  return reader.take(bytes).readUIntLE(0, bytes);
}

/** Errors: FormatError. */
export function unsnap(packed: Buffer): Buffer {
  const reader = new ByteReader(packed);
  const length = reader.varint();
  if (length > OUTPUT_BYTES_MAX) throw new FormatError('it is too large');
  const output = Buffer.allocUnsafe(length);
  let at = 0;
  while (!reader.done) {
    const tag = reader.byte();
    const kind = tag & 3;
    if (kind === LITERAL) {
      const size = tag >> 2;
      const bytes = reader.take(1 + (size < 60 ? size : littleEndian(reader, size - 59)));
      if (at + bytes.length > length) throw new FormatError('it is longer than it says');
      at += bytes.copy(output, at);
      continue;
    }
    const short = kind === COPY_SHORT;
    const bytes = short ? 4 + ((tag >> 2) & 7) : 1 + (tag >> 2);
    const back = short
      ? ((tag >> 5) << 8) | reader.byte()
      : littleEndian(reader, kind === COPY_2 ? 2 : 4);
    if (back === 0 || back > at || at + bytes > length) throw new FormatError('a copy is wrong');
    // byte by byte: a copy may overlap what it makes
    for (const end = at + bytes; at < end; at++) output[at] = output[at - back] ?? 0;
  }
  if (at !== length) throw new FormatError('it is shorter than it says');
  return output;
}
