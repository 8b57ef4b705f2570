import {
  type Document,
  isCollection,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
  type YAMLError,
} from 'yaml';
import { describeError } from '../hub/core/errors.ts';
import { readAtMost } from './bounded-file.ts';
import { maskReferences } from './environment.ts';
import { ConfigError, type ConfigProblem } from './problem.ts';
import { tooDeepOffset } from './yaml-depth.ts';

/** A thousand sinks fit; a larger file is a mistake, and its parsing would stall a Pi. */
const FILE_BYTES_MAX = 1024 ** 2;

/** The text of `file`. It may be a pipe, so its size is not asked for but read up to the limit. */
export function readConfigText(file: string): string {
  const unreadable = (message: string, cause?: unknown) =>
    new ConfigError('CONFIG_UNREADABLE', [{ file, line: 1, column: 1, key: '', message }], {
      cause,
    });
  let content: Buffer;
  try {
    content = readAtMost(file, FILE_BYTES_MAX + 1);
  } catch (error) {
    throw unreadable(`cannot be read: ${describeError(error)}`, error);
  }
  if (content.length > FILE_BYTES_MAX)
    throw unreadable('is larger than 1 MiB, which no configuration needs');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch (error) {
    throw unreadable('is not UTF-8 text', error);
  }
}

/** Turns an offset in the text into the line and column of a problem. */
export type ProblemAt = (
  offset: number,
  key: string,
  message: string,
  hint?: string,
) => ConfigProblem;

export interface YamlSource {
  readonly document: Document.Parsed;
  readonly problemAt: ProblemAt;
  readonly problems: readonly ConfigProblem[];
  /** From this line on the structure is not what was meant; undefined when all could be parsed. */
  readonly brokenFromLine: number | undefined;
}

/**
 * What a syntax error means, in our words: the library's own may quote the text that it is about,
 * and that can be a password.
 */
const SYNTAX: Readonly<Record<YAMLError['code'], string>> = {
  ALIAS_PROPS: 'an alias (`*name`) takes no anchor and no tag',
  BAD_ALIAS: 'is not the name of an anchor',
  BAD_COLLECTION_TYPE: 'the tag (`!`) does not fit what follows it',
  BAD_DIRECTIVE: 'is not a YAML directive',
  BAD_DQ_ESCAPE: 'this `\\` is no escape sequence; use single quotes, or `\\\\` for a backslash',
  BAD_INDENT: 'the indentation does not fit the lines above, or a `]` or `}` is missing',
  BAD_PROP_ORDER: 'an anchor (`&`) or a tag (`!`) stands at the wrong place',
  BAD_SCALAR_START: 'text cannot begin with this character; put it in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a second `key: value` on one line; put text that holds `: ` in quotes',
  BLOCK_IN_FLOW: 'inside `[ ]` and `{ }` everything is written with `,`, `[ ]` and `{ }`',
  DUPLICATE_KEY: 'is there twice',
  IMPOSSIBLE: 'is not YAML',
  KEY_OVER_1024_CHARS: 'a key is longer than 1024 characters',
  MISSING_CHAR:
    'a quote, a `:` or a `,` is missing, or the indentation does not fit the lines above',
  MULTILINE_IMPLICIT_KEY: 'a key without `:`',
  MULTIPLE_ANCHORS: 'has more than one anchor',
  MULTIPLE_DOCS: 'a second document begins here; a configuration is one',
  MULTIPLE_TAGS: 'has more than one tag',
  NON_STRING_KEY: 'a key must be text',
  RESOURCE_EXHAUSTION: 'is nested too deeply',
  TAB_AS_INDENT: 'a tab; YAML indents with spaces',
  TAG_RESOLVE_FAILED: 'is not a known tag; put text that begins with `!` in quotes',
  UNEXPECTED_TOKEN: 'does not belong here; text with special characters needs quotes',
};

/** After these the rest of the file is still read as it was meant. */
const HARMLESS: ReadonlySet<YAMLError['code']> = new Set([
  'BAD_DQ_ESCAPE',
  'BAD_SCALAR_START',
  'TAG_RESOLVE_FAILED',
]);

/**
 * Parses `written`. Never throws for what is in it. `file` is only named in problems. The texts in
 * the document hold masked references.
 */
export function parseYaml(file: string, written: string): YamlSource {
  const text = maskReferences(written);
  const lineCounter = new LineCounter();
  const tooDeep = tooDeepOffset(text);
  const document = parseDocument(tooDeep === undefined ? text : '', {
    lineCounter,
    prettyErrors: false, // they quote the line, which can hold a password
    logLevel: 'error', // with `silent` a second document would pass unnoticed
    uniqueKeys: false, // found later, where the whole path of the key is known
  });
  const problemAt: ProblemAt = (offset, key, message, hint) => {
    const { line, col } = lineCounter.linePos(offset);
    const place = { file, line: Math.max(1, line), column: Math.max(1, col) };
    return { ...place, key, message, ...(hint === undefined ? {} : { hint }) };
  };
  if (tooDeep !== undefined) {
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1))
      lineCounter.addNewLine(at + 1);
    const problem = problemAt(tooDeep, '', SYNTAX.RESOURCE_EXHAUSTION);
    return { document, problemAt, problems: [problem], brokenFromLine: 1 };
  }
  const problems: ConfigProblem[] = [];
  let brokenFromLine: number | undefined;
  for (const error of [...document.errors, ...document.warnings]) {
    const opening = openingOf(document, text, error);
    const problem = opening
      ? problemAt(opening.offset, '', `this ${opening.what} is never closed`)
      : problemAt(error.pos[0], '', SYNTAX[error.code]);
    if (!problems.some((known) => isSame(known, problem))) problems.push(problem);
    if (!HARMLESS.has(error.code))
      brokenFromLine = Math.min(brokenFromLine ?? problem.line, problem.line);
  }
  return { document, problemAt, problems, brokenFromLine };
}

/** Two brackets that are never closed are noticed at the same place. */
function isSame(a: ConfigProblem, b: ConfigProblem): boolean {
  return a.line === b.line && a.column === b.column && a.message === b.message;
}

/**
 * The quote or bracket whose closing is missing. The parser notices only where the text ends or the
 * next key begins, which can be a hundred lines from the mistake.
 */
function openingOf(
  document: Document.Parsed,
  text: string,
  error: YAMLError,
): { readonly offset: number; readonly what: string } | undefined {
  if (error.code !== 'MISSING_CHAR' && error.code !== 'BAD_INDENT') return undefined;
  let found: { offset: number; what: string } | undefined;
  visit(document, {
    Node(_key, node) {
      const [start, end] = node.range ?? [0, 0];
      if (error.pos[0] <= start || error.pos[0] > end + 1) return;
      const first = text.charAt(start);
      if (isScalar(node) && (first === '"' || first === "'")) {
        if (end - start < 2 || text.charAt(end - 1) !== first)
          found = { offset: start, what: 'quote' };
      } else if (isCollection(node) && (first === '[' || first === '{')) {
        const closing = first === '[' ? ']' : '}';
        if (text.charAt(end - 1) !== closing) found = { offset: start, what: `\`${first}\`` };
      }
    },
  });
  return found;
}
