/**
 * Numbers in text, by hand: `Number()` also takes `0x10`, `Infinity`, blanks and the empty text.
 */

const PLUS = 43;
const MINUS = 45;
const DOT = 46;
const ZERO = 48;
const NINE = 57;
const LOWER_E = 101;

function skipDigits(text: string, from: number): number {
  let at = from;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < ZERO || code > NINE) break;
  }
  return at;
}

/**
 * Where the exponent that starts at `from` ends; `from` itself when there is none; -1 when broken.
 */
function skipExponent(text: string, from: number): number {
  if ((text.charCodeAt(from) | 32) !== LOWER_E) return from;
  const sign = text.charCodeAt(from + 1);
  const start = sign === PLUS || sign === MINUS ? from + 2 : from + 1;
  const end = skipDigits(text, start);
  return end === start ? -1 : end;
}

/** `-21.5e3`, `+5`, `.5`, `5.` → the number; undefined for anything else and for 1e400. */
export function parseDecimal(text: string): number | undefined {
  const first = text.charCodeAt(0);
  const start = first === PLUS || first === MINUS ? 1 : 0;
  const dot = skipDigits(text, start);
  let end = dot;
  let digitCount = dot - start;
  if (text.charCodeAt(dot) === DOT) {
    end = skipDigits(text, dot + 1);
    digitCount += end - dot - 1;
  }
  if (digitCount === 0 || skipExponent(text, end) !== text.length) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

/** Whether `text` as a whole is a number by the grammar of JSON (RFC 8259, section 6). */
export function isJsonNumber(text: string): boolean {
  const start = text.charCodeAt(0) === MINUS ? 1 : 0;
  const dot = skipDigits(text, start);
  if (dot === start || (text.charCodeAt(start) === ZERO && dot > start + 1)) return false;
  let end = dot;
  if (text.charCodeAt(dot) === DOT) {
    end = skipDigits(text, dot + 1);
    if (end === dot + 1) return false;
  }
  return skipExponent(text, end) === text.length;
}
