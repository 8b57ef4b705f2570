import { chmod, chown, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import type { MachineRoots } from '../../hub/machine/roots.ts';
import type { MachineUser } from '../../hub/machine/user.ts';
import { afterTest } from './after-test.ts';

/** What is in a file; where a link points to; or a device, with its mode. */
export type Entry = string | Buffer | { readonly link: string } | { readonly mode: number };

/** Path under the root of the tree, and what is there. */
export type Tree = Readonly<Record<string, Entry>>;

/** Somebody who is not the user of the test, in no group that counts. */
export const PI_USER: MachineUser = { uid: 4_242, name: 'pi', groupIds: [4_242] };
/** The group of devices in the tree: this process may give files to no other. */
export const DEVICE_GID = process.getegid?.() || 20;

export const IN_GROUP: MachineUser = { ...PI_USER, groupIds: [4_242, DEVICE_GID] };

const ETC: Tree = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/bash\npi:x:4242:4242::/home/pi:/bin/bash\n',
  'etc/group': `root:x:0:\ndialout:x:${DEVICE_GID}:\npi:x:4242:\n`,
};

const MOUNTS =
  '22 27 0:21 / /proc rw,relatime - proc proc rw\n' +
  '27 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n' +
  '31 27 179:1 / /boot/firmware rw,relatime - vfat /dev/mmcblk0p1 rw,fmask=0022\n';

const MEMORY_1_GB =
  'MemTotal:         948280 kB\nMemFree:          212344 kB\nMemAvailable:     624116 kB\n';

const COMMON: Tree = {
  ...ETC,
  'proc/meminfo': MEMORY_1_GB,
  'proc/self/mountinfo': MOUNTS,
  'proc/self/cgroup': '0::/user.slice/user-1000.slice/session-3.scope\n',
  'proc/self/limits': 'Max open files            1048576              1048576              files\n',
  'proc/self/status': 'Name:\tnode\nCapEff:\t0000000000000000\n',
  'proc/swaps': 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n',
  'proc/net/tcp': '  sl  local_address rem_address   st\n',
  'proc/net/tcp6': '  sl  local_address rem_address   st\n',
  'boot/firmware/cmdline.txt': 'console=tty1 root=PARTUUID=4c4e106f-02 rootfstype=ext4 rootwait\n',
};

/** A Pi 4 with Raspberry Pi OS trixie, all in order, without a battery clock. */
export const PI_4: Tree = {
  ...COMMON,
  'proc/device-tree/model': 'Raspberry Pi 4 Model B Rev 1.5\0',
  'proc/cmdline':
    'coherent_pool=1M 8250.nr_uarts=1 console=tty1 root=PARTUUID=4c4e106f-02 rootwait',
  'sys/devices/platform/soc/soc:firmware/get_throttled': '0\n',
  'sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware': {
    link: 'sys/devices/platform/soc/soc:firmware',
  },
  'sys/class/thermal/thermal_zone0/type': 'cpu-thermal\n',
  'sys/class/thermal/thermal_zone0/temp': '48199\n',
  'sys/devices/platform/emmc2bus/fe340000.mmc/block/mmcblk0/device/type': 'SD\n',
  'sys/devices/platform/emmc2bus/fe340000.mmc/block/mmcblk0/mmcblk0p2/partition': '2\n',
  'sys/dev/block/179:2': {
    link: 'sys/devices/platform/emmc2bus/fe340000.mmc/block/mmcblk0/mmcblk0p2',
  },
  'sys/fs/ext4/mmcblk0p2/errors_count': '0\n',
  'sys/devices/platform/soc/fe200000.gpio/gpiochip0/dev': '254:0\n',
  'sys/bus/gpio/devices/gpiochip0': { link: 'sys/devices/platform/soc/fe200000.gpio/gpiochip0' },
  'sys/class/gpio/gpiochip512/label': 'pinctrl-bcm2711\n',
  'sys/class/gpio/gpiochip512/device': { link: 'sys/devices/platform/soc/fe200000.gpio' },
  'dev/gpiochip0': { mode: 0o660 },
  'dev/ttyAMA0': { mode: 0o660 },
  'dev/ttyS0': { mode: 0o660 },
  'dev/serial0': { link: 'dev/ttyS0' },
  'sys/class/tty/ttyAMA0/type': '32\n',
  'sys/class/tty/ttyS0/type': '3\n',
  'sys/class/tty/ttyS1/type': '0\n',
};

/** A Pi 5 with its battery clock, on a kernel with the RP1. */
export const PI_5: Tree = {
  ...COMMON,
  'proc/device-tree/model': 'Raspberry Pi 5 Model B Rev 1.0\0',
  'proc/device-tree/chosen/power/max_current': Buffer.from([0, 0, 0x13, 0x88]),
  'proc/cmdline': 'reboot=w coherent_pool=1M pci=pcie_bus_safe console=tty1 rootwait',
  'sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled': '0\n',
  'sys/bus/platform/drivers/raspberrypi-firmware/soc@107c000000:firmware': {
    link: 'sys/devices/platform/soc@107c000000/soc@107c000000:firmware',
  },
  'sys/class/thermal/thermal_zone0/type': 'cpu-thermal\n',
  'sys/class/thermal/thermal_zone0/temp': '55650\n',
  'sys/class/rtc/rtc0/name': 'rpi-rtc soc@107c000000:rpi_rtc\n',
  'sys/class/rtc/rtc0/since_epoch': `${Math.round(Date.now() / 1000)}\n`,
  'dev/gpiochip0': { mode: 0o660 },
  'dev/ttyAMA10': { mode: 0o660 },
  'sys/class/tty/ttyAMA10/type': '32\n',
};

/** Lays out a machine in a folder of its own, removed after the test. */
export async function layOut(t: TestContext, tree: Tree): Promise<MachineRoots> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'holdfast-pi-')));
  afterTest(t, () => rm(root, { recursive: true }));
  const roots = rootsIn(root);
  for (const folder of Object.values(roots)) await mkdir(folder, { recursive: true });
  for (const [path, entry] of Object.entries(tree)) await place(root, path, entry);
  return roots;
}

/** Adds to a tree that is laid out. */
export async function place(root: string, path: string, entry: Entry): Promise<void> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  if (typeof entry === 'string' || Buffer.isBuffer(entry)) await writeFile(file, entry);
  else if ('link' in entry)
    await symlink(entry.link.includes('[') ? entry.link : join(root, entry.link), file);
  else {
    await writeFile(file, '');
    await chmod(file, entry.mode); // whatever the umask is
    if (process.getuid?.() === 0) await chown(file, 0, DEVICE_GID);
  }
}

function rootsIn(root: string): MachineRoots {
  return {
    root,
    sys: join(root, 'sys'),
    proc: join(root, 'proc'),
    dev: join(root, 'dev'),
    etc: join(root, 'etc'),
    run: join(root, 'run'),
    boot: join(root, 'boot/firmware'),
  };
}

/** A process of a tree, as everybody may see it. */
export function processTree(
  pid: number,
  name: string,
  command: string,
  { uid = 0, open = [] }: { uid?: number; open?: readonly string[] } = {},
): Tree {
  const links = open.map((link, index) => [`proc/${pid}/fd/${index + 3}`, { link }] as const);
  return {
    [`proc/${pid}/comm`]: `${name}\n`,
    [`proc/${pid}/cmdline`]: command.replaceAll(' ', '\0'),
    [`proc/${pid}/status`]: `Name:\t${name}\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\n`,
    ...Object.fromEntries(links),
  };
}
