import { randomBytes } from 'node:crypto';
import { open, stat, unlink } from 'node:fs/promises';

/**
 * What LevelDB needs to open again and go on when nothing else is free: its write-ahead log becomes
 * a table (8 MiB) before the log is deleted, and the next one begins.
 */
export const RESERVE_BYTES = 16 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;

/** Space that is held while all is well, and given up when a write finds the volume full. */
export interface Reserve {
  readonly bytes: number;
  /** Takes the space, if it is not taken. Errors: those of the file system. */
  hold(): Promise<void>;
  /** Gives it up; false when there was none. */
  release(): Promise<boolean>;
}

/** No reserve: for a log whose storage is not on a volume. */
export const NO_RESERVE: Reserve = {
  bytes: 0,
  hold: async () => undefined,
  release: async () => false,
};

export function reserveFile(file: string, bytes = RESERVE_BYTES): Reserve {
  async function size(): Promise<number> {
    return (await stat(file).catch(() => undefined))?.size ?? 0;
  }
  return {
    bytes,
    async hold() {
      if ((await size()) === bytes) return;
      const handle = await open(file, 'w', 0o640);
      try {
        const chunk = randomBytes(CHUNK_BYTES); // a file system that compresses would keep no zeros
        for (let at = 0; at < bytes; at += CHUNK_BYTES) {
          await handle.write(chunk, 0, Math.min(CHUNK_BYTES, bytes - at), at);
        }
      } catch (error) {
        await unlink(file).catch(() => undefined); // half a reserve would only be in the way
        throw error;
      } finally {
        await handle.close();
      }
    },
    async release() {
      const held = (await size()) > 0;
      if (held) await unlink(file);
      return held;
    },
  };
}
