import type { CommandOrder } from '../../hub/core/command.ts';
import { commandValue, entryToWrite } from '../register/command-value.ts';
import type { RegisterEntry } from './register-map.ts';
import { type Encoded, encodeValue } from './value.ts';

/** A command as a write, or why it is none. */
export type WriteOrder =
  | { readonly ok: true; readonly entry: RegisterEntry; readonly value: Encoded & { ok: true } }
  | { readonly ok: false; readonly detail: string };

/**
 * The name of a command is the metric to write; its payload the value, in the metric's own unit:
 * `21.5`, `true`, or `{"value": 21.5}`.
 */
export function writeOrder(
  { device, name, payload }: CommandOrder,
  entries: readonly RegisterEntry[],
): WriteOrder {
  const entry = entryToWrite(device, name, entries);
  if ('problem' in entry) return { ok: false, detail: entry.problem };
  const value = commandValue(payload);
  if (value === undefined)
    return { ok: false, detail: `${device}, \`${name}\`: \`data\` is no number, true or false` };
  const encoded = encodeValue(entry, value);
  if (!encoded.ok) return { ok: false, detail: `${device}, \`${name}\` ${encoded.problem}` };
  return { ok: true, entry, value: encoded };
}
