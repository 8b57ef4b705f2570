/** What sysfs says of the busses of this machine. */
import { readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { deviceAccess } from '../../hub/machine/device-access.ts';
import { namesIn, readFact } from '../../hub/machine/read-fact.ts';
import { MACHINE, type MachineRoots } from '../../hub/machine/roots.ts';
import { thisUser } from '../../hub/machine/user.ts';

/** Where the machine is looked at; other folders and tools in tests. */
export interface Surroundings {
  readonly roots: MachineRoots;
  /** What the tools are told besides. */
  readonly env: Readonly<Record<string, string>>;
}

export const THIS_MACHINE: Surroundings = { roots: MACHINE, env: {} };

export interface Adapter {
  readonly number: number;
  /** As its driver calls it, such as `bcm2835 (i2c@7e804000)`. */
  readonly name: string;
}

/** Busses are some dozens at most; a machine with more has a mistake in its device tree. */
const ADAPTERS_MAX = 256;
const NAMED_MAX = 8;

/** The busses that the kernel has, ascending; none when it has none. */
export async function adaptersOf({ sys }: MachineRoots): Promise<readonly Adapter[]> {
  const folder = join(sys, 'bus', 'i2c', 'devices');
  const numbers = (await namesIn(folder)).flatMap((name) => {
    const [, digits] = /^i2c-(\d+)$/.exec(name) ?? [];
    return digits === undefined ? [] : [Number(digits)];
  });
  return await Promise.all(
    numbers.slice(0, ADAPTERS_MAX).map(async (number) => {
      return { number, name: (await readFact(folder, `i2c-${number}`, 'name')) ?? '' };
    }),
  );
}

export type FoundBus =
  | { readonly is: 'found'; readonly adapter: Adapter; readonly path: string }
  | { readonly is: 'unusable'; readonly problem: string; readonly remedy: string };

const ENABLE =
  'switch it on: `sudo raspi-config nonint do_i2c 0`, or `dtparam=i2c_arm=on` in ' +
  '/boot/firmware/config.txt and a reboot';
const LOAD =
  'load the module: `sudo modprobe i2c-dev`, and for every start ' +
  '`echo i2c-dev | sudo tee /etc/modules-load.d/i2c.conf`';

/** The bus of the configuration, by its number or by the name of its adapter. */
export async function findBus(wanted: number | string, roots: MachineRoots): Promise<FoundBus> {
  const adapters = await adaptersOf(roots);
  const unusable = (problem: string, remedy: string) =>
    ({ is: 'unusable', problem, remedy }) as const;
  const label = typeof wanted === 'number' ? `i2c-${wanted}` : `\`${wanted}\``;
  const [adapter, second] = adapters.filter(
    ({ number, name }) => number === wanted || name === wanted,
  );
  if (adapter === undefined)
    return unusable(
      `there is no I2C bus ${label}; ${listed(adapters)}`,
      adapters.length === 0 ? ENABLE : `write one of them as \`bus\`, or ${ENABLE}`,
    );
  if (second !== undefined)
    return unusable(
      `i2c-${adapter.number} and i2c-${second.number} both have the name ${label}`,
      'write the number of the bus as `bus`',
    );
  const path = join(roots.dev, `i2c-${adapter.number}`);
  const access = await deviceAccess(path, 'i2c', await thisUser(roots), roots);
  if (access.kind === 'allowed') return { is: 'found', adapter, path };
  return access.kind === 'denied'
    ? unusable(`${path}: ${access.detail}`, access.remedy)
    : unusable(`there is no ${path}, although the kernel has the bus (${adapter.name})`, LOAD);
}

function listed(adapters: readonly Adapter[]): string {
  if (adapters.length === 0) return 'the kernel has none at all';
  const named = adapters.slice(0, NAMED_MAX).map(({ number, name }) => `${number} (${name})`);
  const more = adapters.length > NAMED_MAX ? ` and ${adapters.length - NAMED_MAX} more` : '';
  return `there are ${named.join(', ')}${more}`;
}

/** How the kernel calls a device of a bus: `1-0076`. */
const clientName = (bus: number, address: number): string =>
  `${bus}-${address.toString(16).padStart(4, '0')}`;

/** The driver of the kernel that has this address, if any. */
export async function driverAt(
  { sys }: MachineRoots,
  bus: number,
  address: number,
): Promise<string | undefined> {
  const link = join(sys, 'bus', 'i2c', 'devices', clientName(bus, address), 'driver');
  return await readlink(link).then(basename, () => undefined);
}

/** That a driver of the kernel has the address, and what to do about it. */
export function takenBy(driver: string | undefined, bus: number, address: number) {
  const who = driver === undefined ? 'a driver' : `the driver \`${driver}\``;
  const client = clientName(bus, address);
  const unbind = `echo ${client} | sudo tee /sys/bus/i2c/drivers/${driver ?? '*'}/unbind`;
  return {
    problem: `${who} of the kernel has this address (\`UU\` in i2cdetect)`,
    remedy: `read it with a bridge of type iio or hwmon, or free it: \`${unbind}\``,
  };
}
