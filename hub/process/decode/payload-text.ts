import { isUtf8 } from 'node:buffer';
import { isJsonNumber } from './number-text.ts';

/** The payload as text, or undefined when it is not UTF-8. */
export function payloadText(payload: Buffer): string | undefined {
  const text = payload.toString('utf8');
  // Looking for the mark that broken bytes leave costs nothing; asking isUtf8 every time would.
  return text.includes('\uFFFD') && !isUtf8(payload) ? undefined : text;
}

/** `text` parsed, or why it is not JSON. */
export function parseJson(
  text: string,
): { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly why: string } {
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch (error) {
    return { ok: false, why: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * Whether `text` is JSON. Numbers and words, the usual payloads that are no objects, are judged
 * without the parser: its SyntaxError costs more than ten payloads.
 */
export function isJson(text: string): boolean {
  const trimmed = trimJson(text);
  switch (trimmed.charCodeAt(0)) {
    case 0x7b: // {
    case 0x5b: // [
    case 0x22: // "
      return parseJson(trimmed).ok;
    case 0x74: // t
      return trimmed === 'true';
    case 0x66: // f
      return trimmed === 'false';
    case 0x6e: // n
      return trimmed === 'null';
    default:
      return isJsonNumber(trimmed);
  }
}

/** Without the four blanks of JSON; `trim` takes others too, with which a text is no JSON. */
function trimJson(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isJsonBlank(text.charCodeAt(start))) start++;
  while (end > start && isJsonBlank(text.charCodeAt(end - 1))) end--;
  return start === 0 && end === text.length ? text : text.slice(start, end);
}

function isJsonBlank(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}
