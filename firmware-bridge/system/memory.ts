import { readFact } from '../../hub/machine/read-fact.ts';
import type { MachineRoots } from '../../hub/machine/roots.ts';
import { pressure, rounded, type Values } from './values.ts';

const KIB = 1024;
const PERCENT = 100;

export async function readMemory({ proc }: MachineRoots): Promise<Values> {
  const text = (await readFact(proc, 'meminfo')) ?? '';
  const bytes = (name: string): number | undefined => {
    const [, kib] = new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(text) ?? [];
    return kib === undefined ? undefined : Number(kib) * KIB;
  };
  const total = bytes('MemTotal');
  const available = bytes('MemAvailable');
  const swap = bytes('SwapTotal');
  const swapFree = bytes('SwapFree');
  const use =
    total === undefined || available === undefined
      ? undefined
      : (PERCENT * (total - available)) / total;
  return [
    ...rounded('memory_total', total, 0),
    ...rounded('memory_available', available, 0),
    ...rounded('memory_use', use, 1),
    ...rounded('swap_total', swap, 0),
    ...rounded('swap_used', swap === undefined ? undefined : swap - (swapFree ?? swap), 0),
    ...(await pressure(proc, 'memory')),
  ];
}
