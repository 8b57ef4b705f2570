import type { Finding } from '../core/finding.ts';
import type { MachineRoots } from '../machine/roots.ts';
import { readLowVoltage, readThrottling } from '../machine/throttled.ts';
import type { Examination } from './examination.ts';
import { deviceTreeCell } from './model.ts';

/** A Pi 5 that was promised less gives its USB ports 600 mA together. */
const PI5_CURRENT_MA = 5_000;
const SUPPLY =
  'use the official supply with its own short cable, and an own supply for USB devices that need much';

/** Under-voltage is the first cause of broken cards: writes that the card only believes it made. */
export function power(roots: MachineRoots, vcgencmd?: string): Examination {
  return {
    subject: 'power',
    async examine(signal) {
      const findings = [...(await voltage(roots, signal, vcgencmd)), ...(await usbCurrent(roots))];
      if (findings.length > 0) return findings;
      const detail = 'nothing here tells about the supply';
      return [{ severity: 'unknown', subject: 'power', detail }];
    },
  };
}

async function voltage(
  roots: MachineRoots,
  signal: AbortSignal,
  vcgencmd?: string,
): Promise<readonly Finding[]> {
  const subject = 'power';
  const throttling = await readThrottling(roots, signal, vcgencmd);
  const { now, sinceBoot } = throttling ?? {};
  const isLow = now?.underVoltage ?? (await readLowVoltage(roots));
  if (isLow) {
    const detail = 'under-voltage now: the supply gives less than 4.63 V';
    return [{ severity: 'problem', subject, detail, remedy: SUPPLY }];
  }
  if (sinceBoot?.underVoltage) {
    const detail = 'under-voltage since the start of the machine, not now';
    return [{ severity: 'warning', subject, detail, remedy: SUPPLY }];
  }
  if (sinceBoot?.throttled || sinceBoot?.frequencyCapped || sinceBoot?.softTemperatureLimit) {
    const when = now?.throttled || now?.frequencyCapped || now?.softTemperatureLimit;
    const detail = `the processor ${when ? 'is' : 'has been'} slowed down by its temperature`;
    const remedy = 'give it air: a heat sink, a fan, or a case with openings';
    return [{ severity: when ? 'warning' : 'note', subject, detail, remedy }];
  }
  if (throttling)
    return [{ severity: 'ok', subject, detail: 'no under-voltage since the start of the machine' }];
  if (isLow === undefined) return [];
  return [{ severity: 'ok', subject, detail: 'no under-voltage now' }];
}

/** What the supply of a Pi 5 has promised, from the firmware: a cell of 32 bits. */
async function usbCurrent(roots: MachineRoots): Promise<readonly Finding[]> {
  const promised = await deviceTreeCell(roots, 'chosen', 'power', 'max_current');
  if (promised === undefined || promised >= PI5_CURRENT_MA) return [];
  const detail = `the supply promises ${promised / 1000} A of 5 A: USB devices get 600 mA together`;
  const remedy =
    'use a 27 W supply, or usb_max_current_enable=1 in config.txt when the supply is strong enough';
  return [{ severity: 'note', subject: 'power', detail, remedy }];
}
