import { isHub, type ProcessFacts, processFacts, processIds } from '../machine/processes.ts';
import type { MachineRoots } from '../machine/roots.ts';

/** The hub that has this data directory open. Asked for once. */
export type RunningHub = () => Promise<ProcessFacts | undefined>;

/**
 * `lockHolder` is who has the log locked. Where this user may not even look into the data
 * directory, the only hub of this machine is taken for it.
 */
export function findRunningHub(
  lockHolder: () => Promise<number | undefined>,
  maySeeLock: () => Promise<boolean>,
  roots: MachineRoots,
): RunningHub {
  let asked: Promise<ProcessFacts | undefined> | undefined;
  async function ask(): Promise<ProcessFacts | undefined> {
    const pid = await lockHolder();
    if (pid !== undefined) return await processFacts(pid, roots);
    if (await maySeeLock()) return undefined;
    const hubs: ProcessFacts[] = [];
    for (const candidate of await processIds(roots)) {
      const facts = await processFacts(candidate, roots);
      if (facts && isHub(facts)) hubs.push(facts);
    }
    return hubs.length === 1 ? hubs[0] : undefined;
  }
  return () => {
    asked ??= ask();
    return asked;
  };
}
