/**
 * CRC-32C as LevelDB uses it. Node.js has only CRC-32, whose polynomial is another. Eight bytes a
 * step ("slicing by 8"): the write-ahead log is checked whole at every start.
 */
const POLYNOMIAL = 0x82f63b78;
const SLICES = 8;
const MASK_DELTA = 0xa282ead8;

function makeTables(): Int32Array {
  const tables = new Int32Array(SLICES * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[byte] = crc;
  }
  for (let at = 256; at < tables.length; at++) {
    const before = tables[at - 256] ?? 0;
    tables[at] = (before >>> 8) ^ (tables[before & 0xff] ?? 0);
  }
  return tables;
}

/** At `slice * 256 + byte`. */
const TABLES = makeTables();
const table = (index: number): number => TABLES[index] ?? 0;

/** The CRC of `bytes[start..end)`; `before` is the CRC of what came before it. */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length, before = 0): number {
  let crc = ~before;
  let at = start;
  const byte = (index: number): number => bytes[index] ?? 0;
  for (const last = end - 8; at <= last; at += 8) {
    const low =
      crc ^ (byte(at) | (byte(at + 1) << 8) | (byte(at + 2) << 16) | (byte(at + 3) << 24));
    crc =
      table(1792 + (low & 0xff)) ^
      table(1536 + ((low >>> 8) & 0xff)) ^
      table(1280 + ((low >>> 16) & 0xff)) ^
      table(1024 + (low >>> 24)) ^
      table(768 + byte(at + 4)) ^
      table(512 + byte(at + 5)) ^
      table(256 + byte(at + 6)) ^
      table(byte(at + 7));
  }
  for (; at < end; at++) crc = table((crc ^ byte(at)) & 0xff) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** One byte more. For `crc32c` of a growing range; both take and give the same kind of number. */
export function crc32cStep(crc: number, byte: number): number {
  return ~(table((~crc ^ byte) & 0xff) ^ (~crc >>> 8)) >>> 0;
}

/**
 * The form in which LevelDB stores a CRC: the CRC of bytes that contain their CRC would tell
 * nothing.
 */
export function maskCrc(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}
