/**
 * Finds parts of JSON text by their place, so that they can be kept as they were written: what is
 * parsed and written again has other numbers (`21.50`, 20 digits). Only for text that `JSON.parse`
 * has accepted. Nothing here recurses: nesting is as deep as the sender likes.
 */

/** `[start, end)` in the text. */
export interface TextRange {
  readonly start: number;
  readonly end: number;
}

const BLANK = /[\t\n\r ]*/y;
const BRACKET_OR_QUOTE = /["{}[\]]/g;
const AFTER_SCALAR = /[\t\n\r ,\]}]|$/g;

function skipBlanks(text: string, at: number): number {
  BLANK.lastIndex = at;
  BLANK.exec(text);
  return BLANK.lastIndex;
}

/** `at` is the opening quote; answers the place behind the closing one. */
function skipString(text: string, at: number): number {
  for (let quote = text.indexOf('"', at + 1); ; quote = text.indexOf('"', quote + 1)) {
    let before = quote - 1;
    while (text[before] === '\\') before--;
    if ((quote - before) % 2 === 1) return quote + 1;
  }
}

function skipNested(text: string, at: number): number {
  let depth = 0;
  for (let next = at; ; ) {
    BRACKET_OR_QUOTE.lastIndex = next;
    const found = BRACKET_OR_QUOTE.exec(text)?.[0];
    next = BRACKET_OR_QUOTE.lastIndex;
    if (found === '"') next = skipString(text, next - 1);
    else if (found === '{' || found === '[') depth++;
    else depth--;
    if (depth === 0) return next;
  }
}

function skipValue(text: string, at: number): number {
  const first = text[at];
  if (first === '"') return skipString(text, at);
  if (first === '{' || first === '[') return skipNested(text, at);
  AFTER_SCALAR.lastIndex = at;
  return AFTER_SCALAR.exec(text)?.index ?? text.length;
}

/** The elements of the array that is all of `text`. */
export function elementRanges(text: string): TextRange[] {
  const ranges: TextRange[] = [];
  let at = skipBlanks(text, skipBlanks(text, 0) + 1);
  while (text[at] !== ']') {
    const end = skipValue(text, at);
    ranges.push({ start: at, end });
    at = skipBlanks(text, end);
    if (text[at] === ',') at = skipBlanks(text, at + 1);
  }
  return ranges;
}

/** The value of the member `name` of the object at `start`; the last one, as `JSON.parse` takes. */
export function memberRange(text: string, start: number, name: string): TextRange | undefined {
  let found: TextRange | undefined;
  let at = skipBlanks(text, skipBlanks(text, start) + 1);
  while (text[at] !== '}') {
    const nameEnd = skipString(text, at);
    const isIt = JSON.parse(text.slice(at, nameEnd)) === name;
    const valueStart = skipBlanks(text, skipBlanks(text, nameEnd) + 1);
    const end = skipValue(text, valueStart);
    if (isIt) found = { start: valueStart, end };
    at = skipBlanks(text, end);
    if (text[at] === ',') at = skipBlanks(text, at + 1);
  }
  return found;
}
