/** Values that the kernel shows as files. */
import { type FileHandle, open } from 'node:fs/promises';
import { BlockingWork } from './blocking-work.ts';

/** What the kernel gives of an attribute: a page. */
const ATTRIBUTE_BYTES_MAX = 4_096;

/** Of all bridges of the process. */
const blockingWork = new BlockingWork();

/** Paths from which the kernel has not returned for long, for people. */
export function hangingAttributes(): readonly string[] {
  return blockingWork.hanging;
}

/** The text of an attribute without white space around it. Rejects with the system's error. */
export async function readAttribute(path: string, signal: AbortSignal): Promise<string> {
  return await onThread(path, signal, () =>
    withFile(path, 'r', async (file) => {
      const buffer = Buffer.allocUnsafe(ATTRIBUTE_BYTES_MAX);
      const { bytesRead } = await file.read(buffer, 0, ATTRIBUTE_BYTES_MAX, null);
      return buffer.toString('utf8', 0, bytesRead).trim();
    }),
  );
}

/** Writes the text in one go, as an attribute must be. Rejects with the system's error. */
export async function writeAttribute(
  path: string,
  text: string,
  signal: AbortSignal,
): Promise<void> {
  await onThread(path, signal, () =>
    withFile(path, 'r+', async (file) => {
      await file.write(text);
    }),
  );
}

/** See BlockingWork.run. */
export async function onThread<T>(
  path: string,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  return await blockingWork.run(path, signal, work);
}

async function withFile<T>(
  path: string,
  flags: 'r' | 'r+',
  work: (file: FileHandle) => Promise<T>,
): Promise<T> {
  const file = await open(path, flags);
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}
