/**
 * What a sensor of w1_therm said, and whether it can be believed. Three values are no temperature,
 * and each is a possible one as well:
 * - 85 °C is in the sensor from power-on until its first conversion: its supply fails;
 * - 0 °C with nothing but zero bytes is a data line at ground, of which even the checksum is right;
 * - 127.94 and -127 °C are out of range: a conversion without enough current, or nobody there.
 * The bytes of the sensor (`w1_slave`) tell them apart, the value alone does not.
 */
import type { BadFrameReason } from '../../hub/core/bridge.ts';

export type Verdict =
  | { readonly is: 'good'; readonly celsius: number }
  /** To be told apart with the bytes of the sensor. */
  | { readonly is: 'suspect'; readonly celsius: number }
  | { readonly is: 'bad'; readonly reason: BadFrameReason; readonly why: string };

const MIN_MILLIDEGREES = -55_000;
const MAX_MILLIDEGREES = 125_000;
const POWER_ON_MILLIDEGREES = 85_000;
/** The byte that a conversion changes, in a sensor which has made none since power-on. */
const POWER_ON_BYTE = { index: 6, value: 0x0c };
const SCRATCHPAD = /^((?:[0-9a-f]{2} ){9}): crc=[0-9a-f]{2} (YES|NO)\s/;
const MILLIDEGREES = /\bt=(-?\d+)\s*$/;

const bad = (reason: BadFrameReason, why: string): Verdict => ({ is: 'bad', reason, why });

/** What `temperature` holds: millidegrees. */
export function judgeTemperature(text: string): Verdict {
  if (!/^-?\d+$/.test(text)) return bad('format', `\`${text.slice(0, 32)}\` is no temperature`);
  const millidegrees = Number(text);
  const verdict = judgeRange(millidegrees);
  if (verdict.is !== 'good') return verdict;
  const isSuspect = millidegrees === POWER_ON_MILLIDEGREES || millidegrees === 0;
  return isSuspect ? { ...verdict, is: 'suspect' } : verdict;
}

/** What `w1_slave` holds: the nine bytes of the sensor, twice, and millidegrees. */
export function judgeScratchpad(text: string): Verdict {
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
  return judgeRange(Number(millidegrees));
}

function judgeRange(millidegrees: number): Verdict {
  if (millidegrees >= MIN_MILLIDEGREES && millidegrees <= MAX_MILLIDEGREES)
    return { is: 'good', celsius: millidegrees / 1000 };
  return bad(
    'format',
    `it says ${millidegrees / 1000} °C: its supply is too weak, or it is broken`,
  );
}
