import type { CommandOrder } from '../../hub/core/command.ts';
import type { RegisterEntry } from './register-map.ts';
import { type Encoded, encodeValue, type Value } from './value.ts';

/** A command as a write, or why it is none. */
export type WriteOrder =
  | { readonly ok: true; readonly entry: RegisterEntry; readonly value: Encoded & { ok: true } }
  | { readonly ok: false; readonly detail: string };

const PAYLOAD_BYTES_MAX = 256;

/**
 * The name of a command is the metric to write; its payload the value, in the metric's own unit:
 * `21.5`, `true`, or `{"value": 21.5}`.
 */
export function writeOrder(
  { device, name, payload }: CommandOrder,
  entries: readonly RegisterEntry[],
): WriteOrder {
  const entry = entries.find(({ metric }) => metric === name);
  if (entry === undefined) {
    const writable = entries.filter((one) => one.writable).map(({ metric }) => `\`${metric}\``);
    const known = writable.length > 0 ? `it has ${writable.join(', ')}` : 'none is `writable`';
    return { ok: false, detail: `${device} has no register \`${name}\`; ${known}` };
  }
  const value = valueIn(payload);
  if (value === undefined)
    return { ok: false, detail: `${device}, \`${name}\`: the payload is no number, true or false` };
  const encoded = encodeValue(entry, value);
  if (!encoded.ok) return { ok: false, detail: `${device}, \`${name}\` ${encoded.problem}` };
  return { ok: true, entry, value: encoded };
}

function valueIn(payload: Buffer): Value | undefined {
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
