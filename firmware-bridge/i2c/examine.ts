import type { Finding } from '../../hub/core/finding.ts';
import { askProgram } from '../../hub/machine/ask-program.ts';
import { findProgram } from '../child/start-problem.ts';
import { driverAt, findBus, type Surroundings, THIS_MACHINE, takenBy } from './adapter.ts';
import type { I2cFields } from './fields.ts';
import { toolPath } from './tool-shell.ts';

/**
 * What `holdfast doctor` says of a bus and the addresses on it. Sends nothing over the bus: for
 * some devices even being asked whether they are there is an instruction.
 */
export async function examineBus(
  { bus: wanted, devices }: I2cFields,
  signal: AbortSignal,
  around: Surroundings = THIS_MACHINE,
): Promise<readonly Finding[]> {
  const { roots } = around;
  const found = await findBus(wanted, roots);
  const tools = await examineTools(around, signal);
  if (found.is === 'unusable') {
    const subject = typeof wanted === 'number' ? `i2c-${wanted}` : wanted;
    return [
      { severity: 'problem', subject, detail: found.problem, remedy: found.remedy },
      ...tools,
    ];
  }
  const { adapter, path } = found;
  const findings: Finding[] = [
    { severity: 'ok', subject: `i2c ${path}`, detail: `${path} (${adapter.name}) can be used` },
    ...tools,
  ];
  for (const { device, address } of devices) {
    const driver = await driverAt(roots, adapter.number, address);
    if (driver === undefined) continue;
    const { problem, remedy } = takenBy(driver, adapter.number, address);
    const subject = `i2c ${path} 0x${address.toString(16)}`;
    findings.push({ severity: 'problem', subject, detail: `${device}: ${problem}`, remedy });
  }
  return findings;
}

/** Only when they will not do they are worth a line. */
async function examineTools({ env }: Surroundings, signal: AbortSignal): Promise<Finding[]> {
  const subject = 'program i2ctransfer';
  const remedy = 'sudo apt install i2c-tools';
  const path = env['PATH'] ?? toolPath();
  const found = await findProgram({ command: 'i2ctransfer', cwd: undefined, path });
  if (!('file' in found)) return [{ severity: 'problem', subject, detail: found.problem, remedy }];
  const version = await askProgram(found.file, ['-V'], signal);
  if (version.outcome === 'printed') return [];
  const detail = `${found.file} is not that of i2c-tools (BusyBox has one that will not do)`;
  return [{ severity: 'problem', subject, detail, remedy }];
}
