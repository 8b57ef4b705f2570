import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** `1: POSIX  ADVISORY  WRITE 1234 08:01:5678 0 EOF`; major and minor are hexadecimal. */
const LOCK_LINE = /\sWRITE\s+(-?\d+)\s+([0-9a-f]+):([0-9a-f]+):(\d+)\s/;

/**
 * The process that has the log of a data directory open, as far as it can be told without opening
 * it: Linux lists file locks, elsewhere nobody is found.
 */
export async function runningHub(dataDir: string): Promise<number | undefined> {
  const lock = await stat(join(dataDir, 'log', 'LOCK'), { bigint: true }).catch(() => undefined);
  const locks = await readFile('/proc/locks', 'utf8').catch(() => '');
  if (!lock) return undefined;
  for (const line of locks.split('\n')) {
    const match = LOCK_LINE.exec(line);
    if (!match || BigInt(match[4] ?? 0) !== lock.ino) continue;
    const device = deviceNumber(match[2] ?? '', match[3] ?? '');
    // overlay file systems show another device than the one below; the inode is telling enough
    if (device === lock.dev || (await isOverlay(dataDir))) return Number(match[1]);
  }
  return undefined;
}

/** As the kernel puts major and minor together for user space. */
function deviceNumber(majorHex: string, minorHex: string): bigint {
  const [major, minor] = [BigInt(`0x${majorHex}`), BigInt(`0x${minorHex}`)];
  return ((major & 0xfffn) << 8n) | (minor & 0xffn) | ((minor & ~0xffn) << 12n);
}

async function isOverlay(dataDir: string): Promise<boolean> {
  const { dev } = await stat(dataDir, { bigint: true });
  return dev >> 8n === 0n; // major 0: not a block device of its own
}
