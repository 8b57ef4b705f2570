/** The volume of the log: what it is, whether it can be trusted, and whether the log fits. */
import { opendir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Finding } from '../core/finding.ts';
import { sizeText } from '../core/size-text.ts';
import { type Mount, mountOf } from '../machine/mounts.ts';
import { readFact } from '../machine/read-fact.ts';
import type { MachineRoots } from '../machine/roots.ts';
import { nearestFolder } from './data-dir.ts';
import { deviceFindings } from './disk-device.ts';
import type { Examination } from './examination.ts';

/** A log of 16 TiB has more; the sum only becomes smaller then. */
const LOG_FILES_MAX = 20_000;
/** Below it a system cannot make the files that it needs to start. */
const FREE_INODES_SHARE_MIN = 0.01;

const WITHOUT_JOURNAL = ['vfat', 'msdos', 'exfat', 'fuseblk', 'ntfs3'];
const NETWORK = ['nfs', 'nfs4', 'cifs', 'smb3', '9p', 'fuse.sshfs'];
const IN_MEMORY = ['tmpfs', 'ramfs', 'rootfs'];

export interface DiskParts {
  readonly dataDir: string;
  /** `log.capacity.bytes_max` and `free_bytes_min`. */
  readonly bytesMax: number;
  readonly freeBytesMin: number;
  readonly roots: MachineRoots;
  /** Of a volume, for tests. */
  readonly measure?: (folder: string) => Promise<VolumeSize>;
}

export interface VolumeSize {
  readonly bsize: number;
  readonly blocks: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
}

export function disk(parts: DiskParts): Examination {
  return {
    subject: 'disk',
    async examine(signal) {
      const folder = await nearestFolder(parts.dataDir);
      const mount = await mountOf(folder, parts.roots);
      const findings = [...(await spaceFindings(folder, parts, signal))];
      if (mount) {
        findings.push(...(await typeFindings(mount, parts.roots)));
        findings.push(...readOnlyFindings(mount));
        findings.push(...(await deviceFindings(mount, parts.roots)));
      }
      return findings;
    },
  };
}

async function spaceFindings(
  folder: string,
  { dataDir, bytesMax, freeBytesMin, measure }: DiskParts,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const size = await (measure ?? statfs)(folder);
  const free = size.bavail * size.bsize;
  const used = await bytesIn(join(dataDir, 'log'), signal);
  const subject = 'disk';
  const findings: Finding[] = [];
  const detail = `${sizeText(free)} of ${sizeText(size.blocks * size.bsize)} are free`;
  const missing = Math.max(0, bytesMax - used) + freeBytesMin - free;
  if (free < freeBytesMin) {
    const problem = `${detail}: the log counts as full below ${sizeText(freeBytesMin)}`;
    const remedy = 'make room (`sudo apt-get clean`, `sudo journalctl --vacuum-size=50M`)';
    findings.push({ severity: 'problem', subject, detail: problem, remedy });
  } else if (missing > 0) {
    const fits = used + free - freeBytesMin;
    const warning = `${detail}: the log is full at ${sizeText(fits)} of ${sizeText(bytesMax)}`;
    const remedy = `set log.capacity.bytes_max to ${mebibytes(fits)}, or make room`;
    findings.push({ severity: 'warning', subject, detail: warning, remedy });
  } else findings.push({ severity: 'ok', subject, detail: `${detail}: the log fits` });
  if (size.files > 0 && size.ffree < size.files * FREE_INODES_SHARE_MIN) {
    const few = `only ${size.ffree} of ${size.files} inodes are free`;
    const remedy = 'remove small files: `sudo du --inodes -xd3 / | sort -n | tail` finds them';
    const severity = size.ffree === 0 ? 'problem' : 'warning';
    findings.push({ severity, subject, detail: few, remedy });
  }
  return findings;
}

/** At least the least that can be configured. */
function mebibytes(bytes: number): string {
  return `${Math.max(1, Math.floor(bytes / 1024 ** 2))} MiB`;
}

async function bytesIn(folder: string, signal: AbortSignal): Promise<number> {
  let bytes = 0;
  let files = 0;
  const entries = await opendir(folder).catch(() => undefined);
  if (!entries) return 0; // new, or not shown to this user
  for await (const { name } of entries) {
    signal.throwIfAborted();
    bytes += await stat(join(folder, name)).then(
      (facts) => facts.size,
      () => 0,
    );
    if (++files >= LOG_FILES_MAX) break;
  }
  return bytes;
}

async function typeFindings(
  { type, folder }: Mount,
  roots: MachineRoots,
): Promise<readonly Finding[]> {
  const subject = 'disk';
  const remedy = 'set hub.data_dir to a folder on ext4';
  if (WITHOUT_JOURNAL.includes(type)) {
    const detail = `${folder} is ${type}: a power cut can damage all of it`;
    return [{ severity: 'warning', subject, detail, remedy }];
  }
  if (NETWORK.includes(type)) {
    const detail = `${folder} is ${type}: without the network nothing can be stored`;
    return [{ severity: 'warning', subject, detail, remedy }];
  }
  if (IN_MEMORY.includes(type)) {
    const detail = `${folder} is ${type}, in memory: every restart of the machine loses the log`;
    return [{ severity: 'problem', subject, detail, remedy }];
  }
  if (type !== 'overlay') return [];
  const boot = (await readFact(roots.proc, 'cmdline')) ?? '';
  if (/\b(boot=overlay|overlayroot=tmpfs)/.test(boot)) {
    const detail = 'the read-only overlay of Raspberry Pi OS is on: a restart loses the log';
    const away = 'set hub.data_dir to a folder on another partition, or switch the overlay off';
    return [{ severity: 'problem', subject, detail, remedy: `${away} (sudo raspi-config)` }];
  }
  const detail = `${folder} is the layer of a container: the log goes with the container`;
  const volume = 'mount a volume or a folder of the machine at hub.data_dir';
  return [{ severity: 'warning', subject, detail, remedy: volume }];
}

function readOnlyFindings({ folder, options }: Mount): readonly Finding[] {
  if (!options.includes('ro')) return [];
  const detail = `${folder} is mounted read-only`;
  const remedy =
    'the kernel does that after an error of the disk (`sudo dmesg | grep -i error`): save what is ' +
    'on it, check it with fsck from another system; else sudo mount -o remount,rw and /etc/fstab';
  return [{ severity: 'problem', subject: 'disk', detail, remedy }];
}
