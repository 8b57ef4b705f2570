/**
 * Frames of Modbus RTU: unit, function, data, CRC-16 with the low byte first. What an answer to a
 * request must look like is known before it comes, down to its length, and for writes down to
 * every byte: that is how answers are told from noise and from other slaves' frames.
 */
const CRC_POLYNOMIAL = 0xa001;
const CRC_BYTES = 2;
/** Unit, function, exception code, CRC. */
const EXCEPTION_BYTES = 5;
const EXCEPTION_FLAG = 0x80;
/** Unit, function, number of bytes, CRC. */
const READ_ANSWER_BYTES = 5;
const WRITE_ANSWER_BYTES = 8;
export const FUNCTION_DIAGNOSTICS = 8;

const CRC_TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CRC_POLYNOMIAL : crc >>> 1;
  return crc;
});

/** CRC-16/MODBUS of `bytes`. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0);
  return crc;
}

/** `body` (unit, function, data) with its CRC. */
export function frameOf(body: Uint8Array): Buffer {
  const frame = Buffer.alloc(body.length + CRC_BYTES);
  frame.set(body);
  frame.writeUInt16LE(crc16(body), body.length);
  return frame;
}

export function isFrame(bytes: Buffer): boolean {
  const body = bytes.subarray(0, -CRC_BYTES);
  return bytes.length > CRC_BYTES && crc16(body) === bytes.readUInt16LE(body.length);
}

/**
 * Diagnostics, "return query data": the slave says `nonce` again. One that lacks this function says
 * so, which nothing else it was asked can have as its answer.
 */
export function echoRequest(unit: number, nonce: number): Buffer {
  const body = Buffer.from([unit, FUNCTION_DIAGNOSTICS, 0, 0, 0, 0]);
  body.writeUInt16BE(nonce, 4);
  return frameOf(body);
}

/** The answer to one request. */
export interface Expected {
  readonly bytes: number;
  /** Whether `frame`, of the right unit, with the right CRC, is it or its exception. */
  matches(frame: Buffer): boolean;
}

/** What answers `request`, a frame of one of the functions that we use. */
export function expectedOf(request: Buffer): Expected {
  const unit = request[0];
  const code = request[1] ?? 0;
  const isException = (frame: Buffer) =>
    frame.length === EXCEPTION_BYTES && frame[0] === unit && frame[1] === (code | EXCEPTION_FLAG);
  const isRead = code >= 1 && code <= 4;
  const count = isRead ? request.readUInt16BE(4) : 0;
  const dataBytes = code <= 2 ? Math.ceil(count / 8) : 2 * count;
  const bytes = isRead ? READ_ANSWER_BYTES + dataBytes : WRITE_ANSWER_BYTES;
  const matchesRead = (frame: Buffer) =>
    frame[0] === unit && frame[1] === code && frame[2] === dataBytes && frame.length === bytes;
  // Functions 5, 6 and 8 answer with the request; 15 and 16 with its first six bytes.
  const head = request.subarray(0, 6);
  const matchesWrite = (frame: Buffer) =>
    frame.length === bytes && frame.subarray(0, head.length).equals(head);
  return {
    bytes,
    matches: (frame) => isException(frame) || (isRead ? matchesRead(frame) : matchesWrite(frame)),
  };
}

/** The first answer in `bytes`, whatever noise is before it; undefined when there is none yet. */
export function findAnswer(bytes: Buffer, expected: Expected): Buffer | undefined {
  for (let at = 0; at + EXCEPTION_BYTES <= bytes.length; at++) {
    for (const length of [expected.bytes, EXCEPTION_BYTES]) {
      const frame = bytes.subarray(at, at + length);
      if (frame.length === length && expected.matches(frame) && isFrame(frame)) return frame;
    }
  }
  return undefined;
}
