import { stat } from 'node:fs/promises';
import type { Finding } from '../../hub/core/finding.ts';
import { errorCodeOf } from '../../hub/machine/error-code.ts';
import { namesIn } from '../../hub/machine/read-fact.ts';
import { MACHINE, type MachineRoots } from '../../hub/machine/roots.ts';
import { onThread } from '../sampling/attribute.ts';
import type { SystemOptions } from './fields.ts';

/** What `holdfast doctor` says of what the configuration names; the rest it looks at itself. */
export async function examineSystem(
  { interfaces = [], disks }: SystemOptions,
  signal: AbortSignal,
  { sys }: MachineRoots = MACHINE,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const all = await namesIn(sys, 'class', 'net');
  for (const name of interfaces) {
    if (all.includes(name)) continue;
    const detail = `there is no network interface ${name}`;
    const remedy = `correct \`interfaces\`, or plug it in; there are ${all.join(', ')}`;
    findings.push({ severity: 'warning', subject: name, detail, remedy });
  }
  for (const { path } of disks) {
    try {
      await onThread(path, signal, () => stat(path));
    } catch (error) {
      const detail = `${path} cannot be looked at (${errorCodeOf(error)})`;
      const remedy = 'correct `disks`, or mount it';
      findings.push({ severity: 'problem', subject: path, detail, remedy });
    }
  }
  if (findings.length > 0) return findings;
  return [{ severity: 'ok', subject: 'system', detail: 'everything that is named is there' }];
}
