import { closeSync, openSync, readSync } from 'node:fs';

/**
 * The first `bytesMax` bytes of `file`, or all when it has fewer. It may be a pipe, so its size is
 * never asked for. Throws what the file system throws.
 */
export function readAtMost(file: string, bytesMax: number): Buffer {
  const descriptor = openSync(file, 'r');
  try {
    const buffer = Buffer.alloc(bytesMax);
    let length = 0;
    while (length < bytesMax) {
      const count = readSync(descriptor, buffer, length, bytesMax - length, null);
      if (count === 0) break;
      length += count;
    }
    return buffer.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}
