import { join } from 'node:path';
import { askProgram } from './ask-program.ts';
import { namesIn, readFact, readNumber } from './read-fact.ts';
import type { MachineRoots } from './roots.ts';

/** Bits of the firmware's answer: what is now, and 16 higher what has been since the boot. */
const UNDER_VOLTAGE = 1 << 0;
const FREQUENCY_CAPPED = 1 << 1;
const THROTTLED = 1 << 2;
const SOFT_TEMPERATURE_LIMIT = 1 << 3;
const SINCE_BOOT_SHIFT = 16;

/** Why a Raspberry Pi runs slower than it could. */
export interface ThrottleFlags {
  readonly underVoltage: boolean;
  readonly frequencyCapped: boolean;
  readonly throttled: boolean;
  readonly softTemperatureLimit: boolean;
}

export interface Throttling {
  readonly now: ThrottleFlags;
  readonly sinceBoot: ThrottleFlags;
}

/** `50005` as sysfs has it, `throttled=0x50005` as vcgencmd prints it; else undefined. */
export function parseThrottled(text: string): Throttling | undefined {
  const digits = /^(?:throttled=)?(?:0x)?([0-9a-f]{1,8})$/i.exec(text.trim())?.[1];
  if (digits === undefined) return undefined;
  const bits = Number.parseInt(digits, 16);
  return { now: flagsOf(bits), sinceBoot: flagsOf(bits >>> SINCE_BOOT_SHIFT) };
}

function flagsOf(bits: number): ThrottleFlags {
  return {
    underVoltage: (bits & UNDER_VOLTAGE) !== 0,
    frequencyCapped: (bits & FREQUENCY_CAPPED) !== 0,
    throttled: (bits & THROTTLED) !== 0,
    softTemperatureLimit: (bits & SOFT_TEMPERATURE_LIMIT) !== 0,
  };
}

/**
 * What the firmware says of power and temperature: from sysfs where the kernel is Raspberry Pi's,
 * else from vcgencmd. Undefined where neither can tell.
 */
export async function readThrottling(
  roots: Pick<MachineRoots, 'sys'>,
  signal: AbortSignal,
  vcgencmd = 'vcgencmd',
): Promise<Throttling | undefined> {
  const shown = await readShownThrottling(roots);
  if (shown) return shown;
  const printed = await askProgram(vcgencmd, ['get_throttled'], signal);
  return printed.outcome === 'printed' ? parseThrottled(printed.text) : undefined;
}

/**
 * Whether the supply gives too little now, by a file that costs nothing to read: the firmware's or
 * the alarm of the kernel's driver, which forgets at each of its looks, every 2 s. Undefined where
 * there is none.
 */
export async function readLowVoltage(
  roots: Pick<MachineRoots, 'sys'>,
): Promise<boolean | undefined> {
  const shown = await readShownThrottling(roots);
  if (shown) return shown.now.underVoltage;
  const folder = join(roots.sys, 'class', 'hwmon');
  for (const name of await namesIn(folder)) {
    if ((await readFact(folder, name, 'name')) !== 'rpi_volt') continue;
    const alarm = await readNumber(folder, name, 'in0_lcrit_alarm');
    if (alarm !== undefined) return alarm !== 0;
  }
  return undefined;
}

async function readShownThrottling({
  sys,
}: Pick<MachineRoots, 'sys'>): Promise<Throttling | undefined> {
  // the driver's folder links to its device, whose own path differs between models and kernels
  const driver = join(sys, 'bus', 'platform', 'drivers', 'raspberrypi-firmware');
  for (const device of await namesIn(driver)) {
    const throttling = parseThrottled((await readFact(driver, device, 'get_throttled')) ?? '');
    if (throttling) return throttling;
  }
  return undefined;
}
