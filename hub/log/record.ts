import { crc32 } from 'node:zlib';

const CRC_BYTES = 4;

/**
 * A small fact of the log as it is stored: CRC-32, then JSON. LevelDB does not notice a flipped
 * bit, and a wrong digit in a cursor would skip events in silence.
 */
export function sealRecord(value: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(value));
  const record = Buffer.allocUnsafe(CRC_BYTES + json.length);
  record.writeUInt32LE(crc32(json), 0);
  json.copy(record, CRC_BYTES);
  return record;
}

/** The value that was sealed; undefined when there is none or it is damaged. */
export function openRecord<Value>(record: Buffer | undefined): Value | undefined {
  if (!record || record.length <= CRC_BYTES) return undefined;
  const json = record.subarray(CRC_BYTES);
  return crc32(json) === record.readUInt32LE(0) ? JSON.parse(json.toString()) : undefined;
}
