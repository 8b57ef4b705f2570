import type { Finding } from '../../hub/core/finding.ts';
import type { MachineRoots } from '../../hub/machine/roots.ts';
import { examineChips } from '../sampling/chip/examine-chips.ts';
import type { ChipsFields } from '../sampling/chip/fields.ts';
import { IIO } from './kind.ts';

/** What `holdfast doctor` says of the chips of an iio bridge. */
export async function examine(
  options: ChipsFields,
  signal: AbortSignal,
  roots?: Pick<MachineRoots, 'sys'>,
): Promise<readonly Finding[]> {
  return await examineChips(IIO, options, signal, roots);
}
