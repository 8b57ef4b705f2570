import { join } from 'node:path';
import { readFact } from './read-fact.ts';
import { MACHINE, type MachineRoots } from './roots.ts';

/** Who may or may not open something. */
export interface MachineUser {
  readonly uid: number;
  readonly name: string;
  /** Groups of this process. */
  readonly groupIds: readonly number[];
}

/** The user of this process; root, with no groups, where there are no users. */
export async function thisUser(roots: MachineRoots = MACHINE): Promise<MachineUser> {
  const uid = process.geteuid?.() ?? 0;
  const gid = process.getegid?.() ?? 0;
  const groupIds = [...new Set([gid, ...(process.getgroups?.() ?? [])])];
  return { uid, name: await userName(uid, roots), groupIds };
}

/** Name of a user id, or the id itself. */
export async function userName(uid: number, roots: MachineRoots = MACHINE): Promise<string> {
  return (await nameOf('passwd', uid, roots)) ?? `uid ${uid}`;
}

/** Name of a group id; undefined when it has none. */
export async function groupName(
  gid: number,
  roots: MachineRoots = MACHINE,
): Promise<string | undefined> {
  return await nameOf('group', gid, roots);
}

/** Whether the list of groups has this user in a group, whatever this process may have of it. */
export async function isListedIn(group: string, user: string, roots: MachineRoots = MACHINE) {
  const line = (await linesOf('group', roots)).find(([name]) => name === group);
  return line?.[3]?.split(',').includes(user) ?? false;
}

/** Both files begin with `name:password:id`. */
async function nameOf(file: 'passwd' | 'group', id: number, roots: MachineRoots) {
  return (await linesOf(file, roots)).find((fields) => fields[2] === String(id))?.[0];
}

async function linesOf(file: 'passwd' | 'group', { etc }: MachineRoots) {
  const text = (await readFact(join(etc, file))) ?? '';
  return text.split('\n').map((line) => line.split(':'));
}
