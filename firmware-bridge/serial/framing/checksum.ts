import { crc32 } from 'node:zlib';
import type { Checksum } from './framer.ts';

export const CHECKSUMS = ['none', 'crc16_modbus', 'crc16_ccitt', 'crc32', 'nmea', 'xor8'] as const;
export type ChecksumName = (typeof CHECKSUMS)[number];

/** A checksum as a number, and how its bytes stand at the end of a frame. */
interface Algorithm {
  readonly bytes: number;
  readonly order: 'little' | 'big';
  of(data: Buffer): number;
}

/** CRC-16 of each single byte, so that a byte costs one look. */
function crc16Table(step: (crc: number) => number, shift: number): Uint16Array {
  return Uint16Array.from({ length: 256 }, (_, byte) => {
    let crc = byte << shift;
    for (let bit = 0; bit < 8; bit++) crc = step(crc);
    return crc & 0xffff;
  });
}

const MODBUS = crc16Table((crc) => (crc & 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1), 0);
const CCITT = crc16Table((crc) => (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1), 8);

function crc16Modbus(data: Buffer): number {
  let crc = 0xffff;
  for (let i = 0; i < data.length; i++)
    crc = (crc >>> 8) ^ (MODBUS[(crc ^ (data[i] ?? 0)) & 0xff] ?? 0);
  return crc;
}

function crc16Ccitt(data: Buffer): number {
  let crc = 0xffff;
  for (let i = 0; i < data.length; i++)
    crc = ((crc << 8) & 0xffff) ^ (CCITT[(crc >>> 8) ^ (data[i] ?? 0)] ?? 0);
  return crc;
}

function xor8(data: Buffer): number {
  let xor = 0;
  for (let i = 0; i < data.length; i++) xor ^= data[i] ?? 0;
  return xor;
}

const ALGORITHMS: Readonly<Record<Exclude<ChecksumName, 'none' | 'nmea'>, Algorithm>> = {
  crc16_modbus: { bytes: 2, order: 'little', of: crc16Modbus },
  crc16_ccitt: { bytes: 2, order: 'big', of: crc16Ccitt },
  crc32: { bytes: 4, order: 'little', of: (data) => crc32(data) },
  xor8: { bytes: 1, order: 'big', of: xor8 },
};

const NONE: Checksum = { bytes: 0, open: (frame) => frame, seal: (body) => body };

function binary({ bytes, order, of }: Algorithm): Checksum {
  const isLittle = order === 'little';
  return {
    bytes,
    open(frame) {
      const end = frame.length - bytes;
      if (end < 0) return undefined;
      const body = frame.subarray(0, end);
      const written = isLittle ? frame.readUIntLE(end, bytes) : frame.readUIntBE(end, bytes);
      return written === of(body) ? body : undefined;
    },
    seal(body) {
      const frame = Buffer.allocUnsafe(body.length + bytes);
      body.copy(frame);
      if (isLittle) frame.writeUIntLE(of(body), body.length, bytes);
      else frame.writeUIntBE(of(body), body.length, bytes);
      return frame;
    },
  };
}

const STAR = 0x2a;

/** `*` and hexadecimal digits: a binary checksum in a line could be a line end itself. */
function text({ bytes, of }: Algorithm): Checksum {
  const digits = 2 * bytes;
  return {
    bytes: digits + 1,
    open(frame) {
      const star = frame.length - digits - 1;
      if (star < 0 || frame[star] !== STAR) return undefined;
      const body = frame.subarray(0, star);
      const written = frame.toString('latin1', star + 1);
      return /^[0-9A-Fa-f]+$/.test(written) && Number.parseInt(written, 16) === of(body)
        ? body
        : undefined;
    },
    seal(body) {
      const hex = of(body).toString(16).toUpperCase().padStart(digits, '0');
      return Buffer.concat([body, Buffer.from(`*${hex}`)]);
    },
  };
}

/** NMEA 0183: the exclusive or of what stands between `$` or `!` and `*`. */
function nmea(): Checksum {
  const inside = (data: Buffer) => {
    const first = data[0];
    return xor8(first === 0x24 || first === 0x21 ? data.subarray(1) : data);
  };
  return text({ bytes: 1, order: 'big', of: inside });
}

/** `isText`: the frames are lines, which end at a certain byte. */
export function checksumOf(name: ChecksumName, isText: boolean): Checksum {
  if (name === 'none') return NONE;
  if (name === 'nmea') return nmea();
  return isText ? text(ALGORITHMS[name]) : binary(ALGORITHMS[name]);
}
