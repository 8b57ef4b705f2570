/**
 * Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999): no zero byte is left inside, so
 * that a zero byte can end a frame.
 */

/** Undefined for what no encoder writes. `encoded` holds no zero byte. */
export function cobsDecode(encoded: Buffer): Buffer | undefined {
  const body = Buffer.allocUnsafe(encoded.length);
  let length = 0;
  for (let at = 0; at < encoded.length; ) {
    const code = encoded[at] ?? 0;
    const end = at + code;
    if (code === 0 || end > encoded.length) return undefined;
    for (at++; at < end; at++) body[length++] = encoded[at] ?? 0;
    if (code < 0xff && end < encoded.length) body[length++] = 0;
  }
  return body.subarray(0, length);
}

/** Without the zero bytes around it. */
export function cobsEncode(body: Buffer): Buffer {
  const encoded = Buffer.allocUnsafe(body.length + Math.floor(body.length / 254) + 1);
  let codeAt = 0;
  let length = 1;
  let code = 1;
  for (const [i, byte] of body.entries()) {
    if (byte !== 0) {
      encoded[length++] = byte;
      code++;
    }
    const isFull = code === 0xff && i < body.length - 1;
    if (byte !== 0 && !isFull) continue;
    encoded[codeAt] = code;
    codeAt = length++;
    code = 1;
  }
  encoded[codeAt] = code;
  return encoded.subarray(0, length);
}
