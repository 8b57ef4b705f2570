/**
 * Reading a table (`.ldb`) without LevelDB, and without trusting it.
 *
 * Invariants:
 * - every block is checked against its CRC before anything in it is believed;
 * - a damaged block costs that block: the index says where the next one begins;
 * - without a readable index the blocks are found one after another: a block ends where the CRC of
 *   what was read so far stands behind it. After one that is damaged, what looks like the first
 *   entry of a block is tried;
 * - one block is in memory at a time, and the index.
 *
 *   data blocks | filter, metaindex | index | footer (48 bytes)
 *   each block: bytes | u8 compression | u32 masked CRC-32C of both
 */
import { type FileHandle, open } from 'node:fs/promises';
import { ByteReader, FormatError } from './bytes.ts';
import { crc32c, crc32cStep, maskCrc } from './crc32c.ts';
import { readRange } from './files.ts';
import type { Spot } from './framing.ts';
import type { Version } from './operations.ts';
import { unsnap } from './snappy.ts';
import { type BlockEntry, readBlockEntries, userKey, versionOf } from './table-block.ts';

const FOOTER_BYTES = 48;
const MAGIC = 0xdb4775248b80fb57n;
const TRAILER_BYTES = 5;
const UNCOMPRESSED = 0;
const SNAPPY = 1;
/**
 * A table is 2 MiB, or one value more: the log's largest block is 260 MiB. A larger one is none.
 */
const TABLE_BYTES_MAX = 512 * 1024 * 1024;
/** Keys of ours are 10 bytes and some hundred at most; this only sorts out what is no key. */
const KEY_BYTES_MAX = 64 * 1024;
const KEY_BYTES_MIN = 9;

interface Place {
  readonly offset: number;
  /** Without the trailer. */
  readonly bytes: number;
}

interface DataPlace extends Place {
  /** No key in the block is greater. */
  readonly until: Buffer;
}

export interface KeyBounds {
  readonly gte?: Buffer;
  /** Exclusive. */
  readonly lt?: Buffer;
}

export type TablePart =
  | { readonly kind: 'block'; readonly offset: number; readonly versions: readonly Version[] }
  | ({ readonly kind: 'damage' } & Spot);

function readPlace(reader: ByteReader): Place {
  return { offset: reader.varint(), bytes: reader.varint() };
}

/** The bytes of a block whose checksum is good. Errors: FormatError. */
function checkBlock(stored: Buffer): Buffer {
  const end = stored.length - TRAILER_BYTES;
  if (end < 0) throw new FormatError('it is cut short');
  if (stored.readUInt32LE(end + 1) !== maskCrc(crc32c(stored, 0, end + 1))) {
    throw new FormatError('its checksum does not match');
  }
  if (stored[end] === SNAPPY) return unsnap(stored.subarray(0, end));
  if (stored[end] !== UNCOMPRESSED) throw new FormatError('its compression is unknown');
  return stored.subarray(0, end);
}

function problemOf(error: unknown): string {
  if (error instanceof FormatError) return error.message;
  throw error;
}

export class TableReader {
  /** Why index, filter or footer cannot be used; the blocks are looked for then. */
  readonly problem: string | undefined;
  readonly bytes: number;
  readonly #file: FileHandle;
  readonly #places: readonly DataPlace[];
  /** Where the data blocks end. */
  readonly #dataEnd: number;

  /** Use `openTable`. */
  constructor(file: FileHandle, bytes: number, index: Index | string) {
    this.#file = file;
    this.bytes = bytes;
    this.problem = typeof index === 'string' ? index : undefined;
    this.#places = typeof index === 'string' ? [] : index.places;
    this.#dataEnd = typeof index === 'string' ? bytes : index.dataEnd;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Good blocks and damaged spots, in order; with an index only those that may hold `bounds`. */
  async *parts(bounds: KeyBounds = {}): AsyncGenerator<TablePart> {
    if (this.problem !== undefined) {
      yield* this.#scan();
      return;
    }
    for (const { offset, bytes, until } of this.#places) {
      if (bounds.gte && Buffer.compare(until, bounds.gte) < 0) continue;
      let versions: Version[];
      try {
        versions = await this.#versionsAt(offset, bytes);
      } catch (error) {
        const spot = { offset, bytes: bytes + TRAILER_BYTES, problem: problemOf(error) };
        yield { kind: 'damage', ...spot };
        continue;
      }
      const first = versions[0];
      if (bounds.lt && first && Buffer.compare(first.key, bounds.lt) >= 0) return;
      yield { kind: 'block', offset, versions };
    }
  }

  /** What can be read, in the order of the table, within `bounds`. */
  async *versions(bounds: KeyBounds = {}): AsyncGenerator<Version> {
    for await (const part of this.parts(bounds)) {
      if (part.kind === 'damage') continue;
      for (const version of part.versions) {
        if (bounds.gte && Buffer.compare(version.key, bounds.gte) < 0) continue;
        if (!bounds.lt || Buffer.compare(version.key, bounds.lt) < 0) yield version;
      }
    }
  }

  /** The first and the last version; undefined when they, or the index, are damaged. */
  async ends(): Promise<{ first: Version; last: Version } | undefined> {
    const [first, last] = [this.#places[0], this.#places.at(-1)];
    if (!first || !last) return undefined;
    try {
      const begin = (await this.#versionsAt(first.offset, first.bytes))[0];
      const end = (await this.#versionsAt(last.offset, last.bytes)).at(-1);
      return begin && end && { first: begin, last: end };
    } catch (error) {
      problemOf(error);
      return undefined;
    }
  }

  async #versionsAt(offset: number, bytes: number): Promise<Version[]> {
    if (bytes > TABLE_BYTES_MAX) throw new FormatError('it is too large');
    const block = checkBlock(await readRange(this.#file, offset, bytes + TRAILER_BYTES));
    return readBlockEntries(block).map(versionOf);
  }

  /** Blocks without an index. What is no data block (filter, index) is passed over in silence. */
  async *#scan(): AsyncGenerator<TablePart> {
    const { bytes } = this;
    if (bytes > TABLE_BYTES_MAX) {
      yield { kind: 'damage', offset: 0, bytes, problem: 'it is too large for a table' };
      return;
    }
    const whole = await readRange(this.#file, 0, this.#dataEnd);
    let damagedFrom: number | undefined;
    let at = 0;
    while (at < whole.length) {
      const end = looksLikeBlock(whole, at) ? blockEnd(whole, at) : undefined;
      const versions = end === undefined ? undefined : dataBlock(whole.subarray(at, end));
      if (end === undefined || !versions) {
        damagedFrom ??= at;
        at = nextCandidate(whole, end ?? at + 1);
        continue;
      }
      if (damagedFrom !== undefined) yield spotBetween(damagedFrom, at);
      damagedFrom = undefined;
      yield { kind: 'block', offset: at, versions };
      at = end;
    }
    if (damagedFrom !== undefined) yield spotBetween(damagedFrom, whole.length);
  }
}

function spotBetween(from: number, to: number): TablePart {
  const problem = 'no block can be found here';
  return { kind: 'damage', offset: from, bytes: to - from, problem };
}

/** An index has the form of a data block; its values are the places of blocks without gaps. */
function holdsIndex(entries: readonly BlockEntry[]): boolean {
  let next = 0;
  try {
    for (const { value } of entries) {
      const reader = new ByteReader(value);
      if (reader.varint() !== next) return false;
      next += reader.varint() + TRAILER_BYTES;
      if (!reader.done) return false;
    }
    return true;
  } catch (error) {
    problemOf(error); // a value that is no place
    return false;
  }
}

function dataBlock(stored: Buffer): Version[] | undefined {
  try {
    const entries = readBlockEntries(checkBlock(stored));
    if (holdsIndex(entries)) return undefined;
    return entries.map(versionOf);
  } catch (error) {
    problemOf(error);
    return undefined;
  }
}

/** Whether an entry with a whole key that has a sequence could begin at `at`. */
function looksLikeBlock(whole: Buffer, at: number): boolean {
  if (whole[at] !== 0) return false;
  const reader = new ByteReader(whole, at + 1);
  try {
    const [keyBytes, valueBytes] = [reader.varint(), reader.varint()];
    if (keyBytes < KEY_BYTES_MIN || keyBytes > KEY_BYTES_MAX) return false;
    const keyEnd = reader.at + keyBytes;
    const type = whole[keyEnd - 8];
    // sequences stay far below 2^40; without that every 32 KiB of noise would be tried
    const sequenceTop = whole.readUInt16LE(Math.min(keyEnd, whole.length) - 2);
    return (type === 0 || type === 1) && sequenceTop === 0 && keyEnd + valueBytes <= whole.length;
  } catch (error) {
    problemOf(error);
    return false;
  }
}

function nextCandidate(whole: Buffer, from: number): number {
  for (let at = from; at < whole.length; at++) {
    at = whole.indexOf(0, at);
    if (at < 0) break;
    if (looksLikeBlock(whole, at)) return at;
  }
  return whole.length;
}

/** Where the block that begins at `at` ends, its trailer included. */
function blockEnd(whole: Buffer, at: number): number | undefined {
  let crc = 0;
  // every place may be the last before the CRC; the byte before it is the compression
  for (let end = at; end + 4 < whole.length; end++) {
    crc = crc32cStep(crc, whole[end] ?? 0);
    if (end > at && whole.readUInt32LE(end + 1) === maskCrc(crc)) return end + 1 + 4;
  }
  return undefined;
}

interface Index {
  readonly places: readonly DataPlace[];
  readonly dataEnd: number;
}

/** Footer, index and what lies between it and the data: LevelDB believes a damaged filter. */
async function readIndex(file: FileHandle, bytes: number): Promise<Index> {
  if (bytes < FOOTER_BYTES) throw new FormatError('it is cut short');
  const footer = await readRange(file, bytes - FOOTER_BYTES, FOOTER_BYTES);
  if (footer.length < FOOTER_BYTES || footer.readBigUInt64LE(FOOTER_BYTES - 8) !== MAGIC) {
    throw new FormatError('its footer is damaged');
  }
  const reader = new ByteReader(footer);
  const meta = readPlace(reader);
  const index = readPlace(reader);
  const inside = ({ offset, bytes: size }: Place) => offset + size + TRAILER_BYTES <= bytes;
  if (!inside(meta) || !inside(index)) throw new FormatError('its footer is damaged');
  const at = async (place: Place) => {
    return readBlockEntries(
      checkBlock(await readRange(file, place.offset, place.bytes + TRAILER_BYTES)),
    );
  };
  const places = (await at(index)).map(({ key, value }): DataPlace => {
    return { ...readPlace(new ByteReader(value)), until: userKey(key) };
  });
  if (!places.every(inside)) throw new FormatError('its index is damaged');
  const last = places.at(-1);
  const dataEnd = last ? last.offset + last.bytes + TRAILER_BYTES : 0;
  for (const { value } of await at(meta)) {
    const filter = readPlace(new ByteReader(value));
    if (!inside(filter)) throw new FormatError('its filter is damaged');
    checkBlock(await readRange(file, filter.offset, filter.bytes + TRAILER_BYTES));
  }
  return { places, dataEnd };
}

/** Errors: those of the file system, ENOENT too. */
export async function openTable(path: string): Promise<TableReader> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const index = await readIndex(file, size).catch(problemOf);
    return new TableReader(file, size, index);
  } catch (error) {
    await file.close();
    throw error;
  }
}
