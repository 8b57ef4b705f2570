import type { Stats } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { errorCodeOf } from './error-code.ts';
import { MACHINE, type MachineRoots } from './roots.ts';
import { groupName, isListedIn, type MachineUser } from './user.ts';

/** Whether a user may read and write a device. The texts follow its name. */
export type DeviceAccess =
  | { readonly kind: 'allowed' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'denied'; readonly detail: string; readonly remedy: string };

const READ_WRITE_BITS = 0o6;

/**
 * Looks without opening: some devices do something when they are opened. `usualGroup` is the group
 * that such devices have where somebody has thought of it: `dialout`, `gpio`, `i2c`.
 */
export async function deviceAccess(
  path: string,
  usualGroup: string,
  user: MachineUser,
  roots: MachineRoots = MACHINE,
): Promise<DeviceAccess> {
  let facts: Stats;
  try {
    facts = await stat(path);
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return { kind: 'absent' };
    const detail = `cannot be looked at by ${user.name} (${errorCodeOf(error)})`;
    return { kind: 'denied', detail, remedy: `Run this as the user of the hub: ls -lL ${path}` };
  }
  if (bitsAllow(facts, user) || (await listsAllow(path, user))) return { kind: 'allowed' };
  return await denial(path, facts, usualGroup, user, roots);
}

function bitsAllow({ mode, uid, gid }: Stats, user: MachineUser): boolean {
  if (user.uid === 0) return true;
  const shift = uid === user.uid ? 6 : user.groupIds.includes(gid) ? 3 : 0;
  return ((mode >> shift) & READ_WRITE_BITS) === READ_WRITE_BITS;
}

/** An access control list may give more than the mode shows; only the kernel knows it. */
async function listsAllow(path: string, user: MachineUser): Promise<boolean> {
  if (process.geteuid?.() !== user.uid) return false;
  return await access(path, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}

async function denial(
  path: string,
  { mode, gid }: Stats,
  usualGroup: string,
  user: MachineUser,
  roots: MachineRoots,
): Promise<DeviceAccess> {
  const group = await groupName(gid, roots);
  const groupMay = ((mode >> 3) & READ_WRITE_BITS) === READ_WRITE_BITS;
  if (!groupMay || gid === 0 || group === undefined) {
    const rule = `KERNEL=="${basename(path)}", GROUP="${usualGroup}", MODE="0660"`;
    const file = '/etc/udev/rules.d/90-holdfast.rules';
    const remedy =
      `sudo groupadd -f ${usualGroup} && sudo usermod -aG ${usualGroup} ${user.name} && ` +
      `echo '${rule}' | sudo tee -a ${file} && sudo udevadm control --reload && ` +
      'sudo udevadm trigger, then log in again';
    return { kind: 'denied', detail: `${user.name} may not open it: only root may`, remedy };
  }
  const detail = `${user.name} may not open it: it belongs to the group ${group}`;
  if (await isListedIn(group, user.name, roots)) {
    const remedy =
      `${user.name} is in ${group} already, but was not when this session began: log in again, ` +
      'or restart the service';
    return { kind: 'denied', detail, remedy };
  }
  const remedy =
    `sudo usermod -aG ${group} ${user.name}, then log in again ` +
    `(a service of systemd: SupplementaryGroups=${group})`;
  return { kind: 'denied', detail, remedy };
}
