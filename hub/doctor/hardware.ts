/** What is plugged into this machine, whether or not a bridge uses it: notes, never problems. */
import { realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Finding } from '../core/finding.ts';
import { deviceAccess } from '../machine/device-access.ts';
import { namesIn, readFact } from '../machine/read-fact.ts';
import type { MachineRoots } from '../machine/roots.ts';
import type { MachineUser } from '../machine/user.ts';
import type { Examination } from './examination.ts';
import { isRaspberryPi } from './model.ts';

/** As many as fit in a line or two. */
const NAMED_MAX = 8;

interface Device {
  readonly path: string;
  /** What people know it by. */
  readonly text: string;
}

/** `group` usually has them; `none` is said when there are none. */
interface Kind {
  readonly subject: string;
  readonly group: string;
  readonly none: string;
  devices(roots: MachineRoots): Promise<readonly Device[]>;
}

const SERIAL: Kind = {
  subject: 'serial ports',
  group: 'dialout',
  none: 'none; on the header: sudo raspi-config nonint do_serial_hw 0',
  async devices({ dev, sys }) {
    const byId = new Map<string, string>();
    for (const name of await namesIn(dev, 'serial', 'by-id')) {
      const path = join(dev, 'serial', 'by-id', name);
      byId.set(await realpath(path).catch(() => ''), path);
    }
    const names = await namesIn(sys, 'class', 'tty');
    const found: Device[] = [];
    for (const name of names.filter((each) => /^tty(USB|ACM|AMA|S)\d+$/.test(each))) {
      // the kernel makes four ttyS whether there are any or not: those without have type 0
      if (/^ttyS/.test(name) && (await readFact(sys, 'class', 'tty', name, 'type')) === '0')
        continue;
      const path = join(dev, name);
      const stable = byId.get(path);
      found.push({ path, text: stable ? `${stable} (${name})` : path });
    }
    return found;
  },
};

const I2C: Kind = {
  subject: 'i2c buses',
  group: 'i2c',
  none: 'none; on the header: sudo raspi-config nonint do_i2c 0',
  async devices({ dev, sys }) {
    const names = (await namesIn(dev)).filter((name) => /^i2c-\d+$/.test(name));
    const named = names.map(async (name) => {
      const adapter = await readFact(sys, 'class', 'i2c-dev', name, 'name');
      const path = join(dev, name);
      return { path, text: adapter ? `${path} (${adapter})` : path };
    });
    return await Promise.all(named);
  },
};

const GPIO: Kind = {
  subject: 'gpio chips',
  group: 'gpio',
  none: 'the kernel shows none',
  async devices({ dev, sys }) {
    const names = (await namesIn(dev)).filter((name) => /^gpiochip\d+$/.test(name));
    const named = names.map(async (name) => {
      const path = join(dev, name);
      const label = await chipLabel(name, sys);
      return { path, text: label ? `${path} (${label})` : path };
    });
    return await Promise.all(named);
  },
};

/** The chip itself has no label in sysfs, but its entry of the old interface has. */
async function chipLabel(chip: string, sys: string): Promise<string | undefined> {
  const device = await realpath(join(sys, 'bus', 'gpio', 'devices', chip)).catch(() => undefined);
  if (device === undefined) return undefined;
  const folder = join(sys, 'class', 'gpio');
  for (const name of await namesIn(folder)) {
    const of = await realpath(join(folder, name, 'device')).catch(() => undefined);
    // of which kernel it depends whether that is the chip or what the chip belongs to
    if (of === device || of === dirname(device)) return await readFact(folder, name, 'label');
  }
  return undefined;
}

export function devices(
  kind: 'serial' | 'i2c' | 'gpio',
  roots: MachineRoots,
  user: MachineUser,
): Examination {
  const { subject, group, none, devices: list } = { serial: SERIAL, i2c: I2C, gpio: GPIO }[kind];
  return {
    subject,
    async examine() {
      const found = await list(roots);
      if (found.length === 0) {
        const detail = (await isRaspberryPi(roots)) ? none : 'none';
        return [{ severity: 'ok', subject, detail }];
      }
      const texts = found.slice(0, NAMED_MAX).map(({ text }) => text);
      const more = found.length > NAMED_MAX ? ` and ${found.length - NAMED_MAX} more` : '';
      const detail = `${texts.join(', ')}${more}`;
      for (const { path } of found) {
        const access = await deviceAccess(path, group, user, roots);
        if (access.kind !== 'denied') continue;
        const denied: Finding = {
          severity: 'note',
          subject,
          detail: `${detail}; ${path}: ${access.detail}`,
          remedy: `for a bridge: ${access.remedy}`,
        };
        return [denied];
      }
      return [{ severity: 'ok', subject, detail: `${detail}; ${user.name} may open all` }];
    },
  };
}

/** Sensors that the kernel drives itself. */
export function sensors(roots: MachineRoots): Examination {
  const { sys } = roots;
  const subject = 'sensors';
  return {
    subject,
    async examine() {
      const onWires = await namesIn(sys, 'bus', 'w1', 'devices');
      const wires = onWires.filter((name) => /^[0-9a-f]{2}-/.test(name));
      const iio: string[] = [];
      for (const name of await namesIn(sys, 'bus', 'iio', 'devices')) {
        const label = await readFact(sys, 'bus', 'iio', 'devices', name, 'name');
        if (name.startsWith('iio:device')) iio.push(label ? `${name} (${label})` : name);
      }
      const noBus = (await isRaspberryPi(roots)) ? 'no bus (dtoverlay=w1-gpio)' : 'no bus';
      const bus = onWires.length > 0 ? 'none answers' : noBus;
      const detail = [
        `1-Wire: ${listed(wires) || bus}`,
        ...(iio.length > 0 ? [`IIO: ${listed(iio)}`] : []),
      ].join('; ');
      return [{ severity: 'ok', subject, detail }];
    },
  };
}

function listed(names: readonly string[]): string {
  const more = names.length > NAMED_MAX ? ` and ${names.length - NAMED_MAX} more` : '';
  return `${names.slice(0, NAMED_MAX).join(', ')}${more}`;
}
