import { bytesOf } from '../register/number.ts';

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
export type WideNumber = (typeof NUMBER_TYPES)[number];
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

const isListed = (type: string): boolean => NUMBER_TYPES.some((one) => one === type);
export const isWideNumber = (type: RegisterType): type is WideNumber => isListed(type);

/** Registers that a number takes. */
export const registersOf = (type: WideNumber): number => bytesOf(type) / REGISTER_BYTES;

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

/** Text up to the first NUL, without the spaces with which devices fill up. */
export function readText(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes
    .toString('utf8', 0, end < 0 ? bytes.length : end)
    .replaceAll(/\p{Cc}/gu, ' ')
    .trim();
}
