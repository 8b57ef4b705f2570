import { CSV_COLUMNS_MAX } from './compiled-rule.ts';

const QUOTE = 34;
const LINE_FEED = 10;

/** One line of CSV (RFC 4180), or why it is none. `end` is where the next line starts. */
export type CsvLine =
  | { readonly columns: readonly string[]; readonly end: number }
  | { readonly problem: string };

/** Reads the line of `text` that starts at `from`. Columns without quotes are trimmed. */
export function readCsvLine(text: string, from: number, delimiter: string): CsvLine {
  const columns: string[] = [];
  const separator = delimiter.charCodeAt(0);
  for (let at = from; ; ) {
    if (columns.length >= CSV_COLUMNS_MAX)
      return { problem: `has over ${CSV_COLUMNS_MAX} columns` };
    let start = at;
    while (text[start] === ' ' && separator !== 32) start++;
    if (text.charCodeAt(start) === QUOTE) {
      const quoted = readQuoted(text, start + 1);
      if (quoted === undefined) return { problem: 'has a quote that is not closed' };
      columns.push(quoted.text);
      at = quoted.end;
      while (at < text.length && isBlank(text.charCodeAt(at)) && text.charCodeAt(at) !== separator)
        at++;
      const code = text.charCodeAt(at);
      if (at < text.length && code !== separator && code !== LINE_FEED)
        return { problem: 'has text behind a closing quote' };
    } else {
      while (at < text.length) {
        const code = text.charCodeAt(at);
        if (code === separator || code === LINE_FEED) break;
        at++;
      }
      columns.push(text.slice(start, at).trim());
    }
    if (text.charCodeAt(at) !== separator) return { columns, end: at + 1 };
    at++;
  }
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9 || code === 13;
}

/** The text up to the closing quote, with doubled quotes made single. */
function readQuoted(text: string, from: number): { text: string; end: number } | undefined {
  const parts: string[] = [];
  for (let at = from; ; ) {
    const quote = text.indexOf('"', at);
    if (quote < 0) return undefined;
    parts.push(text.slice(at, quote));
    if (text.charCodeAt(quote + 1) !== QUOTE) return { text: parts.join(''), end: quote + 1 };
    parts.push('"');
    at = quote + 2;
  }
}
