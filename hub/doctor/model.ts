import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readFact } from '../machine/read-fact.ts';
import type { MachineRoots } from '../machine/roots.ts';

/** `Raspberry Pi 4 Model B Rev 1.5`; undefined where there is no device tree. */
export async function boardModel({ proc }: MachineRoots): Promise<string | undefined> {
  return await readFact(proc, 'device-tree', 'model');
}

export async function isRaspberryPi(roots: MachineRoots): Promise<boolean> {
  return (await boardModel(roots))?.startsWith('Raspberry Pi') ?? false;
}

/** A cell of 32 bits of the device tree, as the firmware has filled it in. */
export async function deviceTreeCell(
  { proc }: MachineRoots,
  ...path: readonly string[]
): Promise<number | undefined> {
  try {
    const bytes = await readFile(join(proc, 'device-tree', ...path));
    return bytes.length === 4 ? bytes.readUInt32BE() : undefined;
  } catch {
    return undefined; // other boards have no such node
  }
}
