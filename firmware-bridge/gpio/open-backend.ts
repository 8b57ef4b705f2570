/** Which way to the lines is taken, and why. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../hub/core/clock.ts';
import { describeError } from '../../hub/core/errors.ts';
import type { Backend } from './backend.ts';
import { CdevBackend } from './cdev/cdev.ts';
import { chooseChip, linesOf, surveyChips } from './cdev/cdev-chip.ts';
import type { GpiodTools } from './cdev/gpiod-tools.ts';
import { type InterruptSource, procInterrupts } from './cdev/interrupts.ts';
import type { GpioFields } from './fields.ts';
import { parseLine } from './line-name.ts';
import { INSTALL_GPIOD, lost } from './messages.ts';
import type { Onoff } from './sysfs/onoff.ts';
import { SysfsBackend } from './sysfs/sysfs.ts';
import { chooseSysfsChip, sysfsChips } from './sysfs/sysfs-chip.ts';

/** What is outside of the bridge, so that a test can put something in its place. */
export interface Surroundings {
  readonly tools: GpiodTools;
  readonly onoff: () => Promise<Onoff>;
  readonly sysRoot: string;
  readonly devRoot: string;
  readonly interrupts?: InterruptSource;
}

export type Choice =
  | { readonly kind: 'cdev'; readonly version: string; readonly reason: string }
  | { readonly kind: 'sysfs'; readonly onoff: Onoff; readonly reason: string };

/** Throws BRIDGE_LOST, which says what each way lacks, when there is none. */
export async function chooseBackend(
  wanted: GpioFields['backend'],
  surroundings: Surroundings,
): Promise<Choice> {
  if (wanted === 'sysfs')
    return { kind: 'sysfs', onoff: await surroundings.onoff(), reason: 'as configured' };
  let cdevLacks: string;
  try {
    const version = await cdevVersion(surroundings);
    const reason =
      wanted === 'cdev' ? 'as configured' : `/dev/gpiochip* and gpiod ${version} are there`;
    return { kind: 'cdev', version, reason };
  } catch (error) {
    if (wanted === 'cdev') throw error;
    cdevLacks = describeError(error);
  }
  try {
    await sysfsChips(surroundings.sysRoot);
    return { kind: 'sysfs', onoff: await surroundings.onoff(), reason: `because ${cdevLacks}` };
  } catch (error) {
    const sysfsLacks = describeError(error);
    throw lost(`no way to the GPIO lines: for cdev ${cdevLacks}; for sysfs ${sysfsLacks}`);
  }
}

async function cdevVersion({ tools, devRoot }: Surroundings): Promise<string> {
  const devices = await readdir(devRoot).catch(() => []);
  if (!devices.some((name) => /^gpiochip\d+$/.test(name)))
    throw lost(
      `there is no ${join(devRoot, 'gpiochip0')}: this machine has no GPIO, or the container was ` +
        'not given its devices',
    );
  try {
    return await tools.version();
  } catch (error) {
    const missing = describeError(error);
    throw missing.includes(INSTALL_GPIOD) ? error : lost(`gpiod 2 does not run (${missing})`);
  }
}

export interface OpenBackend {
  readonly backend: Backend;
  readonly reason: string;
}

export async function openBackend(
  { backend, chip: wanted, lines }: GpioFields,
  surroundings: Surroundings,
  { clock, badLine }: { readonly clock: Clock; readonly badLine: () => void },
): Promise<OpenBackend> {
  const choice = await chooseBackend(backend, surroundings);
  const { reason } = choice;
  if (choice.kind === 'sysfs') {
    const { sysRoot } = surroundings;
    const chip = await chooseSysfsChip(wanted, await sysfsChips(sysRoot), sysRoot);
    return { backend: new SysfsBackend(choice.onoff, chip, clock), reason };
  }
  const { tools } = surroundings;
  const chip = chooseChip(wanted, await surveyChips(tools));
  const isNamed = lines.some(({ line }) => {
    const parsed = parseLine(line);
    return parsed.ok && parsed.line.by === 'name';
  });
  const names = isNamed ? await linesOf(tools, chip) : undefined;
  const { version } = choice;
  const interrupts = surroundings.interrupts ?? procInterrupts;
  const parts = { tools, chip, version, clock, lines: names, interrupts, badLine };
  return { backend: new CdevBackend(parts), reason };
}
