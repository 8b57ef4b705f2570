/** The raw number of a device → the value of a reading, and a command's value → the raw number. */
import { isFloat, type NumberType, type RawNumber } from './number.ts';

/** What a raw number means: the value is `raw × scale + offset`, in `unit`. */
export interface Quantity {
  readonly type: NumberType;
  readonly scale: number;
  readonly offset: number;
  /** Raw values that mean "not available": numbers of the type, or bits. */
  readonly invalid: readonly (number | bigint)[];
  readonly min: number;
  readonly max: number;
  readonly unit: string | undefined;
}

/** Beyond it toFixed has no meaning: doubles hold 15 to 17 digits. */
const DECIMALS_MAX = 12;

/** Digits after the point of a number as it was written in the configuration. */
function decimalsOf(value: number): number {
  const [digits = '', exponent = '0'] = String(value).split('e');
  return Math.max(0, (digits.split('.')[1]?.length ?? 0) - Number(exponent));
}

/** 23.1, not 23.1000000000003: a whole number times 0.1 has one digit after the point. */
function scaled(raw: number, { scale, offset, type }: Quantity): number {
  const value = raw * scale + offset;
  const decimals = Math.max(decimalsOf(scale), decimalsOf(offset));
  return isFloat(type) || decimals > DECIMALS_MAX ? value : Number(value.toFixed(decimals));
}

/**
 * Undefined for what the device says is not available, for NaN and infinity, and for what is out of
 * `min` and `max`.
 */
export function quantityOf(quantity: Quantity, { value, bits }: RawNumber): number | undefined {
  const unavailable = quantity.invalid.some((invalid) =>
    typeof invalid === 'bigint'
      ? invalid === bits
      : invalid === value || (!isFloat(quantity.type) && invalid === Number(bits)),
  );
  const result = scaled(value, quantity);
  const plausible = Number.isFinite(result) && result >= quantity.min && result <= quantity.max;
  return unavailable || !plausible ? undefined : result;
}

/** The raw number that a write sends, or why it must not be sent. */
export type RawAnswer =
  | { readonly ok: true; readonly raw: number }
  | { readonly ok: false; readonly problem: string };

/** The inverse of `quantityOf`. `low` and `high`: the raw numbers that there is room for. */
export function rawOf(
  quantity: Quantity,
  value: number,
  [low, high]: readonly [number, number],
): RawAnswer {
  const refused = (problem: string) => ({ ok: false, problem }) as const;
  const { min, max, scale, offset, unit, type } = quantity;
  if (value < min || value > max)
    return refused(`is ${value}${unit ? ` ${unit}` : ''}; allowed are ${min} to ${max}`);
  const exact = (value - offset) / scale;
  const raw = isFloat(type) ? exact : Math.round(exact);
  if (!Number.isFinite(raw) || raw < low || raw > high)
    return refused(`is ${value}, which \`${type}\` cannot hold with its \`scale\``);
  if (!isFloat(type) && !Number.isSafeInteger(raw))
    return refused(`is ${value}, which cannot be written exactly`);
  const step = Math.abs(scale);
  if (!isFloat(type) && Math.abs(raw * scale + offset - value) > step * 1e-6)
    return refused(`is ${value}, which is no multiple of its step of ${step}`);
  return { ok: true, raw };
}
