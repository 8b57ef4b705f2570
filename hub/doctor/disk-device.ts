/** What the kernel and the card itself say of the health of a disk. */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Finding } from '../core/finding.ts';
import { type Mount, mountOf } from '../machine/mounts.ts';
import { readFact, readNumber } from '../machine/read-fact.ts';
import type { MachineRoots } from '../machine/roots.ts';

/** JESD84-B51, DEVICE_LIFE_TIME_EST: tenths of the life that are used; 11 is more than all. */
const LIFE_USED_WARNING = 9;
const LIFE_USED_OVER = 11;
/** PRE_EOL_INFO: 2 is 80 % of the spare blocks used, 3 is 90 %. */
const SPARE_WARNING = 2;
const SPARE_URGENT = 3;
const SAVE = 'save what is on it, and change it';

export async function deviceFindings(
  mount: Mount,
  roots: MachineRoots,
): Promise<readonly Finding[]> {
  const path = await realpath(join(roots.sys, 'dev', 'block', mount.device)).catch(() => undefined);
  const findings = [...atimeFindings(mount)];
  if (path === undefined) return [...findings, ...(await swapFindings(roots))];
  findings.push(...(await errorFindings(basename(path), mount, roots)));
  // /sys/block/mmcblk0/mmcblk0p2: the disk is the folder of its partition
  for (const disk of [path, dirname(path)]) findings.push(...(await lifeFindings(disk)));
  return [...findings, ...(await swapFindings(roots))];
}

async function errorFindings(partition: string, { folder, type }: Mount, { sys }: MachineRoots) {
  const errors = await readNumber(sys, 'fs', type, partition, 'errors_count');
  if (errors === undefined || errors === 0) return [];
  const detail = `${type} has met ${errors} errors on ${partition} (${folder}) since its last check`;
  const remedy =
    'check it at the next start: fsck.mode=force fsck.repair=yes in cmdline.txt, then reboot; if ' +
    'they come back, change the card or disk, and see `power`';
  return [{ severity: 'warning', subject: 'disk', detail, remedy } as const];
}

/** Only eMMC tells: SD cards keep it to themselves. */
async function lifeFindings(disk: string): Promise<readonly Finding[]> {
  const subject = 'disk';
  const name = basename(disk);
  const life = ((await readFact(disk, 'device', 'life_time')) ?? '').split(/\s+/).map(Number);
  const spare = Number((await readFact(disk, 'device', 'pre_eol_info')) ?? 0);
  const used = Math.max(0, ...life.filter(Number.isFinite));
  const findings: Finding[] = [];
  if (used >= LIFE_USED_OVER) {
    const detail = `${name} has lived longer than it was made for`;
    findings.push({ severity: 'problem', subject, detail, remedy: SAVE });
  } else if (used >= LIFE_USED_WARNING) {
    const detail = `${name} has used ${(used - 1) * 10} to ${used * 10} % of its life`;
    findings.push({ severity: 'warning', subject, detail, remedy: `${SAVE} in time` });
  }
  if (spare >= SPARE_WARNING) {
    const isUrgent = spare >= SPARE_URGENT;
    const detail = `${name} has used ${isUrgent ? 90 : 80} % of its spare blocks`;
    findings.push({ severity: isUrgent ? 'problem' : 'warning', subject, detail, remedy: SAVE });
  }
  return findings;
}

function atimeFindings({ options, folder }: Mount): readonly Finding[] {
  if (!options.includes('strictatime')) return [];
  const detail = `${folder} writes the time of every read (strictatime)`;
  const remedy = 'noatime in /etc/fstab';
  return [{ severity: 'note', subject: 'disk', detail, remedy }];
}

/** Swapping writes more than any log. zram is memory. */
async function swapFindings(roots: MachineRoots): Promise<readonly Finding[]> {
  const lines = ((await readFact(roots.proc, 'swaps')) ?? '').split('\n').slice(1);
  const findings: Finding[] = [];
  for (const [file = ''] of lines.map((line) => line.split(/\s+/))) {
    const isPartition = file.startsWith('/dev/');
    const device = isPartition ? file : (await mountOf(file, roots))?.source;
    if (!device?.startsWith('/dev/mmcblk')) continue;
    const remedy = isPartition
      ? `sudo swapoff ${file}, and remove it from /etc/fstab; zram-tools swaps to memory`
      : 'sudo systemctl disable --now dphys-swapfile (trixie: Mechanism=zram in /etc/rpi/swap.conf)';
    const detail = `${file} is swap on the card, which wears it`;
    findings.push({ severity: 'note', subject: 'disk', detail, remedy });
  }
  return findings;
}
