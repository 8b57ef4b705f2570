/**
 * Reading and replacing files so that neither a bad sector nor a crash leaves us without either.
 */
import { type FileHandle, open, rename, rm, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What a disk reads at least; one bad sector costs so much and not the file. */
const SECTOR_BYTES = 4096;

export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}

/** Up to `bytes` from `at`; less at the end of the file. What the disk cannot read is zeros. */
export async function readRange(file: FileHandle, at: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  let filled = 0;
  while (filled < bytes) {
    try {
      const { bytesRead } = await file.read(buffer, filled, bytes - filled, at + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    } catch (error) {
      if (errorCode(error) !== 'EIO') throw error;
      filled += await readSectors(file, buffer, filled, at);
    }
  }
  return buffer.subarray(0, filled);
}

async function readSectors(file: FileHandle, buffer: Buffer, from: number, at: number) {
  const end = Math.min(buffer.length, (await file.stat()).size - at);
  for (let next = from; next < end; next += SECTOR_BYTES) {
    const bytes = Math.min(SECTOR_BYTES, end - next);
    await file.read(buffer, next, bytes, at + next).catch((error: unknown) => {
      if (errorCode(error) !== 'EIO') throw error;
    });
  }
  return Math.max(0, end - from);
}

/** A whole file; undefined when there is none. */
export async function readWhole(path: string): Promise<Buffer | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return await readRange(file, 0, (await file.stat()).size);
  } finally {
    await file.close();
  }
}

/** LevelDB does not fsync its folder after creating files in it; without that a power cut can. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A file that is there whole, or not at all: `write` fills it under another name. */
export async function replaceFile(
  path: string,
  temporary: string,
  write: (file: FileHandle) => Promise<unknown>,
): Promise<void> {
  try {
    const file = await open(temporary, 'w', 0o644);
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined); // the first error says why
    throw error;
  }
  await syncFolder(dirname(path));
}

export async function removeIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (errorCode(error) !== 'ENOENT') throw error;
  });
}
