/** Bytes of a device → readings by their metrics, and a command's value → bytes. */
import { truthOf } from '../register/command-value.ts';
import { quantityFrom } from '../register/fields.ts';
import {
  bitsOf,
  bytesOf,
  isSigned,
  type NumberType,
  type RawNumber,
  rangeOf,
  readNumber,
  writeNumber,
} from '../register/number.ts';
import { type Quantity, quantityOf, rawOf } from '../register/quantity.ts';
import type { Value } from '../sampling/messages.ts';
import type { ValueFields } from './fields.ts';

/** A part of the bits of a number: `(bits & mask) >> shift`. */
interface BitField {
  readonly mask: bigint;
  readonly shift: bigint;
  /** Bits that remain. */
  readonly width: number;
}

type Content =
  | { readonly is: 'number'; readonly quantity: Quantity; readonly field: BitField | undefined }
  | { readonly is: 'flag'; readonly bit: number | undefined }
  | { readonly is: 'flags'; readonly bits: readonly (readonly [string, number])[] };

/** One value with every default in its place. */
export interface Entry {
  readonly metric: string;
  readonly content: Content;
  readonly bytes: number;
  readonly isLittle: boolean;
}

/** Bytes that a value takes. */
export const widthOf = ({ type }: Pick<ValueFields, 'type'>): number =>
  type === 'bool' || type === 'bits' ? 1 : bytesOf(type);

export function bitFieldOf(
  type: NumberType,
  mask: number | undefined,
  shift = 0,
): BitField | undefined {
  if (mask === undefined && shift === 0) return undefined;
  const bits = BigInt(bytesOf(type) * 8);
  const whole = mask === undefined ? (1n << bits) - 1n : BigInt(mask);
  const left = whole >> BigInt(shift);
  return { mask: left << BigInt(shift), shift: BigInt(shift), width: left.toString(2).length };
}

function contentOf(value: Omit<ValueFields, 'byte'>): Content {
  const { type, mask, shift, bit, bits = {} } = value;
  if (type === 'bool') return { is: 'flag', bit };
  if (type === 'bits') return { is: 'flags', bits: Object.entries(bits) };
  const quantity = { ...quantityFrom(value), type };
  return { is: 'number', quantity, field: bitFieldOf(type, mask, shift) };
}

/** `byteOrder` of the device counts where the value says nothing of its own. */
export function entryOf(value: Omit<ValueFields, 'byte'>, byteOrder: 'big' | 'little'): Entry {
  const isLittle = (value.byte_order ?? byteOrder) === 'little';
  return { metric: value.metric, content: contentOf(value), bytes: widthOf(value), isLittle };
}

/** The metrics that a value gives: one, or one a bit. */
export function metricsOf({ metric, type, bits = {} }: Omit<ValueFields, 'byte'>): string[] {
  return type === 'bits' ? Object.keys(bits).map((name) => `${metric}_${name}`) : [metric];
}

const inReadingOrder = (bytes: Buffer, isLittle: boolean): Buffer =>
  isLittle ? Buffer.from(bytes).reverse() : bytes;

const isSet = (bits: bigint, bit: number): boolean => (bits & (1n << BigInt(bit))) !== 0n;

function rawIn(type: NumberType, field: BitField | undefined, bytes: Buffer): RawNumber {
  if (field === undefined) return readNumber(type, bytes);
  const bits = (bitsOf(bytes) & field.mask) >> field.shift;
  return { bits, value: Number(isSigned(type) ? BigInt.asIntN(field.width, bits) : bits) };
}

/** The readings in the bytes of a value. What is not available or not plausible is missing. */
export function valuesIn(entry: Entry, wire: Buffer): (readonly [string, Value])[] {
  const { metric, content } = entry;
  const bytes = inReadingOrder(wire, entry.isLittle);
  switch (content.is) {
    case 'number': {
      const raw = rawIn(content.quantity.type, content.field, bytes);
      const value = quantityOf(content.quantity, raw);
      return value === undefined ? [] : [[metric, value]];
    }
    case 'flag': {
      const bits = bitsOf(bytes);
      return [[metric, content.bit === undefined ? bits !== 0n : isSet(bits, content.bit)]];
    }
    case 'flags': {
      const bits = bitsOf(bytes);
      return content.bits.map(([name, bit]) => [`${metric}_${name}`, isSet(bits, bit)]);
    }
  }
}

/** What a write puts into a register: `bits` in the place of those that `mask` names. */
export type Encoded =
  | { readonly ok: true; readonly bits: bigint; readonly mask: bigint }
  | { readonly ok: false; readonly problem: string };

export const wholeMask = ({ bytes }: Entry): bigint => (1n << BigInt(bytes * 8)) - 1n;

/** The inverse of `valuesIn`. */
export function encode(entry: Entry, value: number | boolean): Encoded {
  const { content } = entry;
  if (content.is === 'flags') return { ok: false, problem: 'is several bits: write each' };
  if (content.is === 'flag') {
    const on = truthOf(value);
    if (on === undefined)
      return { ok: false, problem: `takes \`true\` or \`false\`, not ${JSON.stringify(value)}` };
    const mask = content.bit === undefined ? wholeMask(entry) : 1n << BigInt(content.bit);
    const one = content.bit === undefined ? 1n : mask;
    return { ok: true, bits: on ? one : 0n, mask };
  }
  if (typeof value !== 'number') return { ok: false, problem: `takes a number, not ${value}` };
  const { quantity, field } = content;
  const raw = rawOf(quantity, value, rangeIn(quantity.type, field));
  if (!raw.ok) return raw;
  if (field === undefined)
    return { ok: true, bits: bitsOf(writeNumber(quantity.type, raw.raw)), mask: wholeMask(entry) };
  const bits = BigInt.asUintN(field.width, BigInt(raw.raw)) << field.shift;
  return { ok: true, bits: bits & field.mask, mask: field.mask };
}

function rangeIn(type: NumberType, field: BitField | undefined): readonly [number, number] {
  if (field === undefined) return rangeOf(type);
  const half = 2 ** (field.width - 1);
  return isSigned(type) ? [-half, half - 1] : [0, 2 * half - 1];
}

/** A register for the wire; `before`: what was in it, where `mask` leaves some of that. */
export function bytesToWrite(
  entry: Entry,
  { bits, mask }: Encoded & { ok: true },
  before: Buffer | undefined,
): Buffer {
  const kept = before === undefined ? 0n : bitsOf(inReadingOrder(before, entry.isLittle)) & ~mask;
  const text = (kept | bits).toString(16).padStart(entry.bytes * 2, '0');
  return inReadingOrder(Buffer.from(text, 'hex'), entry.isLittle);
}
