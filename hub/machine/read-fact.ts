import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Text of a file such as those of sysfs, trimmed; undefined when it cannot be read. */
export async function readFact(...path: readonly string[]): Promise<string | undefined> {
  try {
    return (await readFile(join(...path), 'utf8')).replaceAll('\0', ' ').trim();
  } catch {
    return undefined; // absent, denied or gone meanwhile: it tells nothing
  }
}

/** A whole number in a file; undefined when there is none. */
export async function readNumber(...path: readonly string[]): Promise<number | undefined> {
  const text = await readFact(...path);
  return text !== undefined && /^-?\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Names in a folder, numbers in their order; none when it cannot be read. */
export async function namesIn(...path: readonly string[]): Promise<readonly string[]> {
  try {
    return (await readdir(join(...path))).sort(byNumber);
  } catch {
    return [];
  }
}

const byNumber = (a: string, b: string) => a.localeCompare(b, 'en', { numeric: true });
