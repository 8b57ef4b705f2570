import type { FileHandle } from 'node:fs/promises';
import { varint } from './bytes.ts';
import { crc32c, maskCrc } from './crc32c.ts';
import type { Version } from './operations.ts';
import { BlockWriter, internalKey } from './table-block.ts';

const BLOCK_BYTES = 4096;
const FOOTER_BYTES = 48;
const MAGIC = 0xdb4775248b80fb57n;

/** What a MANIFEST wants to know of a table. */
export interface WrittenTable {
  readonly bytes: number;
  readonly smallest: Buffer;
  readonly largest: Buffer;
}

/**
 * Writes `versions`, which come in the order of a table, as one; without a filter, which LevelDB
 * can do without. Undefined when there was nothing to write.
 */
export async function writeTable(
  file: FileHandle,
  versions: AsyncIterable<Version>,
): Promise<WrittenTable | undefined> {
  const index = new BlockWriter();
  let block = new BlockWriter();
  let at = 0;
  let smallest: Buffer | undefined;
  let largest: Buffer = Buffer.alloc(0);

  const put = async (writer: BlockWriter): Promise<Buffer> => {
    const bytes = writer.finish();
    const trailer = Buffer.alloc(5); // the first byte: not compressed
    trailer.writeUInt32LE(maskCrc(crc32c(trailer, 0, 1, crc32c(bytes))), 1);
    await file.writeFile(Buffer.concat([bytes, trailer]));
    const place = Buffer.concat([varint(at), varint(bytes.length)]);
    at += bytes.length + trailer.length;
    return place;
  };
  const flush = async () => {
    index.add(largest, await put(block));
    block = new BlockWriter();
  };

  for await (const version of versions) {
    const key = internalKey(version);
    smallest ??= key;
    largest = key;
    block.add(key, version.value ?? Buffer.alloc(0));
    if (block.bytes >= BLOCK_BYTES) await flush();
  }
  if (!smallest) return undefined;
  if (!block.empty) await flush();
  const places = Buffer.concat([await put(new BlockWriter()), await put(index)]);
  const footer = Buffer.alloc(FOOTER_BYTES);
  places.copy(footer);
  footer.writeBigUInt64LE(MAGIC, FOOTER_BYTES - 8);
  await file.writeFile(footer);
  return { bytes: at + FOOTER_BYTES, smallest, largest };
}
