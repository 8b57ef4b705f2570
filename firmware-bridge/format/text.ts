import { isUtf8 } from 'node:buffer';
import {
  type Fields,
  type Format,
  fieldValue,
  isObject,
  NO_FIELDS,
  type Parsed,
} from './format.ts';

/** As many readings as the decoder takes from one event (hub/process/decode). */
const FIELDS_MAX = 64;
/** An expression may take the square of it; at 64 KiB the hub would stand still for seconds. */
const REGEX_CHARACTERS_MAX = 4_096;

/** Bytes as they are; only what checksum and framing say is known of them. */
export const raw: Format = (frame) => ({ kind: 'payload', payload: frame, fields: NO_FIELDS });

/** Text that is no UTF-8 is damaged. */
const ofText =
  (read: (text: string, frame: Buffer) => Parsed | undefined): Format =>
  (frame) =>
    isUtf8(frame) ? read(frame.toString(), frame) : undefined;

/** JSON is published byte for byte. */
export const json: Format = ofText((text, payload) => {
  try {
    const value: unknown = JSON.parse(text);
    return { kind: 'payload', payload, fields: isObject(value) ? value : NO_FIELDS };
  } catch {
    return undefined;
  }
});

/**
 * `columns` names the columns from left to right, `_` leaves one out; a line must have exactly
 * these. Without them the line is published as it is, for a `csv` rule under `decode`.
 */
export function csv(columns: readonly string[] | undefined, delimiter: string): Format {
  return ofText((text, payload) => {
    if (!columns) return { kind: 'payload', payload, fields: NO_FIELDS };
    const cells = cellsOf(text, delimiter);
    if (cells?.length !== columns.length) return undefined;
    const fields: Record<string, unknown> = {};
    for (const [i, name] of columns.entries()) {
      const cell = cells[i] ?? '';
      if (name !== '_' && cell.trim() !== '') fields[name] = fieldValue(cell);
    }
    return fieldsOr(fields);
  });
}

/** With quotes as RFC 4180 has them; undefined when a quote does not end. */
function cellsOf(line: string, delimiter: string): string[] | undefined {
  if (!line.includes('"')) return line.split(delimiter);
  const cells: string[] = [];
  for (let at = 0; at <= line.length; ) {
    if (line[at] !== '"') {
      const end = line.indexOf(delimiter, at);
      cells.push(line.slice(at, end < 0 ? undefined : end));
      at = end < 0 ? line.length + 1 : end + 1;
      continue;
    }
    const quoted = /"((?:[^"]|"")*)"/y;
    quoted.lastIndex = at;
    const found = quoted.exec(line);
    const end = quoted.lastIndex;
    if (!found || (end < line.length && line[end] !== delimiter)) return undefined;
    cells.push((found[1] ?? '').replaceAll('""', '"'));
    at = end + 1;
  }
  return cells;
}

/** One number and nothing else: `21.5` → `{ value: 21.5 }`. */
export const number: Format = ofText((text) => {
  const value = fieldValue(text);
  return typeof value === 'number' ? { kind: 'fields', fields: { value } } : undefined;
});

/** `temp=21.5 hum:48`, parted by blanks, commas, semicolons or `&`. */
export const keyValue: Format = ofText((text) => {
  const fields: Record<string, unknown> = {};
  const pairs = text.split(/[\s,;&]+/).filter((pair) => pair !== '');
  if (pairs.length === 0 || pairs.length > FIELDS_MAX) return undefined;
  for (const pair of pairs) {
    const [, key = '', value = ''] = /^([^=:]+)[=:](.+)$/.exec(pair) ?? [];
    if (key === '') return undefined;
    set(fields, key, fieldValue(value));
  }
  return { kind: 'fields', fields };
});

/** The named groups of an expression that is found in the frame. */
export function regex(pattern: string): Format {
  const expression = new RegExp(pattern, 'u');
  return ofText((text) => {
    const found = text.length > REGEX_CHARACTERS_MAX ? null : expression.exec(text);
    if (!found) return undefined;
    const fields: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(found.groups ?? {}))
      if (value !== undefined) set(fields, name, fieldValue(value));
    return fieldsOr(fields);
  });
}

function fieldsOr(fields: Fields): Parsed {
  return Object.keys(fields).length === 0 ? { kind: 'nothing' } : { kind: 'fields', fields };
}

/** Also when the name is `__proto__`. */
function set(fields: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(fields, name, { value, enumerable: true, configurable: true });
}
