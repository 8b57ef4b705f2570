/** What a Raspberry Pi says of its supply. */
import type { MachineRoots } from '../../hub/machine/roots.ts';
import { readLowVoltage, readThrottling, type ThrottleFlags } from '../../hub/machine/throttled.ts';
import type { Values } from './values.ts';

export interface PowerParts {
  readonly roots: MachineRoots;
  /** The program of the firmware; another one in tests. */
  readonly vcgencmd: string;
}

export async function readPower(parts: PowerParts, signal: AbortSignal): Promise<Values> {
  const throttling = await readThrottling(parts.roots, signal, parts.vcgencmd);
  if (throttling === undefined) {
    const low = await readLowVoltage(parts.roots);
    return low === undefined ? [] : [['under_voltage', low]];
  }
  return [...flags(throttling.now, ''), ...flags(throttling.sinceBoot, '_since_boot')];
}

const flags = (of: ThrottleFlags, suffix: string): Values => [
  [`under_voltage${suffix}`, of.underVoltage],
  [`frequency_capped${suffix}`, of.frequencyCapped],
  [`throttled${suffix}`, of.throttled],
  [`temperature_limited${suffix}`, of.softTemperatureLimit],
];
