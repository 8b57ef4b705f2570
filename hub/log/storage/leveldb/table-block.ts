/**
 * A block within a table: entries in ascending order, each without what its key shares with the
 * one before, then the places of entries with whole keys.
 *
 *   entries: varint shared, varint rest, varint value length, rest of the key, value
 *   u32 each: places of whole keys | u32 their number
 *
 * Keys of data blocks are internal: the user's key, then u64 `sequence << 8 | type` (1 put, 0
 * deletion). They are ordered by user key, then newest first.
 */
import { ByteReader, FormatError, varint } from './bytes.ts';
import type { Version } from './operations.ts';

const SUFFIX_BYTES = 8;
const PUT = 1;
/** Every so many entries a key is written whole. */
const RESTART_INTERVAL = 16;

export interface BlockEntry {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Errors: FormatError. */
export function readBlockEntries(block: Buffer): BlockEntry[] {
  if (block.length < 4) throw new FormatError('a block of a table is too short');
  const end = block.length - 4 - 4 * block.readUInt32LE(block.length - 4);
  if (end < 0) throw new FormatError('a block of a table has too many places');
  const reader = new ByteReader(block.subarray(0, end));
  const entries: BlockEntry[] = [];
  let key: Buffer = Buffer.alloc(0);
  while (!reader.done) {
    const [shared, rest, bytes] = [reader.varint(), reader.varint(), reader.varint()];
    if (shared > key.length) throw new FormatError('a key shares more than there is');
    key = Buffer.concat([key.subarray(0, shared), reader.take(rest)]);
    entries.push({ key, value: reader.take(bytes) });
  }
  return entries;
}

export function userKey(internal: Buffer): Buffer {
  return internal.subarray(0, Math.max(0, internal.length - SUFFIX_BYTES));
}

export function sequenceOf(internal: Buffer): number {
  return Number(internal.readBigUInt64LE(internal.length - SUFFIX_BYTES) >> 8n);
}

/** Errors: FormatError. */
export function versionOf({ key, value }: BlockEntry): Version {
  const at = key.length - SUFFIX_BYTES;
  const type = key[at];
  if (at < 0 || type === undefined || type > PUT) throw new FormatError('a key has no sequence');
  const sequence = Number(key.readBigUInt64LE(at) >> 8n);
  return { key: key.subarray(0, at), sequence, value: type === PUT ? value : undefined };
}

export function internalKey({ key, sequence, value }: Version): Buffer {
  const suffix = Buffer.allocUnsafe(SUFFIX_BYTES);
  suffix.writeBigUInt64LE((BigInt(sequence) << 8n) | BigInt(value ? PUT : 0));
  return Buffer.concat([key, suffix]);
}

/** The order of versions in a table: by key, then newest first. */
export function compareVersions(a: Version, b: Version): number {
  return Buffer.compare(a.key, b.key) || b.sequence - a.sequence;
}

export class BlockWriter {
  #parts: Buffer[] = [];
  #places: number[] = [];
  #lastKey: Buffer = Buffer.alloc(0);
  #count = 0;
  bytes = 0;

  add(key: Buffer, value: Buffer): void {
    let shared = 0;
    if (this.#count++ % RESTART_INTERVAL === 0) this.#places.push(this.bytes);
    else while (shared < key.length && key[shared] === this.#lastKey[shared]) shared++;
    const rest = key.subarray(shared);
    const parts = [varint(shared), varint(rest.length), varint(value.length), rest, value];
    this.#parts.push(...parts);
    for (const part of parts) this.bytes += part.length;
    this.#lastKey = key;
  }

  get empty(): boolean {
    return this.#count === 0;
  }

  finish(): Buffer {
    const places = this.#places.length > 0 ? this.#places : [0];
    const trailer = Buffer.allocUnsafe(4 * places.length + 4);
    for (const [index, place] of places.entries()) trailer.writeUInt32LE(place, 4 * index);
    trailer.writeUInt32LE(places.length, 4 * places.length);
    return Buffer.concat([...this.#parts, trailer]);
  }
}
