/** What register maps of several kinds of bridges have in common. */
import { z } from 'zod';
import { isFloat, isNumberType, rangeOf } from './number.ts';

export { metric } from '../../config/fields.ts';

const INVALID_MAX = 16;

const hexOrNumber = z.union([
  z.number(),
  z.string().regex(/^0x[0-9a-fA-F]{1,16}$/, 'is no number such as `0x8000`'),
]);

/** How a raw number becomes the value of a reading. */
export const scaleFields = () => ({
  scale: z
    .number()
    .refine((value) => value !== 0, 'is 0, which makes every value 0')
    .optional()
    .meta({ examples: [0.1] })
    .describe('The value is `raw × scale + offset`. Default 1.'),
  offset: z.number().optional().describe('Added after `scale`. Default 0.'),
  unit: z.string().min(1).max(32).optional().describe('Unit of the value, such as `V`.'),
});

/** Which readings are left out. */
export const plausibilityFields = () => ({
  invalid: z
    .union([hexOrNumber, z.array(hexOrNumber).min(1).max(INVALID_MAX)])
    .optional()
    .meta({ examples: ['0x8000'] })
    .describe(
      'Raw values that mean "not available", as bits (`0x8000`) or as a number of the type ' +
        '(`-32768`). Such a reading is left out, as are NaN and infinity.',
    ),
  min: z.number().optional().describe('Readings below it are left out, and writes refused.'),
  max: z.number().optional().describe('Readings above it are left out, and writes refused.'),
});

interface QuantityOptions {
  readonly scale?: number | undefined;
  readonly offset?: number | undefined;
  readonly unit?: string | undefined;
  readonly invalid?: number | string | (number | string)[] | undefined;
  readonly min?: number | undefined;
  readonly max?: number | undefined;
}

/** The fields with every default in its place. */
export function quantityFrom(options: QuantityOptions) {
  return {
    scale: options.scale ?? 1,
    offset: options.offset ?? 0,
    invalid: [options.invalid ?? []]
      .flat()
      .map((value) => (typeof value === 'string' ? BigInt(value) : value)),
    min: options.min ?? Number.NEGATIVE_INFINITY,
    max: options.max ?? Number.POSITIVE_INFINITY,
    unit: options.unit,
  };
}

type Report = (path: readonly (string | number)[], message: string) => void;

/**
 * Problems of the fields above; `bits` is the width of the raw value. A raw value that a register
 * can never hold would leave nothing out, in silence.
 */
export function checkQuantity(
  options: QuantityOptions,
  type: string,
  bits: number,
  report: Report,
): void {
  const { min, max, invalid } = options;
  if (min !== undefined && max !== undefined && max < min)
    report(['max'], `is ${max}, which is less than \`min\`: ${min}`);
  if (isNumberType(type)) {
    if (isFloat(type)) return;
    for (const value of [invalid ?? []].flat()) {
      const problem = invalidProblem(value, type, rangeOf(type), bits);
      if (problem !== undefined) report(['invalid'], problem);
    }
    return;
  }
  for (const key of ['scale', 'offset', 'min', 'max', 'invalid', 'unit'] as const)
    if (options[key] !== undefined) report([key], 'has a meaning only for numbers');
}

function invalidProblem(
  value: number | string,
  type: string,
  [low, high]: readonly [number, number],
  bits: number,
): string | undefined {
  const bitsMax = (1n << BigInt(bits)) - 1n;
  const fits =
    typeof value === 'string' ? BigInt(value) <= bitsMax : value >= low && value <= Number(bitsMax);
  if (!fits) return `is ${value}, and \`${type}\` holds ${low} to ${high}`;
  if (typeof value === 'string') return undefined;
  if (!Number.isInteger(value)) return `is ${value}, and \`${type}\` holds whole numbers`;
  if (Math.abs(value) > Number.MAX_SAFE_INTEGER)
    return `is too large to be exact; quote it: "0x${BigInt(value).toString(16)}"`;
  return undefined;
}

interface Measured {
  readonly metric: string;
  readonly unit?: string | undefined;
}

/** The unit goes with the metric: volts of one device and millivolts of another are two metrics. */
export function checkUnits<M extends Measured>(
  devices: readonly { readonly device: string; readonly measured: readonly M[] }[],
  report: (device: number, measured: M, message: string) => void,
): void {
  const seen = new Map<string, { unit: string | undefined; device: string }>();
  for (const [i, { device, measured }] of devices.entries())
    for (const one of measured) {
      const { metric: name, unit } = one;
      const first = seen.get(name);
      seen.set(name, first ?? { unit, device });
      if (first === undefined || first.unit === unit) continue;
      const theirs = first.unit === undefined ? 'no unit' : `\`${first.unit}\``;
      const message = `is not that of \`${name}\` of ${first.device}, which has ${theirs}`;
      report(i, one, `${message}: one metric has one unit`);
    }
}
