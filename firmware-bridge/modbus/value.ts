/** The content of a register → the value of a reading, and a command's value → registers. */
import { truthOf } from '../register/command-value.ts';
import { rangeOf, readNumber, writeNumber } from '../register/number.ts';
import { quantityOf, rawOf } from '../register/quantity.ts';
import { type Content, metricsOfEntry, type RegisterEntry } from './register-map.ts';
import { inReadingOrder, inWireOrder, type Order, readText } from './register-type.ts';

export type Value = number | string | boolean;

function numberOf(entry: RegisterEntry, content: Content & { is: 'number' }, bytes: Buffer) {
  const { type, order } = content;
  return quantityOf({ ...entry, type }, readNumber(type, inReadingOrder(bytes, order)));
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
    const on = typeof value === 'string' ? undefined : truthOf(value);
    if (on === undefined)
      return refused(`takes \`true\` or \`false\`, not ${JSON.stringify(value)}`);
    if (entry.kind === 'coil') return { ok: true, is: 'coil', on };
    return { ok: true, is: 'registers', words: [on ? 1 : 0] };
  }
  if (entry.content.is !== 'number' || typeof value !== 'number')
    return refused(`takes a number, not ${JSON.stringify(value)}`);
  return encodeNumber(entry, entry.content, value);
}

function encodeNumber(entry: RegisterEntry, content: Content & { is: 'number' }, value: number) {
  const { type, order } = content;
  const answer = rawOf({ ...entry, type }, value, rangeOf(type));
  if (!answer.ok) return answer;
  const bytes = inWireOrder(writeNumber(type, answer.raw), order);
  const words = Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readUInt16BE(2 * i));
  return { ok: true, is: 'registers', words } as const;
}
