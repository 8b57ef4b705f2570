import type { SerialOptions } from '../spec.ts';
import { checksumOf } from './checksum.ts';
import { cobsDecode, cobsEncode } from './cobs.ts';
import { CountedFramer } from './counted.ts';
import { DelimitedFramer, type DelimitedOptions } from './delimited.ts';
import type { Checksum, Framer } from './framer.ts';
import { SLIP_END, slipDecode, slipEncode } from './slip.ts';

export type FramingOptions = Pick<
  SerialOptions,
  | 'framing'
  | 'checksum'
  | 'delimiter'
  | 'frame_bytes'
  | 'frame_bytes_max'
  | 'start_bytes'
  | 'length_bytes'
  | 'length_byte_order'
  | 'length_includes_checksum'
>;

/** Length of a `length_prefixed` frame when nothing else is said. */
const LENGTH_BYTES = 1;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

const withoutReturn = (line: Buffer): Buffer =>
  line.at(-1) === RETURN ? line.subarray(0, -1) : line;

/** A framer for one opening of the port; it remembers where it is. */
export function createFramer(options: FramingOptions): Framer {
  const { framing, frame_bytes_max: bytesMax } = options;
  const isText = framing === 'lines' || framing === 'delimiter';
  const checksum = checksumOf(options.checksum ?? 'none', isText);
  const delimited = (own: Pick<DelimitedOptions, 'delimiter' | 'decode' | 'encode'>) =>
    new DelimitedFramer({ ...own, bytesMax, checksum, skipFirst: checksum.bytes === 0 });
  switch (framing) {
    case 'lines': {
      const delimiter = Buffer.of(NEWLINE);
      return delimited({
        delimiter,
        decode: withoutReturn,
        encode: endedWith(delimiter, bytesMax),
      });
    }
    case 'delimiter': {
      const delimiter = Buffer.from(options.delimiter ?? '\n', 'latin1');
      return delimited({
        delimiter,
        decode: (piece) => piece,
        encode: endedWith(delimiter, bytesMax),
      });
    }
    case 'cobs': {
      const delimiter = Buffer.of(0);
      const encode = between(delimiter, cobsEncode, bytesMax);
      return delimited({ delimiter, decode: cobsDecode, encode });
    }
    case 'slip': {
      const delimiter = Buffer.of(SLIP_END);
      const encode = between(delimiter, slipEncode, bytesMax);
      return delimited({ delimiter, decode: slipDecode, encode });
    }
    case 'fixed':
    case 'length_prefixed':
      return counted(options, checksum);
  }
}

function counted(options: FramingOptions, checksum: Checksum): Framer {
  const { framing, frame_bytes: payloadBytes = 1, frame_bytes_max: bytesMax } = options;
  const start = Buffer.from(options.start_bytes ?? '', 'hex');
  if (framing === 'fixed') {
    const all = start.length + payloadBytes + checksum.bytes;
    return new CountedFramer({ start, length: payloadBytes, checksum, bytesMax: all });
  }
  const length = {
    bytes: options.length_bytes ?? LENGTH_BYTES,
    order: options.length_byte_order ?? 'big',
    includesChecksum: options.length_includes_checksum ?? false,
  } as const;
  return new CountedFramer({ start, length, checksum, bytesMax });
}

function endedWith(delimiter: Buffer, bytesMax: number): (frame: Buffer) => Buffer {
  return (frame) => {
    if (frame.includes(delimiter)) throw new RangeError('holds what ends a frame');
    return Buffer.concat([notTooLong(frame, bytesMax), delimiter]);
  };
}

/** With a delimiter in front too: what noise has left on the line does not become a part of it. */
function between(
  delimiter: Buffer,
  encode: (frame: Buffer) => Buffer,
  bytesMax: number,
): (frame: Buffer) => Buffer {
  return (frame) => Buffer.concat([delimiter, notTooLong(encode(frame), bytesMax), delimiter]);
}

function notTooLong(encoded: Buffer, bytesMax: number): Buffer {
  if (encoded.length <= bytesMax) return encoded;
  throw new RangeError(`makes a frame of ${encoded.length} bytes; at most ${bytesMax}`);
}
