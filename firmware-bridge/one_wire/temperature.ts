/**
 * What a sensor of w1_therm said, and whether it can be believed. Three values are no temperature,
 * and each is a possible one as well:
 * - 85 °C is in the sensor from power-on until its first conversion: its supply fails;
 * - 0 °C with nothing but zero bytes is a data line at ground, of which even the checksum is right;
 * - 127.94 and -127 °C are out of range: a conversion without enough current, or nobody there. Only
 *   a thermocouple at a MAX31850, which has the family of the DS1825, can be that hot.
 * The bytes of the sensor (`w1_slave`) tell them apart, the value alone does not.
 */
import type { BadFrameReason } from '../../hub/core/bridge.ts';

export type Verdict =
  | { readonly is: 'good'; readonly celsius: number }
  /** To be told apart with the bytes of the sensor. */
  | { readonly is: 'suspect'; readonly celsius: number }
  | { readonly is: 'bad'; readonly reason: BadFrameReason; readonly why: string };

interface Kind {
  readonly millidegrees: readonly [number, number];
  /** What is wrong when it says anything else. */
  readonly trouble: string;
}

const CHIP: Kind = {
  millidegrees: [-55_000, 125_000],
  trouble: 'its supply is too weak, or it is broken',
};
/** Types T to R and S; one that is open or shorted says 2047.75 °C. */
const THERMOCOUPLE: Kind = {
  millidegrees: [-270_000, 1_768_000],
  trouble: 'its thermocouple is not connected, or shorted',
};
const THERMOCOUPLE_FAMILY = '3b-';
/** Of the configuration, 0 in a DS1825. */
const THERMOCOUPLE_BIT = { index: 4, mask: 0x80 };
export const POWER_ON_CELSIUS = 85;
const POWER_ON_MILLIDEGREES = POWER_ON_CELSIUS * 1000;
/** The byte that a conversion changes, in a sensor which has made none since power-on. */
const POWER_ON_BYTE = { index: 6, value: 0x0c };
const SCRATCHPAD = /^((?:[0-9a-f]{2} ){9}): crc=[0-9a-f]{2} (YES|NO)\s/;
const MILLIDEGREES = /\bt=(-?\d+)\s*$/;

const bad = (reason: BadFrameReason, why: string): Verdict => ({ is: 'bad', reason, why });

/** What `temperature` of the sensor with this id holds: millidegrees. */
export function judgeTemperature(text: string, id: string): Verdict {
  if (!/^-?\d+$/.test(text)) return bad('format', `\`${text.slice(0, 32)}\` is no temperature`);
  const millidegrees = Number(text);
  const verdict = judgeRange(millidegrees, CHIP);
  const isOdd = millidegrees === POWER_ON_MILLIDEGREES || millidegrees === 0;
  const mayBeHot = verdict.is === 'bad' && id.startsWith(THERMOCOUPLE_FAMILY);
  return isOdd || mayBeHot ? { is: 'suspect', celsius: millidegrees / 1000 } : verdict;
}

/**
 * What `w1_slave` of the sensor with this id holds: the nine bytes of the sensor, twice, and
 * millidegrees.
 */
export function judgeScratchpad(text: string, id: string): Verdict {
  const [, bytes, checked] = SCRATCHPAD.exec(text) ?? [];
  const [, millidegrees] = MILLIDEGREES.exec(text) ?? [];
  if (bytes === undefined || millidegrees === undefined)
    return bad('format', `\`${text.slice(0, 64)}\` is no temperature`);
  if (checked === 'NO')
    return bad('checksum', 'its checksum is wrong: check the wires, their length and the pull-up');
  const values = bytes
    .trim()
    .split(' ')
    .map((hex) => Number.parseInt(hex, 16));
  if (values.every((value) => value === 0))
    return bad('format', 'it says nothing but 0: the data line is at ground');
  const isPowerOn =
    Number(millidegrees) === POWER_ON_MILLIDEGREES &&
    values[POWER_ON_BYTE.index] === POWER_ON_BYTE.value;
  if (isPowerOn)
    return bad('format', 'it says 85 °C, as after power-on: its supply fails, check VDD and wires');
  const { index, mask } = THERMOCOUPLE_BIT;
  const isThermocouple = id.startsWith(THERMOCOUPLE_FAMILY) && ((values[index] ?? 0) & mask) !== 0;
  return judgeRange(Number(millidegrees), isThermocouple ? THERMOCOUPLE : CHIP);
}

function judgeRange(millidegrees: number, { millidegrees: [min, max], trouble }: Kind): Verdict {
  if (millidegrees >= min && millidegrees <= max)
    return { is: 'good', celsius: millidegrees / 1000 };
  return bad('format', `it says ${millidegrees / 1000} °C: ${trouble}`);
}
