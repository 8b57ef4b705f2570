/** File systems and what they lie on. */
import { realpath, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { describeError } from '../../hub/core/errors.ts';
import { type Mount, mountOf } from '../../hub/machine/mounts.ts';
import { readFact, readNumber } from '../../hub/machine/read-fact.ts';
import type { MachineRoots } from '../../hub/machine/roots.ts';
import { onThread } from '../sampling/attribute.ts';
import { kernelProblem } from '../sampling/kernel-problem.ts';
import type { Sample } from '../sampling/sensor.ts';
import type { SystemOptions } from './fields.ts';
import { pressure, rounded, type Values } from './values.ts';

type Disk = SystemOptions['disks'][number];

/** Of /sys/block/<disk>/stat, whatever the disk itself has. */
const SECTOR_BYTES = 512;
const PERCENT = 100;
/** JESD84-B51, DEVICE_LIFE_TIME_EST: tenths of the life. */
const LIFE_STEP_PERCENT = 10;

export async function readDisks(
  disks: readonly Disk[],
  roots: MachineRoots,
  signal: AbortSignal,
): Promise<Sample> {
  const values: Values = [];
  const problems: string[] = [];
  for (const disk of disks) {
    try {
      values.push(...(await readDisk(disk, roots, signal)));
    } catch (error) {
      const { path } = disk;
      problems.push(kernelProblem(error, path) ?? `${path}: ${describeError(error)}`);
    }
  }
  return { values: [...values, ...(await pressure(roots.proc, 'io'))], problems };
}

async function readDisk(
  { name, path }: Disk,
  roots: MachineRoots,
  signal: AbortSignal,
): Promise<Values> {
  const prefix = `disk_${name}`;
  // a file system of a network can take for ever
  const [facts, folder] = await onThread(
    path,
    signal,
    async () => [await statfs(path), await realpath(path)] as const,
  );
  const { blocks, bsize, bavail, bfree, files, ffree } = facts;
  const usable = blocks - bfree + bavail;
  const mount = await mountOf(folder, roots);
  return [
    ...rounded(`${prefix}_size_bytes`, blocks * bsize, 0),
    ...rounded(`${prefix}_free_bytes`, bavail * bsize, 0),
    ...rounded(`${prefix}_use_percent`, (PERCENT * (blocks - bfree)) / usable, 1),
    ...(files > 0 ? rounded(`${prefix}_inodes_free`, ffree, 0) : []),
    ...(mount ? [[`${prefix}_read_only`, mount.options.includes('ro')] as const] : []),
    ...(mount ? await readDevice(prefix, mount, roots) : []),
  ];
}

async function readDevice(prefix: string, mount: Mount, { sys }: MachineRoots): Promise<Values> {
  const partition = await devicePath(mount, sys);
  if (partition === undefined) return [];
  const errors = await readNumber(sys, 'fs', mount.type, basename(partition), 'errors_count');
  // /sys/block/mmcblk0/mmcblk0p2: the disk is the folder of its partition
  const isPartition = (await readFact(partition, 'partition')) !== undefined;
  const disk = isPartition ? dirname(partition) : partition;
  const stat = ((await readFact(disk, 'stat')) ?? '').split(/\s+/).map(Number);
  const [, , sectorsRead, , , , sectorsWritten] = stat;
  const bytes = (sectors: number | undefined) =>
    sectors === undefined ? undefined : sectors * SECTOR_BYTES;
  return [
    ...rounded(`${prefix}_errors`, errors, 0),
    ...rounded(`${prefix}_read_bytes`, bytes(sectorsRead), 0),
    ...rounded(`${prefix}_written_bytes`, bytes(sectorsWritten), 0),
    ...(await readCard(prefix, disk)),
  ];
}

/** `8:1` → its folder in sysfs. Overlays and btrfs have numbers of their own: their source says. */
async function devicePath({ device, source }: Mount, sys: string): Promise<string | undefined> {
  const found = await realpath(join(sys, 'dev', 'block', device)).catch(() => undefined);
  if (found !== undefined || !source.startsWith('/dev/')) return found;
  return await realpath(join(sys, 'class', 'block', basename(source))).catch(() => undefined);
}

/** What an eMMC knows of its own life; an SD card only tells its name and birthday. */
async function readCard(prefix: string, disk: string): Promise<Values> {
  const device = join(disk, 'device');
  const life = (await readFact(device, 'life_time')) ?? '';
  const spare = await readFact(device, 'pre_eol_info');
  const type = await readFact(device, 'type');
  const steps = life.split(/\s+/).map((text) => Number(text === '' ? Number.NaN : text));
  const worst = Math.max(...steps.filter((step) => step > 0));
  const card = [await readFact(device, 'name'), await readFact(device, 'date')].filter(Boolean);
  return [
    ...rounded(`${prefix}_life_used_percent`, worst * LIFE_STEP_PERCENT, 0),
    ...(spare === undefined ? [] : rounded(`${prefix}_spare_state`, Number(spare), 0)),
    ...(type === 'SD' || type === 'MMC' ? [[`${prefix}_card`, card.join(' ')] as const] : []),
  ];
}
