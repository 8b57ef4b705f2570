import { readFileSync } from 'node:fs';

/** Linux counts here what a process sends to block devices, in whole pages. */
const IO_FILE = '/proc/self/io';
const WRITE_BYTES = /^write_bytes: (\d+)$/m;
/** Asked for by every scrape, status and stream: one small read a second serves them all. */
const LOOK_INTERVAL_MS = 1_000;

/**
 * Answers how many bytes this process has sent to storage since it started, as the kernel counts
 * them: page by page when a page becomes dirty, with everything LevelDB writes again when it
 * compacts, without the journal of the file system and what the card does inside. Undefined where
 * the kernel does not tell (not Linux, or a hardened one).
 */
export function writtenBytesMeter(
  nowMs: () => number = () => performance.now(),
  file = IO_FILE,
): () => number | undefined {
  let lookedMs = Number.NEGATIVE_INFINITY;
  let bytes: number | undefined;
  return () => {
    const now = nowMs();
    if (now - lookedMs >= LOOK_INTERVAL_MS) {
      lookedMs = now;
      bytes = read(file);
    }
    return bytes;
  };
}

function read(file: string): number | undefined {
  try {
    const digits = WRITE_BYTES.exec(readFileSync(file, 'latin1'))?.[1];
    return digits === undefined ? undefined : Number(digits);
  } catch {
    return undefined; // the log's own count takes its place
  }
}
