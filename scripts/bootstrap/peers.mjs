import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { runQuiet } from './child.mjs';
import { say, step } from './step.mjs';

/** Servers and programs that tests/peers meets, with the Debian package that brings each. */
export const PEERS = {
  mosquitto: 'mosquitto',
  mosquitto_pub: 'mosquitto-clients',
  'victoria-metrics': 'victoria-metrics',
  chromium: 'chromium',
  faketime: 'faketime',
};

/** The same for tests/power-cut. User-mode Linux exists for no other processor. */
export const POWER_CUT_TOOLS = {
  ...(process.arch === 'x64' ? { 'linux.uml': 'user-mode-linux' } : {}),
  'qemu-storage-daemon': 'qemu-system-common',
  gcc: 'gcc libc6-dev',
  mke2fs: 'e2fsprogs',
  losetup: 'mount',
};

/** The same for tests/pi-vm. Its guest has the processor of the hosts that tests run on. */
export const PI_VM_TOOLS =
  process.arch === 'x64' ? { 'qemu-system-x86_64': 'qemu-system-x86' } : {};

/** Debian puts servers where the PATH of a plain user does not look. */
const FURTHER_FOLDERS = ['/usr/sbin', '/usr/local/sbin'];

function isInstalled(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...FURTHER_FOLDERS];
  return folders.some((folder) => existsSync(join(folder, program)));
}

/**
 * Installs what is missing of `programs` (with their packages) where that is possible. Where it is
 * not, the tests say what they skip.
 */
export async function findPeers(programs) {
  const missing = Object.keys(programs).filter((program) => !isInstalled(program));
  if (missing.length === 0) return;
  const packages = missing.flatMap((program) => programs[program].split(' '));
  const command = `apt-get install ${packages.join(' ')}`;
  if (process.getuid?.() !== 0 || !isInstalled('apt-get')) {
    say(`missing: ${missing.join(', ')}; their tests are skipped. To have them: ${command}`);
    return;
  }
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await step(command, async () => {
    await runQuiet('apt-get', ['update'], { env });
    await runQuiet('apt-get', ['install', '-y', '--no-install-recommends', ...packages], { env });
  });
}
