/** The content of a register → the value of a reading, and a command's value → registers. */
import { type Content, metricsOfEntry, type RegisterEntry } from './register-map.ts';
import {
  inReadingOrder,
  inWireOrder,
  isFloat,
  type Order,
  rangeOf,
  readNumber,
  readText,
  writeNumber,
} from './register-type.ts';

export type Value = number | string | boolean;

/** Beyond it toFixed has no meaning: doubles hold 15 to 17 digits. */
const DECIMALS_MAX = 12;

/** Digits after the point of a number as it was written in the configuration. */
function decimalsOf(value: number): number {
  const [digits = '', exponent = '0'] = String(value).split('e');
  return Math.max(0, (digits.split('.')[1]?.length ?? 0) - Number(exponent));
}

/** 23.1, not 23.1000000000003: a whole number times 0.1 has one digit after the point. */
function scaled(raw: number, { scale, offset }: RegisterEntry, whole: boolean): number {
  const value = raw * scale + offset;
  const decimals = Math.max(decimalsOf(scale), decimalsOf(offset));
  return whole && decimals <= DECIMALS_MAX ? Number(value.toFixed(decimals)) : value;
}

function numberOf(entry: RegisterEntry, content: Content & { is: 'number' }, bytes: Buffer) {
  const { value, bits } = readNumber(content.type, inReadingOrder(bytes, content.order));
  const unavailable = entry.invalid.some((invalid) =>
    typeof invalid === 'bigint'
      ? invalid === bits
      : invalid === value || (!isFloat(content.type) && invalid === Number(bits)),
  );
  const result = scaled(value, entry, !isFloat(content.type));
  const plausible = Number.isFinite(result) && result >= entry.min && result <= entry.max;
  return unavailable || !plausible ? undefined : result;
}

function wordOf(bytes: Buffer, order: Order): number {
  return inReadingOrder(bytes, order).readUInt16BE();
}

/**
 * The readings in `bytes`, two a register, by their metrics. What the slave says is not available,
 * NaN, infinity, and what is out of `min` and `max` is missing.
 */
export function valuesOf(entry: RegisterEntry, bytes: Buffer): (readonly [string, Value])[] {
  const { content, metric } = entry;
  switch (content.is) {
    case 'number': {
      const value = numberOf(entry, content, bytes);
      return value === undefined ? [] : [[metric, value]];
    }
    case 'text':
      return [[metric, readText(inReadingOrder(bytes, { ...content.order, word: 'big' }))]];
    case 'flag': {
      const word = wordOf(bytes, content.order);
      return [[metric, content.bit === undefined ? word !== 0 : (word & (1 << content.bit)) !== 0]];
    }
    case 'flags': {
      const word = wordOf(bytes, content.order);
      const names = metricsOfEntry(entry);
      return content.bits.map(([, bit], i) => [names[i] ?? metric, (word & (1 << bit)) !== 0]);
    }
  }
}

/** What a write sends, or why it must not be sent. */
export type Encoded =
  | { readonly ok: true; readonly is: 'coil'; readonly on: boolean }
  | { readonly ok: true; readonly is: 'registers'; readonly words: readonly number[] }
  | { readonly ok: false; readonly problem: string };

const refused = (problem: string): Encoded => ({ ok: false, problem });

/** The inverse of `valuesOf` for what is writable. */
export function encodeValue(entry: RegisterEntry, value: Value): Encoded {
  if (!entry.writable) return refused('is not `writable` in the configuration');
  if (entry.content.is === 'flag') {
    const on = truthOf(value);
    if (on === undefined)
      return refused(`takes \`true\` or \`false\`, not ${JSON.stringify(value)}`);
    if (entry.kind === 'coil') return { ok: true, is: 'coil', on };
    return { ok: true, is: 'registers', words: [on ? 1 : 0] };
  }
  if (entry.content.is !== 'number' || typeof value !== 'number')
    return refused(`takes a number, not ${JSON.stringify(value)}`);
  return encodeNumber(entry, entry.content, value);
}

function truthOf(value: Value): boolean | undefined {
  if (typeof value === 'boolean') return value;
  if (value === 1 || value === 0) return value === 1;
  return undefined;
}

function encodeNumber(entry: RegisterEntry, content: Content & { is: 'number' }, value: number) {
  const { min, max, scale, offset, unit } = entry;
  const { type, order } = content;
  if (value < min || value > max)
    return refused(`is ${value}${unit ? ` ${unit}` : ''}; allowed are ${min} to ${max}`);
  const exact = (value - offset) / scale;
  const raw = isFloat(type) ? exact : Math.round(exact);
  const [low, high] = rangeOf(type);
  if (!Number.isFinite(raw) || raw < low || raw > high)
    return refused(`is ${value}, which \`${type}\` cannot hold with its \`scale\``);
  if (!isFloat(type) && !Number.isSafeInteger(raw))
    return refused(`is ${value}, which cannot be written exactly`);
  const step = Math.abs(scale);
  if (!isFloat(type) && Math.abs(raw * scale + offset - value) > step * 1e-6)
    return refused(`is ${value}, which is no multiple of its step of ${step}`);
  const bytes = inWireOrder(writeNumber(type, raw), order);
  const words = Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readUInt16BE(2 * i));
  return { ok: true, is: 'registers', words } as const;
}
