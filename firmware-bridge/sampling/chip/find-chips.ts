import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { namesIn, readFact } from '../../../hub/machine/read-fact.ts';
import type { ChipFields } from './fields.ts';
import type { Chip, ChipKind } from './kind.ts';

/** Folders on the way that are no hardware: `.../1-0048/hwmon/hwmon2`. */
const NO_PARENTS = new Set(['hwmon', 'iio']);
/** As many as people read on one line. */
const LISTED_MAX = 8;
const DEVICES_MAX = 4;

/** All chips of the kind that the kernel knows, in the order of their numbers. */
export async function findChips(kind: ChipKind, sys: string): Promise<readonly Chip[]> {
  const all = join(sys, ...kind.folder);
  const names = (await namesIn(all)).filter((name) => kind.isChip.test(name));
  const found = await Promise.all(names.map((name) => chipIn(join(all, name))));
  return found.flatMap((chip) => chip ?? []);
}

async function chipIn(path: string): Promise<Chip | undefined> {
  const folder = await realpath(path).catch(() => undefined);
  if (folder === undefined) return undefined;
  const [name = '', label] = await Promise.all([
    readFact(folder, 'name'),
    readFact(folder, 'label'),
  ]);
  const above = dirname(folder);
  const parent = basename(NO_PARENTS.has(basename(above)) ? dirname(above) : above);
  return { folder, name, label, parent };
}

/** That there is none at all, and whom that concerns. */
export function noChip({ title }: ChipKind, wanted: readonly ChipFields[]): string {
  const devices = wanted.slice(0, DEVICES_MAX).map(({ device }) => device);
  const forWhom = devices.length === 0 ? '' : `${devices.join(', ')}: `;
  return `${forWhom}the kernel has no chip of ${title}`;
}

/** The one that is meant, or why it is not clear, for people. */
export type Match =
  | { readonly is: 'found'; readonly chip: Chip }
  | { readonly is: 'not found'; readonly why: string };

export function matchChip(wanted: ChipFields, chips: readonly Chip[]): Match {
  const matching = chips.filter(
    (chip) =>
      (wanted.name === undefined || wanted.name === chip.name) &&
      (wanted.label === undefined || wanted.label === chip.label) &&
      (wanted.parent === undefined || wanted.parent === chip.parent),
  );
  const [chip, second] = matching;
  if (chip === undefined) {
    const there = chips.length === 0 ? 'there is none' : `there are: ${listed(chips)}`;
    return { is: 'not found', why: `the kernel has no chip ${describeWanted(wanted)}; ${there}` };
  }
  if (second === undefined) return { is: 'found', chip };
  const several = `several chips are ${describeWanted(wanted)}: ${listed(matching)}`;
  return { is: 'not found', why: `${several}; say which by \`parent\`` };
}

/** `bme280 at 1-0076`, by what the configuration says. */
export function describeWanted({ name, label, parent }: ChipFields): string {
  const called = name ?? (label === undefined ? '' : `"${label}"`);
  return [called, parent === undefined ? '' : `at ${parent}`].filter(Boolean).join(' ');
}

export function describeChip({ name, label, parent }: Chip): string {
  return `${name || 'without name'}${label === undefined ? '' : ` "${label}"`} at ${parent}`;
}

export function listed(chips: readonly Chip[]): string {
  const more = chips.length > LISTED_MAX ? ', ...' : '';
  return `${chips.slice(0, LISTED_MAX).map(describeChip).join(', ')}${more}`;
}
