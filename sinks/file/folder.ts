/**
 * The files of one sink in its folder: `<name>.ndjson` is being written; `<name>.<number>.ndjson`
 * and `.ndjson.gz` are closed. Numbers only grow: names made of times would be out of order on a
 * machine that starts with its clock in the past.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

const NUMBER_DIGITS = 8;

export interface ClosedFile {
  readonly path: string;
  readonly number: number;
  readonly compressed: boolean;
}

export function activePath(folder: string, name: string): string {
  return join(folder, `${name}.ndjson`);
}

/** Makes created, renamed and deleted names durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Closed files, oldest first. */
export async function closedFiles(folder: string, name: string): Promise<ClosedFile[]> {
  const files: ClosedFile[] = [];
  for (const entry of await readdir(folder)) {
    if (!entry.startsWith(`${name}.`)) continue;
    const match = /^(\d{8,15})\.ndjson(\.gz)?$/.exec(entry.slice(name.length + 1));
    if (!match) continue;
    const compressed = match[2] !== undefined;
    files.push({ path: join(folder, entry), number: Number(match[1]), compressed });
  }
  return files.sort((a, b) => a.number - b.number || Number(a.compressed) - Number(b.compressed));
}

/** Gives the active file the next number. */
export async function closeActive(folder: string, name: string): Promise<void> {
  const newest = (await closedFiles(folder, name)).at(-1)?.number ?? 0;
  const number = String(newest + 1).padStart(NUMBER_DIGITS, '0');
  await rename(activePath(folder, name), join(folder, `${name}.${number}.ndjson`));
  await syncFolder(folder);
}

const unfinishedPath = (path: string): string => `${path}.gz.unfinished`;

/** A closed file is replaced by its compressed form only when that is on stable storage. */
async function compressFile(folder: string, path: string, signal: AbortSignal): Promise<void> {
  const unfinished = unfinishedPath(path);
  await pipeline(createReadStream(path), createGzip(), createWriteStream(unfinished), { signal });
  const handle = await open(unfinished, 'r+');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(unfinished, `${path}.gz`);
  await syncFolder(folder);
  await rm(path);
}

async function deleteOldest(files: readonly ClosedFile[], keep: number): Promise<void> {
  const numbers = [...new Set(files.map(({ number }) => number))];
  const oldestKept = numbers[Math.max(0, numbers.length - keep)] ?? 0;
  for (const { number, path } of files) {
    if (number >= oldestKept) continue;
    await rm(path, { force: true });
    await rm(unfinishedPath(path), { force: true }); // of a crash in the middle of compressing
  }
}

/**
 * Deletes what is more than `filesMax` closed files, and compresses the others. The newest closed
 * file stays plain: after a crash the sink looks in it for events that it wrote already.
 */
export async function tidyFolder(
  folder: string,
  name: string,
  options: { readonly filesMax: number; readonly compress: boolean },
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    await deleteOldest(await closedFiles(folder, name), options.filesMax);
    if (!options.compress) return;
    const files = await closedFiles(folder, name);
    const newest = files.at(-1)?.number;
    const next = files.find((file) => !file.compressed && file.number !== newest);
    if (next === undefined) return;
    await compressFile(folder, next.path, signal);
  }
}
