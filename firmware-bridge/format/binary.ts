import type { Fields, Format, Parsed } from './format.ts';

/** Deeper than any firmware nests; it also bounds the work for a frame that is made to hurt. */
const DEPTH_MAX = 16;

const fieldsOf = (value: unknown): Parsed | undefined => {
  const plain = plainOf(value, 0);
  if (plain === undefined) return undefined;
  if (typeof plain === 'object' && plain !== null && !Array.isArray(plain))
    return { kind: 'fields', fields: plain as Fields }; // made by plainOf
  return { kind: 'payload', payload: Buffer.from(JSON.stringify(plain)), fields: {} };
};

/**
 * As JSON has it: bytes become base64, keys text, times ISO 8601. Undefined when it is too deep.
 */
function plainOf(value: unknown, depth: number): unknown {
  if (depth > DEPTH_MAX) return undefined;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Map) return objectOf(value.entries(), depth);
  if (Array.isArray(value)) {
    const items = value.map((item) => plainOf(item, depth + 1));
    return items.includes(undefined) ? undefined : items;
  }
  switch (typeof value) {
    case 'bigint':
      return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
    case 'object':
      return value === null ? null : objectOf(Object.entries(value), depth);
    case 'undefined':
      return null;
    default:
      return value;
  }
}

function objectOf(entries: Iterable<[unknown, unknown]>, depth: number): object | undefined {
  const found: [string, unknown][] = [];
  for (const [key, value] of entries) {
    const plain = plainOf(value, depth + 1);
    if (plain === undefined) return undefined;
    found.push([String(key), plain]);
  }
  return Object.fromEntries(found);
}

const reading =
  (decode: (frame: Buffer) => unknown): Format =>
  (frame) => {
    try {
      return fieldsOf(decode(frame));
    } catch {
      return undefined; // the libraries throw whatever they like for bytes that are not theirs
    }
  };

/** Keys may be numbers, as in SenML; unknown tags are an error. */
export async function cbor(): Promise<Format> {
  const { decode } = await import('cborg');
  const options = { useMaps: true, rejectDuplicateMapKeys: true };
  return reading((frame) => decode(frame, options));
}

export async function messagepack(): Promise<Format> {
  const { decode } = await import('@msgpack/msgpack');
  return reading((frame) => decode(frame, { useBigInt64: true }));
}
