/**
 * A record of the write-ahead log is one write: operations that count or do not count together.
 *
 *   u64 sequence of the first | u32 number | per operation: u8 type, key, and a value for a put
 */
import { ByteReader, FormatError } from './bytes.ts';

const HEADER_BYTES = 12;
const DELETE = 0;
const PUT = 1;

/** One version of a key. Without a value the key was deleted. */
export interface Version {
  readonly key: Buffer;
  readonly sequence: number;
  readonly value: Buffer | undefined;
}

/** Errors: FormatError. */
export function readWrite(record: Buffer): Version[] {
  if (record.length < HEADER_BYTES) throw new FormatError('a write is too short');
  const sequence = Number(record.readBigUInt64LE(0));
  const count = record.readUInt32LE(8);
  const reader = new ByteReader(record, HEADER_BYTES);
  const versions: Version[] = [];
  while (!reader.done) {
    const type = reader.byte();
    if (type !== PUT && type !== DELETE) throw new FormatError(`operation ${type} is unknown`);
    const key = reader.slice();
    const value = type === PUT ? reader.slice() : undefined;
    versions.push({ key, sequence: sequence + versions.length, value });
  }
  if (versions.length !== count) throw new FormatError('a write has another number of operations');
  return versions;
}
