import type { Finding } from '../../hub/core/finding.ts';
import { MACHINE, type MachineRoots } from '../../hub/machine/roots.ts';
import { absentFinding, serialPortFindings } from '../../hub/machine/serial-port.ts';
import { findPort, type PortChoice } from '../port/find-port.ts';

/** What `holdfast doctor` says of the port of a serial bridge. */
export async function examineSerial(
  choice: PortChoice,
  signal: AbortSignal,
  roots: MachineRoots = MACHINE,
): Promise<readonly Finding[]> {
  const found = await findPort(choice, roots);
  const subject = choice.port ?? `usb ${choice.usb?.vendor_id ?? ''}`;
  if (found.kind === 'found') return await serialPortFindings(found.path, subject, signal, roots);
  if (choice.port !== undefined && !choice.usb)
    return [await absentFinding(choice.port, subject, roots)];
  const { problem, remedy } = found;
  return [{ severity: 'problem', subject, detail: problem, remedy }];
}
