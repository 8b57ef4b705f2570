/**
 * Takes the space of a volume, as a runaway program does: `full-volume-filler.js FILE LEAVE_BYTES`.
 * Keeps at it until it is killed: what others give up it takes too. Prints `FULL` once.
 */
import { closeSync, openSync, statfsSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const CHUNKS = [1024 * 1024, 4096, 1] as const;
const SMALL_MAX = 4096;
const REST_MS = 20;

const [path = '', leave = '0'] = process.argv.slice(2);
const leaveBytes = Number(leave);
const file = openSync(path, 'a');

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOSPC';
}

function take(): void {
  for (const chunk of CHUNKS) {
    const bytes = Buffer.alloc(chunk, 'x');
    try {
      // small ones only for what a large one leaves: more is taken with the next look
      for (let count = 0; count < SMALL_MAX; count++) {
        const { bavail, bsize } = statfsSync(dirname(path));
        if (leaveBytes > 0 && bavail * bsize - chunk < leaveBytes) break;
        writeSync(file, bytes);
      }
    } catch (error) {
      if (!isFull(error)) throw error;
    }
  }
}

process.once('SIGTERM', () => {
  closeSync(file);
  process.exit(0);
});
take();
writeSync(1, 'FULL\n');
for (;;) {
  await delay(REST_MS);
  take();
}
