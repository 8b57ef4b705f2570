/** What a command that writes a register carries. */
const PAYLOAD_BYTES_MAX = 256;

/**
 * `21.5`, `true`, or `{"value": 21.5}` → the number or the truth in it; undefined when there is
 * none.
 */
export function commandValue(payload: Buffer): number | boolean | undefined {
  if (payload.length > PAYLOAD_BYTES_MAX) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(payload.toString('utf8'));
  } catch {
    return undefined;
  }
  const value: unknown =
    typeof parsed === 'object' && parsed !== null && 'value' in parsed ? parsed.value : parsed;
  return typeof value === 'number' || typeof value === 'boolean' ? value : undefined;
}

/** 1 and 0 are on and off as well. */
export function truthOf(value: number | boolean): boolean | undefined {
  if (typeof value === 'boolean') return value;
  return value === 1 || value === 0 ? value === 1 : undefined;
}

/** The entry of a device that a command named `name` writes, or why there is none. */
export function entryToWrite<Entry extends { readonly metric: string; readonly writable: boolean }>(
  device: string,
  name: string,
  entries: readonly Entry[],
): Entry | { readonly problem: string } {
  const entry = entries.find(({ metric }) => metric === name);
  if (entry !== undefined) return entry;
  const writable = entries.filter((one) => one.writable).map(({ metric }) => `\`${metric}\``);
  const known = writable.length > 0 ? `it has ${writable.join(', ')}` : 'none is `writable`';
  return { problem: `${device} has no register \`${name}\`; ${known}` };
}
