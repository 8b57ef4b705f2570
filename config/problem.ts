import { HubError } from '../hub/core/errors.ts';

/** One thing that is wrong with a configuration file. Lines and columns count from 1. */
export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Where in the configuration, for example `sinks[0].url`; empty for the file as a whole. */
  readonly key: string;
  readonly message: string;
  /** The nearest valid key or value, or what to write instead. */
  readonly hint?: string;
}

/** A screen or two; whoever has more mistakes than this has the wrong file. */
export const PROBLEMS_SHOWN_MAX = 50;
/** The longest message has half of this; what is longer comes from a key that is no key. */
const LINE_CHARACTERS_MAX = 1000;

/** `file:line:column  key — what is wrong (hint)` */
export function renderProblem(problem: ConfigProblem): string {
  const { file, line, column, key, message, hint } = problem;
  const subject = key === '' ? '' : `${key} — `;
  const said = `${subject}${message}${hint ? ` (${hint})` : ''}`;
  return `${file}:${line}:${column}  ${printable(said)}`;
}

/** A key can be any text; control characters would reach the terminal. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '\uFFFD').slice(0, LINE_CHARACTERS_MAX);
}

/**
 * CONFIG_INVALID or CONFIG_UNREADABLE with every problem as data. The message is for people, one
 * problem a line.
 */
export class ConfigError extends HubError {
  /** At most PROBLEMS_SHOWN_MAX, in the order of the file. */
  readonly problems: readonly ConfigProblem[];
  /** How many more there are. */
  readonly more: number;

  constructor(
    code: 'CONFIG_INVALID' | 'CONFIG_UNREADABLE',
    problems: readonly ConfigProblem[],
    options: { cause?: unknown } = {},
  ) {
    const shown = problems.slice(0, PROBLEMS_SHOWN_MAX);
    const more = problems.length - shown.length;
    const lines = shown.map(renderProblem);
    if (more > 0) lines.push(`and ${more} more`);
    super(code, lines.join('\n'), options);
    this.problems = shown;
    this.more = more;
  }
}

/** `['sinks', 0, 'url']` → `sinks[0].url` */
export function renderKey(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += text === '' ? String(part) : `.${String(part)}`;
  }
  return text;
}
