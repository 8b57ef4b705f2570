import { processIds } from '../../hub/machine/processes.ts';
import { readFact } from '../../hub/machine/read-fact.ts';
import { MACHINE } from '../../hub/machine/roots.ts';

/** `pid (name) state ppid pgrp`; a name may hold anything, so the last bracket counts. */
const STAT = /^\d+ \(.*\) (?<state>\S) \d+ (?<group>\d+) /s;

/**
 * Whether any process of the group is left that still does something, such as one that the kernel
 * holds and not even SIGKILL ends yet. One that has ended and that nobody has asked for, as in a
 * container without an init, is none.
 */
export async function isGroupAlive(group: number): Promise<boolean> {
  try {
    process.kill(-group, 0);
  } catch {
    return false;
  }
  for (const pid of await processIds(MACHINE)) {
    const { groups } = STAT.exec((await readFact(MACHINE.proc, `${pid}`, 'stat')) ?? '') ?? {};
    if (groups?.['group'] === `${group}` && groups['state'] !== 'Z') return true;
  }
  return false;
}

/** Takes effect at once, except on what the kernel holds. */
export function endGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // none of it is left
  }
}
