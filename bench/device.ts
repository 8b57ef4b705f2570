import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';

const SECTOR_BYTES = 512;
/** Of /sys/block/.../stat: sectors written. */
const SECTORS_FIELD = 6;

/**
 * Bytes that the device under `folder` has taken so far, with the journal of the file system and
 * whatever others write there. What is still in memory is written first.
 */
export function deviceBytes(folder: string): number {
  execFileSync('sync', ['-f', folder]);
  const { dev } = statSync(folder);
  const major = (dev >> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
  const fields = readFileSync(`/sys/dev/block/${major}:${minor}/stat`, 'utf8').trim().split(/\s+/);
  return Number(fields[SECTORS_FIELD]) * SECTOR_BYTES;
}
