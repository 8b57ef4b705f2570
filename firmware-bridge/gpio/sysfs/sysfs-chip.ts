/**
 * Finds a chip of /sys/class/gpio. Lines are numbered over all chips there, from the base of each,
 * and the base differs from kernel to kernel (0 before 6.6, then 512, 566, 571): the label counts.
 */
import { readdir, readFile, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Chip } from '../cdev/gpiod-output.ts';
import { isHeaderChip } from '../header-pins.ts';
import { lost, noChip, severalChips } from '../messages.ts';

export interface SysfsChip extends Chip {
  /** Number of its first line. */
  readonly base: number;
  /** The device that it is part of; the same for its entry under /sys/bus/gpio. */
  readonly device: string | undefined;
}

/** `root` is /sys. Throws BRIDGE_LOST when the kernel has no sysfs GPIO. */
export async function sysfsChips(root: string): Promise<readonly SysfsChip[]> {
  const folder = join(root, 'class/gpio');
  let names: string[];
  try {
    names = await readdir(folder);
  } catch {
    throw lost(`this kernel has no ${folder} (CONFIG_GPIO_SYSFS): use \`backend: cdev\``);
  }
  const chips = names.filter((name) => /^gpiochip\d+$/.test(name)).sort();
  const found = await Promise.all(chips.map((name) => chipAt(folder, name)));
  return found.flatMap((chip) => chip ?? []);
}

async function chipAt(folder: string, name: string): Promise<SysfsChip | undefined> {
  const text = (file: string) => readFile(join(folder, name, file), 'utf8');
  try {
    const [label, base, lines] = await Promise.all([text('label'), text('base'), text('ngpio')]);
    const device = await realpath(join(folder, name, 'device')).catch(() => undefined);
    return { name, label: label.trim(), base: Number(base), lines: Number(lines), device };
  } catch {
    return undefined; // it has just gone
  }
}

/** The chip that is meant by `wanted`: `auto`, a label, or the name of its device. */
export async function chooseSysfsChip(
  wanted: string,
  chips: readonly SysfsChip[],
  root: string,
): Promise<SysfsChip> {
  const name = wanted.replace(/^\/dev\//, '');
  const device = await deviceOf(name, root);
  const found = chips.filter((chip) => {
    if (wanted === 'auto') return isHeaderChip(chip.label);
    if (device !== undefined) return chip.device === device;
    return chip.label === wanted || chip.name === name;
  });
  const [chip, second] = found;
  if (chip === undefined) throw lost(noChip(wanted, chips));
  if (second !== undefined) throw lost(severalChips(chip.label, found));
  return chip;
}

/** gpiochip0 of /dev is not gpiochip0 of /sys/class/gpio; what both are part of is the same. */
async function deviceOf(name: string, root: string): Promise<string | undefined> {
  if (!/^gpiochip\d+$/.test(name)) return undefined;
  const entry = await realpath(join(root, 'bus/gpio/devices', name)).catch(() => undefined);
  return entry === undefined ? undefined : dirname(entry);
}
