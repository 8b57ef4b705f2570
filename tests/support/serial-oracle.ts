/**
 * What devices send, written once more from the standards and without any code of the hub: frames,
 * checksums bit by bit, and bodies with what is to become of them.
 */

export type Framing = 'lines' | 'delimiter' | 'cobs' | 'slip' | 'fixed' | 'length_prefixed';
export type ChecksumKind = 'none' | 'crc16_modbus' | 'crc16_ccitt' | 'crc32' | 'nmea' | 'xor8';
export type Body = 'json' | 'csv' | 'key_value' | 'regex' | 'nmea' | 'cbor' | 'messagepack' | 'raw';

export interface Combination {
  readonly framing: Framing;
  readonly checksum: ChecksumKind;
  readonly format: Body;
}

const FRAMINGS: readonly Framing[] = [
  ...(['lines', 'delimiter', 'cobs', 'slip', 'fixed', 'length_prefixed'] as const),
];
const CHECKSUMS: readonly ChecksumKind[] = [
  ...(['none', 'crc16_modbus', 'crc16_ccitt', 'crc32', 'nmea', 'xor8'] as const),
];
const TEXTS: readonly Body[] = ['json', 'csv', 'key_value', 'regex', 'nmea', 'raw'];
const BINARIES: readonly Body[] = [
  ...(['json', 'csv', 'key_value', 'regex', 'cbor', 'messagepack', 'raw'] as const),
];

export const isText = (framing: Framing) => framing === 'lines' || framing === 'delimiter';

/** All that `holdfast check` allows. */
export function combinations(): Combination[] {
  return FRAMINGS.flatMap((framing) =>
    CHECKSUMS.filter((checksum) => checksum !== 'nmea' || isText(framing)).flatMap((checksum) =>
      (isText(framing) ? TEXTS : BINARIES)
        .filter((format) => format !== 'nmea' || checksum === 'nmea')
        .map((format) => ({ framing, checksum, format })),
    ),
  );
}

const ETX = 0x03;
/** Of bodies of `fixed`. */
export const FIXED_BYTES = 48;
const START = Buffer.from('aa55', 'hex');

/** As the configuration has it, without braces. */
export function optionsOf({ framing, checksum, format }: Combination): string {
  const of: Readonly<Record<Framing, string>> = {
    lines: '',
    delimiter: ', delimiter: "\\x03"',
    cobs: '',
    slip: '',
    fixed: `, frame_bytes: ${FIXED_BYTES}, start_bytes: aa55`,
    length_prefixed: ', start_bytes: aa55, length_bytes: 2, length_byte_order: little',
  };
  const columns = format === 'csv' ? ', columns: [n, s, _]' : '';
  const pattern = format === 'regex' ? ", pattern: '^N(?<n>\\d+) (?<s>\\w+)'" : '';
  return `framing: ${framing}${of[framing]}, checksum: ${checksum}, format: ${format}${columns}${pattern}`;
}

function bitwise(bytes: Uint8Array, crc: number, step: (crc: number, byte: number) => number) {
  for (const byte of bytes) crc = step(crc, byte);
  return crc;
}

/** Low bit first, as Modbus and CRC-32 go; shifts are of 32 bits without sign. */
function reflected(bytes: Uint8Array, start: number, polynomial: number): number {
  return bitwise(bytes, start, (crc, byte) => {
    crc = (crc ^ byte) >>> 0;
    for (let i = 0; i < 8; i++) crc = crc & 1 ? ((crc >>> 1) ^ polynomial) >>> 0 : crc >>> 1;
    return crc;
  });
}

function checksumBytes(kind: ChecksumKind, body: Buffer): Buffer {
  const bytes = Buffer.alloc(4);
  const xor = (of: Uint8Array) => bitwise(of, 0, (crc, byte) => crc ^ byte);
  switch (kind) {
    case 'none':
      return Buffer.alloc(0);
    case 'crc16_modbus':
      bytes.writeUInt16LE(reflected(body, 0xffff, 0xa001));
      return bytes.subarray(0, 2);
    case 'crc16_ccitt': {
      const crc = bitwise(body, 0xffff, (value, byte) => {
        for (let bit = 7; bit >= 0; bit--) {
          const isOut = ((value >> 15) ^ (byte >> bit)) & 1;
          value = ((value << 1) & 0xffff) ^ (isOut ? 0x1021 : 0);
        }
        return value;
      });
      bytes.writeUInt16BE(crc);
      return bytes.subarray(0, 2);
    }
    case 'crc32':
      bytes.writeUInt32LE((reflected(body, 0xffffffff, 0xedb88320) ^ 0xffffffff) >>> 0);
      return bytes;
    case 'nmea':
      return Buffer.of(xor(/^[$!]/.test(body.toString('latin1')) ? body.subarray(1) : body));
    case 'xor8':
      return Buffer.of(xor(body));
  }
}

/** In text the number as hexadecimal digits, the highest first; that of binary may be turned. */
function sealed({ framing, checksum }: Combination, body: Buffer): Buffer {
  const bytes = checksumBytes(checksum, body);
  if (!isText(framing) || bytes.length === 0) return Buffer.concat([body, bytes]);
  const isLittle = checksum === 'crc16_modbus' || checksum === 'crc32';
  const digits = (isLittle ? Buffer.from(bytes).reverse() : bytes).toString('hex');
  return Buffer.concat([body, Buffer.from(`*${digits}`)]);
}

function cobs(bytes: Buffer): Buffer {
  const out: number[] = [];
  let block: number[] = [];
  for (const byte of [...bytes, 0]) {
    if (byte !== 0) block.push(byte);
    if (byte !== 0 && block.length < 254) continue;
    out.push(block.length + 1, ...block);
    block = [];
  }
  return Buffer.from([...out, 0]);
}

function slip(bytes: Buffer): Buffer {
  const hex = bytes.toString('hex').replaceAll(/../g, (byte) => {
    return byte === 'c0' ? 'dbdc' : byte === 'db' ? 'dbdd' : byte;
  });
  return Buffer.from(`${hex}c0`, 'hex');
}

/** Bytes on the wire. */
export function frame(combination: Combination, body: Buffer): Buffer {
  switch (combination.framing) {
    case 'lines':
      return Buffer.concat([sealed(combination, body), Buffer.from('\r\n')]);
    case 'delimiter':
      return Buffer.concat([sealed(combination, body), Buffer.of(ETX)]);
    case 'cobs':
      return cobs(sealed(combination, body));
    case 'slip':
      return slip(sealed(combination, body));
    case 'fixed':
      return Buffer.concat([START, sealed(combination, body)]);
    case 'length_prefixed': {
      const length = Buffer.alloc(2);
      length.writeUInt16LE(body.length);
      return Buffer.concat([START, sealed(combination, Buffer.concat([length, body]))]);
    }
  }
}

/** What ends anything that was begun; empty where nothing does. */
export function delimiterOf(framing: Framing): Buffer {
  const ends: Partial<Record<Framing, number>> = {
    lines: 0x0a,
    delimiter: ETX,
    cobs: 0,
    slip: 0xc0,
  };
  const end = ends[framing];
  return end === undefined ? Buffer.alloc(0) : Buffer.of(end);
}

/** A body with the number `n` in it, and the payload that it has to become, or its bytes. */
export function bodyOf(
  { framing, format }: Combination,
  n: number,
  random: () => number,
): { readonly body: Buffer; readonly payload: object | Buffer } {
  const s = `w${Math.floor(random() * 1e6)}`;
  const padded = (text: string) => {
    const missing = framing === 'fixed' ? FIXED_BYTES - Buffer.byteLength(text) : 0;
    return Buffer.from(text + ' '.repeat(missing));
  };
  switch (format) {
    case 'json':
      return { body: padded(`{"n":${n},"s":"${s} é"}`), payload: { n, s: `${s} é` } };
    case 'csv':
      return { body: padded(`${n},"${s}, ""q""",x`), payload: { n, s: `${s}, "q"` } };
    case 'key_value':
      return { body: padded(`n=${n} s:${s}`), payload: { n, s } };
    case 'regex':
      return { body: padded(`N${n} ${s} °C`.slice(0, 30)), payload: { n, s } };
    case 'nmea':
      return { body: Buffer.from(`$SDDBT,${n}.5,f,${n}.25,M,1.0,F`), payload: { depth: n + 0.25 } };
    case 'cbor':
      return mapBody(framing, n, s, [0xa2, 0x61, 0x6e, 0x1a], [0x61, 0x73, 0x78]);
    case 'messagepack':
      return mapBody(framing, n, s, [0x82, 0xa1, 0x6e, 0xce], [0xa1, 0x73, 0xd9]);
    case 'raw': {
      const length = framing === 'fixed' ? FIXED_BYTES : 1 + Math.floor(random() * 300);
      // every byte there is; in text those above its controls, and no digit of a JSON document
      const least = isText(framing) ? 0x80 : 0;
      const body = Buffer.from(
        Array.from({ length }, () => least + Math.floor(random() * (256 - least))),
      );
      body[0] = 0xff;
      return { body, payload: body };
    }
  }
}

/** A map of `n`, 32 bits, and `s`, text with a length of one byte. */
function mapBody(
  framing: Framing,
  n: number,
  s: string,
  head: readonly number[],
  name: readonly number[],
): { body: Buffer; payload: object } {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(n);
  const fixed = FIXED_BYTES - head.length - 4 - name.length - 1;
  const text = framing === 'fixed' ? s.padEnd(fixed, 'x') : s;
  const parts = [Buffer.from(head), number, Buffer.from(name), Buffer.of(text.length)];
  return { body: Buffer.concat([...parts, Buffer.from(text)]), payload: { n, s: text } };
}
