/**
 * How registers become a value and back. Registers arrive as the bytes of an answer: two a
 * register, in the order of the addresses. `RegisterType` says what they hold; the width of text
 * is its `length`.
 */
export const NUMBER_TYPES = [
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'float32',
  'float64',
] as const;
export type NumberType = (typeof NUMBER_TYPES)[number];
export const REGISTER_TYPES = [...NUMBER_TYPES, 'bool', 'bits', 'string'] as const;
export type RegisterType = (typeof REGISTER_TYPES)[number];

export const REGISTER_BYTES = 2;
export const REGISTER_BITS = 16;

export type ByteOrder = 'big' | 'little';
/** `word`: which register of a wide value comes first; `byte`: the same within one register. */
export interface Order {
  readonly word: ByteOrder;
  readonly byte: ByteOrder;
}

const NUMBER_REGISTERS: Readonly<Record<NumberType, number>> = {
  int16: 1,
  uint16: 1,
  int32: 2,
  uint32: 2,
  int64: 4,
  uint64: 4,
  float32: 2,
  float64: 4,
};

export const isNumberType = (type: RegisterType): type is NumberType => type in NUMBER_REGISTERS;
export const isFloat = (type: NumberType) => type === 'float32' || type === 'float64';

/** Registers that a number takes. */
export const registersOf = (type: NumberType): number => NUMBER_REGISTERS[type];

/** The bytes in the order of the wire, most significant first, as one would write the number. */
export function inReadingOrder(bytes: Buffer, order: Order): Buffer {
  const ordered = Buffer.from(bytes);
  if (order.byte === 'little') ordered.swap16();
  if (order.word === 'big') return ordered;
  const words: Buffer[] = [];
  for (let at = 0; at < ordered.length; at += REGISTER_BYTES)
    words.unshift(ordered.subarray(at, at + REGISTER_BYTES));
  return Buffer.concat(words);
}

/** The inverse of `inReadingOrder` is itself when word and byte swaps commute, and they do. */
export const inWireOrder = inReadingOrder;

/** The bytes of a number in reading order → its value, and its bits as an unsigned number. */
export function readNumber(type: NumberType, bytes: Buffer): { value: number; bits: bigint } {
  const bits = BigInt(`0x${bytes.toString('hex')}`);
  switch (type) {
    case 'int16':
      return { value: bytes.readInt16BE(), bits };
    case 'uint16':
      return { value: bytes.readUInt16BE(), bits };
    case 'int32':
      return { value: bytes.readInt32BE(), bits };
    case 'uint32':
      return { value: bytes.readUInt32BE(), bits };
    case 'int64':
      return { value: Number(bytes.readBigInt64BE()), bits };
    case 'uint64':
      return { value: Number(bits), bits };
    case 'float32':
      return { value: shortestOfFloat32(bytes.readFloatBE()), bits };
    case 'float64':
      return { value: bytes.readDoubleBE(), bits };
  }
}

/** Digits with which every float32 is told from its neighbours. */
const FLOAT32_DIGITS_MAX = 9;
const FLOAT32_DIGITS_SURE = 6;

/** 230.1, where the same float32 read as a double would be 230.10000610351562. */
function shortestOfFloat32(value: number): number {
  if (!Number.isFinite(value)) return value;
  for (let digits = FLOAT32_DIGITS_SURE; digits < FLOAT32_DIGITS_MAX; digits++) {
    const shorter = Number(value.toPrecision(digits));
    if (Math.fround(shorter) === value) return shorter;
  }
  return value;
}

/** The smallest and the largest number that the type holds. */
export function rangeOf(type: NumberType): readonly [number, number] {
  if (type === 'float32') return [-3.4028234663852886e38, 3.4028234663852886e38];
  if (type === 'float64') return [-Number.MAX_VALUE, Number.MAX_VALUE];
  const bits = registersOf(type) * REGISTER_BITS;
  return type.startsWith('u') ? [0, 2 ** bits - 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
}

/** A number within `rangeOf` → its bytes in reading order. Whole where the type is. */
export function writeNumber(type: NumberType, value: number): Buffer {
  const bytes = Buffer.alloc(registersOf(type) * REGISTER_BYTES);
  switch (type) {
    case 'int16':
      bytes.writeInt16BE(value);
      break;
    case 'uint16':
      bytes.writeUInt16BE(value);
      break;
    case 'int32':
      bytes.writeInt32BE(value);
      break;
    case 'uint32':
      bytes.writeUInt32BE(value);
      break;
    case 'int64':
      bytes.writeBigInt64BE(BigInt(value));
      break;
    case 'uint64':
      bytes.writeBigUInt64BE(BigInt(value));
      break;
    case 'float32':
      bytes.writeFloatBE(value);
      break;
    case 'float64':
      bytes.writeDoubleBE(value);
      break;
  }
  return bytes;
}

/** Text up to the first NUL, without the spaces with which devices fill up. */
export function readText(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes
    .toString('utf8', 0, end < 0 ? bytes.length : end)
    .replaceAll(/\p{Cc}/gu, ' ')
    .trim();
}
