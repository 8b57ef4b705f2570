import { realpath, stat } from 'node:fs/promises';
import { describeError, HubError } from '../../hub/core/errors.ts';
import { deviceAccess } from '../../hub/machine/device-access.ts';
import { thisUser } from '../../hub/machine/user.ts';

/** What was unplugged is looked for this often: a second, so that it is back within five. */
export const RETRY_DELAY_MS = 1_000;
/** Group of serial ports in Debian. */
const GROUP = 'dialout';

/** BRIDGE_LOST that is tried again soon, however often it failed. */
export function lost(problem: string, cause?: unknown): HubError {
  return new HubError('BRIDGE_LOST', problem, { cause, retryAfterMs: RETRY_DELAY_MS });
}

/** BRIDGE_LOST for a port that could not be opened: names it, and says what to do. */
export async function openError(path: string, error: Error, baudRate: number): Promise<HubError> {
  const text = describeError(error).replace(/^Error:? /, '');
  if (/permission denied/i.test(text)) return lost(await permissionProblem(path));
  if (/cannot lock|busy/i.test(text))
    return lost(
      `${path} is used by another program: \`sudo fuser -v ${path}\` shows which; stop it`,
    );
  if (/no such (file|device)/i.test(text)) return lost(`${path} is gone: is it plugged in?`);
  if (/inappropriate ioctl|is a directory/i.test(text)) return lost(noPort(path));
  if (/baud/i.test(text))
    return lost(`${path} does not take baud_rate ${baudRate}; set one that it has: ${text}`);
  return lost(`cannot open ${path}: ${text}; \`holdfast doctor\` looks for the cause`);
}

function noPort(path: string): string {
  return `${path} is no serial port: correct \`port\`, \`ls /dev/serial/by-id\` shows all`;
}

async function permissionProblem(path: string): Promise<string> {
  const real = await realpath(path).catch(() => path);
  const facts = await stat(real).catch(() => undefined);
  if (facts && !facts.isCharacterDevice()) return noPort(path);
  const access = await deviceAccess(real, GROUP, await thisUser());
  if (access.kind === 'denied')
    return `no permission for ${path}: ${access.detail}: ${access.remedy}`;
  return `no permission for ${path}: it was given meanwhile, or a sandbox denies it (DeviceAllow)`;
}
