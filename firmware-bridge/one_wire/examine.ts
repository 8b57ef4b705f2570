import { access, constants } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Finding } from '../../hub/core/finding.ts';
import { MACHINE, type MachineRoots } from '../../hub/machine/roots.ts';
import { findBuses, NO_SENSOR } from './bus.ts';
import type { OneWireFields } from './fields.ts';

const README = 'firmware-bridge/one_wire/README.md';
/** As many as people read on one line. */
const LISTED_MAX = 8;

/** What `holdfast doctor` says of the buses and sensors. Reads no sensor: that takes a second. */
export async function examine(
  options: OneWireFields,
  signal: AbortSignal,
  { sys, boot }: Pick<MachineRoots, 'sys' | 'boot'> = MACHINE,
): Promise<readonly Finding[]> {
  const buses = await findBuses(sys);
  if (buses.size === 0) {
    const remedy = `add \`dtoverlay=w1-gpio\` (GPIO 4) to ${join(boot, 'config.txt')} and reboot`;
    const detail = 'the kernel has no 1-Wire bus';
    return [{ severity: 'problem', subject: '1-Wire', detail, remedy }];
  }
  const findings: Finding[] = [];
  for (const [master, sensors] of buses) {
    if (signal.aborted) return findings;
    findings.push(foundOn(basename(master), sensors));
    const bulk = join(master, 'therm_bulk_read');
    // older kernels than 5.8 do not have it, and nothing helps
    const isSlow = sensors.length > 1 && (await exists(bulk)) && !(await mayWrite(bulk));
    if (isSlow) findings.push(slowly(master, sensors.length));
    const [first] = sensors;
    const resolution = first && join(master, first, 'resolution');
    if (options.resolution !== undefined && resolution && !(await mayWrite(resolution)))
      findings.push({
        severity: 'warning',
        subject: `1-Wire ${basename(master)}`,
        detail: `\`resolution\` cannot be set: ${resolution} may be written by root only`,
        remedy: `Add the udev rule of ${README}, and plug the sensors in again or reboot.`,
      });
  }
  const all = new Set([...buses.values()].flat());
  return [...findings, ...missing(options, all)];
}

function foundOn(master: string, sensors: readonly string[]): Finding {
  const subject = `1-Wire ${master}`;
  if (sensors.length === 0)
    return { severity: 'problem', subject, detail: 'no thermometer is on it', remedy: NO_SENSOR };
  const more = sensors.length > LISTED_MAX ? ', ...' : '';
  const list = sensors.slice(0, LISTED_MAX).join(', ');
  const plural = sensors.length === 1 ? '' : 's';
  const detail = `${sensors.length} thermometer${plural}: ${list}${more}`;
  return { severity: 'ok', subject, detail };
}

function slowly(master: string, count: number): Finding {
  return {
    severity: 'note',
    subject: `1-Wire ${basename(master)}`,
    detail: `the ${count} sensors convert one after the other, 0.8 s each`,
    remedy: `All at once needs the udev rule of ${README}, for ${join(master, 'therm_bulk_read')}.`,
  };
}

function missing({ sensors }: OneWireFields, all: ReadonlySet<string>): Finding[] {
  return sensors
    .filter(({ sensor }) => !all.has(sensor))
    .map(({ sensor, device }) => ({
      severity: 'problem',
      subject: `1-Wire ${device}`,
      detail: `${sensor} is on no bus`,
      remedy: 'Check its plug and its wires, and its id: `ls /sys/bus/w1/devices` shows all.',
    }));
}

const exists = (path: string) => hasAccess(path, constants.F_OK);
const mayWrite = (path: string) => hasAccess(path, constants.W_OK);

async function hasAccess(path: string, mode: number): Promise<boolean> {
  return await access(path, mode).then(
    () => true,
    () => false,
  );
}
