/** CRC-8 as Sensirion and Aosong use it: polynomial x⁸+x⁵+x⁴+1, from 0xff, unreflected. */
const POLYNOMIAL = 0x31;
const START = 0xff;

export function crc8(bytes: Buffer): number {
  let crc = START;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++)
      crc = (crc & 0x80) === 0 ? (crc << 1) & 0xff : ((crc << 1) ^ POLYNOMIAL) & 0xff;
  }
  return crc;
}

export type CrcPlace = 'each_word' | 'last_byte';

const WORD_BYTES = 2;

/** Bytes without their CRCs, of `length` bytes with them. */
export function payloadLength(length: number, place: CrcPlace | undefined): number {
  if (place === undefined) return length;
  return place === 'last_byte' ? length - 1 : (length / (WORD_BYTES + 1)) * WORD_BYTES;
}

/** The bytes without their CRCs; undefined when one is wrong. */
export function checkedPayload(bytes: Buffer, place: CrcPlace | undefined): Buffer | undefined {
  if (place === undefined) return bytes;
  const part = place === 'last_byte' ? bytes.length - 1 : WORD_BYTES;
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += part + 1) {
    const data = bytes.subarray(at, at + part);
    if (bytes[at + part] !== crc8(data)) return undefined;
    parts.push(data);
  }
  return Buffer.concat(parts);
}
