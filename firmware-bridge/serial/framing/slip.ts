/** SLIP (RFC 1055): a frame ends with END, and what looks like one inside is escaped. */
export const SLIP_END = 0xc0;
const ESCAPE = 0xdb;
const ESCAPED_END = 0xdc;
const ESCAPED_ESCAPE = 0xdd;

/** Undefined for an escape that there is not. `encoded` holds no END. */
export function slipDecode(encoded: Buffer): Buffer | undefined {
  if (!encoded.includes(ESCAPE)) return encoded;
  const body = Buffer.allocUnsafe(encoded.length);
  let length = 0;
  for (let at = 0; at < encoded.length; at++) {
    const byte = encoded[at] ?? 0;
    if (byte !== ESCAPE) {
      body[length++] = byte;
      continue;
    }
    const escaped = encoded[++at];
    if (escaped === ESCAPED_END) body[length++] = SLIP_END;
    else if (escaped === ESCAPED_ESCAPE) body[length++] = ESCAPE;
    else return undefined;
  }
  return body.subarray(0, length);
}

/** Without the END bytes around it. */
export function slipEncode(body: Buffer): Buffer {
  const encoded: number[] = [];
  for (const byte of body) {
    if (byte === SLIP_END) encoded.push(ESCAPE, ESCAPED_END);
    else if (byte === ESCAPE) encoded.push(ESCAPE, ESCAPED_ESCAPE);
    else encoded.push(byte);
  }
  return Buffer.from(encoded);
}
