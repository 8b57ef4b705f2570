/**
 * The high-water mark: where each lane begins and ends, in a file of its own beside LevelDB.
 *
 * LevelDB's write-ahead log can lose its end without noticing (a flipped bit, a missing file), and
 * what is gone cannot be missed by looking at what is left. The mark can.
 *
 * Invariants:
 * - after each commit its write is under way before that commit is acknowledged; it is waited for
 *   by nobody, and under load several commits share one. So whoever has an acknowledgement is
 *   covered some milliseconds later at most: unless the process is killed before that, or power
 *   fails within SYNC_INTERVAL_MS, and damage comes on top;
 * - it is never ahead of what was committed: what it says and the log lacks is lost;
 * - two copies are written in turn, each with a checksum and a number, so that a torn write leaves
 *   the one before it;
 * - trouble with it never withholds an acknowledgement: it is the second line, not the first.
 */
import { type FileHandle, open, rename } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { describeError } from '../core/errors.ts';
import type { Lane } from '../core/event.ts';

/**
 * The page cache survives everything but a power cut; after one, LevelDB's log is sound up to what
 * it synced, and the mark may be this much older without harm. Each sync costs a page of the card.
 */
const SYNC_INTERVAL_MS = 30_000;
/** Between two writes under load: each one takes a thread, and there are hundreds of commits. */
const PAUSE_MS = 5;
/**
 * A copy is at most about 1 KiB; both fit a page, so that the card is written no more than that.
 */
const COPY_BYTES = 2048;
const HEADER_BYTES = 12;
const MAGIC = 0x314d_4648; // "HFM1"

/** Positions of a lane, see LaneState. */
export interface MarkedLane {
  readonly head: number;
  readonly tail: number;
  readonly headBytes: number;
  readonly tailBytes: number;
  /** Absent in a mark of before there were thinned blocks. */
  readonly savedBytes?: number;
}

export interface MarkFacts {
  readonly logId: string;
  readonly lanes: Readonly<Record<Lane, MarkedLane>>;
  /** Of the ledger: what would be forgotten with the newest part. Bounded by lanes x reasons. */
  readonly lost?: Readonly<Record<string, number>>;
  readonly refused?: Readonly<Record<Lane, number>>;
}

export interface LoadedMark {
  readonly facts: MarkFacts | undefined;
  /** What is wrong with the file, in the user's words. */
  readonly problem: string | undefined;
}

export interface HighWaterMark {
  load(): Promise<LoadedMark>;
  /** Sees to it that what `facts` answers then is written soon. Trouble is told, never thrown. */
  note(facts: () => MarkFacts): void;
  /** Resolves when everything noted has been written and synced. */
  close(): Promise<void>;
}

interface Copy {
  readonly number: number;
  readonly facts: MarkFacts;
}

function seal(number: number, facts: MarkFacts): Buffer {
  const copy = Buffer.alloc(COPY_BYTES);
  const json = Buffer.from(JSON.stringify({ number, facts }));
  copy.writeUInt32LE(MAGIC, 0);
  copy.writeUInt32LE(json.length, 8);
  json.copy(copy, HEADER_BYTES);
  copy.writeUInt32LE(crc32(copy.subarray(8)), 4);
  return copy;
}

/** Undefined when nothing was ever written there; `damaged` when it was, and cannot be read. */
function unseal(copy: Buffer): Copy | 'damaged' | undefined {
  if (copy.length < COPY_BYTES) return copy.length === 0 ? undefined : 'damaged';
  if (copy.every((byte) => byte === 0)) return undefined;
  const sound = copy.readUInt32LE(0) === MAGIC && copy.readUInt32LE(4) === crc32(copy.subarray(8));
  if (!sound) return 'damaged';
  return JSON.parse(copy.toString('utf8', HEADER_BYTES, HEADER_BYTES + copy.readUInt32LE(8)));
}

/** What a file of the mark says; `number` is that of the newest copy, 0 without any. */
export function readMark(bytes: Buffer): LoadedMark & { readonly number: number } {
  const copies = [bytes.subarray(0, COPY_BYTES), bytes.subarray(COPY_BYTES)].map(unseal);
  const sound = copies.filter((copy) => copy !== undefined && copy !== 'damaged');
  const newest = sound.sort((a, b) => b.number - a.number)[0];
  const damaged = copies.some((copy) => copy === 'damaged');
  const number = newest?.number ?? 0;
  if (!damaged) return { number, facts: newest?.facts, problem: undefined };
  const which = newest ? 'one of its two copies is damaged' : 'both of its copies are damaged';
  return { number, facts: newest?.facts, problem: which };
}

/** `trouble` hears when the file cannot be written, and again (undefined) when it can. */
export function markFile(
  file: string,
  trouble: (problem: string | undefined) => void,
): HighWaterMark {
  let handle: FileHandle | undefined;
  let number = 0;
  let failed = false;
  let syncedMs = performance.now();
  let noted: (() => MarkFacts) | undefined;
  let writing: Promise<void> | undefined;

  async function read(): Promise<Buffer | undefined> {
    try {
      handle = await open(file, 'r+');
    } catch {
      return undefined; // not there yet, or not to be read: it is made anew
    }
    const bytes = Buffer.alloc(2 * COPY_BYTES);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
    return bytes.subarray(0, bytesRead);
  }

  async function write(facts: MarkFacts): Promise<void> {
    number++;
    try {
      handle ??= await open(file, 'w+', 0o640);
      await handle.write(seal(number, facts), 0, COPY_BYTES, (number % 2) * COPY_BYTES);
      if (performance.now() - syncedMs >= SYNC_INTERVAL_MS) {
        syncedMs = performance.now();
        handle.datasync().catch(() => undefined); // the next write meets the same trouble
      }
      if (failed) trouble(undefined);
      failed = false;
    } catch (error) {
      if (!failed) trouble(`cannot write ${file}: ${describeError(error)}`);
      failed = true;
      await handle?.close().catch(() => undefined); // a new handle is tried with the next one
      handle = undefined;
    }
  }

  async function writeNoted(): Promise<void> {
    while (noted) {
      const facts = noted;
      noted = undefined;
      await write(facts());
      if (noted) await delay(PAUSE_MS);
    }
    writing = undefined;
  }

  return {
    async load() {
      const bytes = (await read().catch(() => Buffer.alloc(1))) ?? Buffer.alloc(0);
      const found = readMark(bytes);
      number = found.number;
      if (found.facts || !found.problem) return found;
      await handle?.close();
      handle = undefined;
      await rename(file, `${file}.damaged`).catch(() => undefined); // then it is overwritten
      return found;
    },
    note(facts) {
      noted = facts;
      writing ??= writeNoted();
    },
    async close() {
      await writing;
      await handle?.datasync().catch(() => undefined); // only a power cut would mind
      await handle?.close().catch(() => undefined);
      handle = undefined;
    },
  };
}
