/**
 * Numbers as devices lay them into bytes. All bytes here are in reading order: the most significant
 * one first, as one would write the number.
 */
export const NUMBER_TYPES = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint24',
  'int24',
  'uint32',
  'int32',
  'uint64',
  'int64',
  'float32',
  'float64',
] as const;
export type NumberType = (typeof NUMBER_TYPES)[number];

const BYTES: Readonly<Record<NumberType, number>> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint24: 3,
  int24: 3,
  uint32: 4,
  int32: 4,
  uint64: 8,
  int64: 8,
  float32: 4,
  float64: 8,
};

export const isNumberType = (type: string): type is NumberType => type in BYTES;
export const isFloat = (type: NumberType) => type === 'float32' || type === 'float64';
export const isSigned = (type: NumberType) => type.startsWith('int');

/** Bytes that a number takes. */
export const bytesOf = (type: NumberType): number => BYTES[type];

/** What bytes hold: the number, and its bits as an unsigned one. */
export interface RawNumber {
  readonly value: number;
  readonly bits: bigint;
}

export function bitsOf(bytes: Buffer): bigint {
  return BigInt(`0x${bytes.toString('hex')}`);
}

export function readNumber(type: NumberType, bytes: Buffer): RawNumber {
  const bits = bitsOf(bytes);
  switch (type) {
    case 'float32':
      return { value: shortestOfFloat32(bytes.readFloatBE()), bits };
    case 'float64':
      return { value: bytes.readDoubleBE(), bits };
    default: {
      const width = bytesOf(type) * 8;
      return { value: Number(isSigned(type) ? BigInt.asIntN(width, bits) : bits), bits };
    }
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
  const bits = bytesOf(type) * 8;
  return isSigned(type) ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
}

/** A number within `rangeOf` → its bytes. Whole where the type is. */
export function writeNumber(type: NumberType, value: number): Buffer {
  const bytes = Buffer.alloc(bytesOf(type));
  if (type === 'float32') bytes.writeFloatBE(value);
  else if (type === 'float64') bytes.writeDoubleBE(value);
  else {
    const width = bytes.length * 2;
    const bits = BigInt.asUintN(bytes.length * 8, BigInt(value));
    bytes.write(bits.toString(16).padStart(width, '0'), 'hex');
  }
  return bytes;
}
