/**
 * The log of QEMU's `blklogwrites` driver, in the format of Linux' dm-log-writes: every write and
 * every flush of a disk, in the order in which the disk got them.
 *
 * A sector with a header (magic, version, entries, sector size), then for each request one sector
 * with four 64-bit numbers (first sector, sectors, flags, length of inline data) and, unless it is
 * a discard, the sectors that were written. A flush has no sectors.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

export const SECTOR_BYTES = 512;
const MAGIC = 0x6a736677736872n;
const FLUSH = 1;
const DISCARD = 4;

export interface LoggedWrite {
  /** Where on the disk, in bytes. */
  readonly diskAt: number;
  readonly bytes: number;
  /** Where in the log its data are. */
  readonly logAt: number;
}

export interface Flush {
  /** The size of the log when it ended with this flush. */
  readonly logEnd: number;
  /** Writes before it. */
  readonly writes: number;
}

export class WriteLog {
  readonly writes: readonly LoggedWrite[];
  readonly flushes: readonly Flush[];
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'r');
    const writes: LoggedWrite[] = [];
    const flushes: Flush[] = [];
    const size = fstatSync(this.#file).size;
    if (this.#read(0, SECTOR_BYTES).readBigUInt64LE(0) !== MAGIC)
      throw new Error(`${path} is no log of writes`);
    for (let at = SECTOR_BYTES; at + SECTOR_BYTES <= size; ) {
      const header = this.#read(at, SECTOR_BYTES);
      const [diskAt, bytes] = [0, 8].map(
        (place) => Number(header.readBigUInt64LE(place)) * SECTOR_BYTES,
      );
      const flags = Number(header.readBigUInt64LE(16));
      const known = flags === 0 || flags === DISCARD || (flags === FLUSH && bytes === 0);
      if (diskAt === undefined || bytes === undefined || !known)
        throw new Error(`a request with flags ${flags} and ${bytes} bytes at ${at} of ${path}`);
      at += SECTOR_BYTES;
      // what a discard leaves behind may be anything, so also what was there before
      if (flags === DISCARD) continue;
      if (flags === FLUSH) flushes.push({ logEnd: at, writes: writes.length });
      else writes.push({ diskAt, bytes, logAt: at });
      at += bytes;
    }
    this.writes = writes;
    this.flushes = flushes;
  }

  data({ logAt, bytes }: LoggedWrite): Buffer {
    return this.#read(logAt, bytes);
  }

  /** The last flush in the log when it had this size; -1 when there was none yet. */
  flushAt(logBytes: number): number {
    let [from, to] = [0, this.flushes.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((this.flushes[middle]?.logEnd ?? 0) <= logBytes) from = middle + 1;
      else to = middle;
    }
    return from - 1;
  }

  close(): void {
    closeSync(this.#file);
  }

  #read(at: number, bytes: number): Buffer {
    const buffer = Buffer.alloc(bytes);
    if (readSync(this.#file, buffer, 0, bytes, at) !== bytes)
      throw new Error(`the log of writes ends in the middle of a request, at ${at}`);
    return buffer;
  }
}
