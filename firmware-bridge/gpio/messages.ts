/** What people are told when a chip or a line cannot be used, and what to do. */
import { userInfo } from 'node:os';
import { HubError } from '../../hub/core/errors.ts';
import type { Chip } from './cdev/gpiod-output.ts';
import { HEADER_CHIP_LABELS } from './header-pins.ts';

export const lost = (message: string, cause?: unknown) =>
  new HubError('BRIDGE_LOST', message, cause === undefined ? {} : { cause });

export const titleOf = ({ name, label }: Pick<Chip, 'name' | 'label'>) => `${name} [${label}]`;

export const INSTALL_GPIOD =
  '`sudo apt install gpiod` (version 2: Debian 13, Raspberry Pi OS trixie)';

export function oldGpiod(version: string): string {
  return `gpiod ${version} is installed, which takes other options and fails on new kernels`;
}

function hubUser(): string {
  try {
    return userInfo().username;
  } catch {
    return 'holdfast'; // a user without an entry, as in a container
  }
}

export function deniedRemedy(): string {
  return (
    `\`sudo usermod -aG gpio ${hubUser()}\` and start the hub again; where there is no group ` +
    '`gpio` (Debian), first `sudo groupadd -r gpio` and a udev rule ' +
    '`SUBSYSTEM=="gpio", GROUP="gpio", MODE="0660"`'
  );
}

export function noChip(wanted: string, chips: readonly Chip[]): string {
  const there = chips.map((chip) => `${titleOf(chip)} with ${chip.lines} lines`).join(', ');
  const list = chips.length === 0 ? 'none at all' : there;
  if (wanted !== 'auto')
    return `there is no GPIO chip \`${wanted}\`; there is ${list}. \`gpiodetect\` lists them`;
  const labels = HEADER_CHIP_LABELS.join(', ');
  return (
    `no GPIO chip of a Raspberry Pi's header (${labels}); there is ${list}. ` +
    'Write the label of the one that is meant: `chip: <label>`'
  );
}

export function severalChips(label: string, chips: readonly Chip[]): string {
  const names = chips.map(({ name }) => name).join(', ');
  return `${chips.length} chips have the label \`${label}\`: write one of ${names} for \`chip\``;
}

/** `consumer`: who holds the line now, if somebody does. */
export function busyText(line: string, consumer: string | undefined): string {
  const who = consumer === undefined ? 'somebody else' : `"${consumer}"`;
  return (
    `${line} is held by ${who}: end that program, or switch off the overlay that uses the pin; ` +
    '`gpioinfo` shows who holds what'
  );
}
