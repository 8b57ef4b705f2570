import { type Finding, SEVERITIES, type Severity } from '../core/finding.ts';
import { printable } from '../core/printable.ts';

/** How the report is printed. */
export interface ReportStyle {
  /** Columns of the terminal. */
  readonly columns: number;
  readonly colour: boolean;
}

/** Worst first; what cannot be told is one line at the end. */
const SHOWN = ['problem', 'warning', 'note', 'ok'] as const;
type Shown = (typeof SHOWN)[number];

const TITLES: Readonly<Record<Shown, string>> = {
  problem: 'PROBLEM',
  warning: 'WARNING',
  note: 'NOTE',
  ok: 'OK',
};
/** Of ECMA-48: red, yellow, cyan, green. */
const COLOURS: Readonly<Record<Shown, number>> = { problem: 31, warning: 33, note: 36, ok: 32 };

const TITLE_COLUMNS = 9;
const SUBJECT_COLUMNS_MAX = 24;
/** A narrower terminal breaks the lines itself. */
const COLUMNS_MIN = 60;
const TEXT_CHARACTERS_MAX = 600;

/** The findings as a table, by severity, that is read in a minute. */
export function renderReport(findings: readonly Finding[], style: ReportStyle): string {
  const widest = Math.max(0, ...findings.map(({ subject }) => subject.length));
  const subjectColumns = Math.min(SUBJECT_COLUMNS_MAX, widest) + 2;
  const blocks = SHOWN.flatMap((severity) => {
    const rows = findings.filter((finding) => finding.severity === severity);
    return rows.length === 0
      ? []
      : [rows.map((finding) => row(finding, severity, subjectColumns, style)).join('')];
  });
  const unknown = unknownLine(findings, style);
  return [summary(findings), ...blocks, ...(unknown ? [unknown] : [])].join('\n');
}

function row(
  { subject, detail, remedy }: Finding,
  severity: Shown,
  subjectColumns: number,
  { columns, colour }: ReportStyle,
): string {
  const indent = TITLE_COLUMNS + subjectColumns;
  const title = TITLES[severity].padEnd(TITLE_COLUMNS);
  const shown = colour ? `\u001b[${COLOURS[severity]}m${title}\u001b[0m` : title;
  const width = Math.max(COLUMNS_MIN, columns) - indent;
  const lines = wrapped(detail, width);
  if (remedy !== undefined) {
    const [first = '', ...more] = wrapped(remedy, width - 2);
    lines.push(`→ ${first}`, ...more.map((line) => `  ${line}`));
  }
  const name = printable(subject, 64);
  // a long subject has the line for itself
  const [first = '', ...rest] = name.length < subjectColumns ? lines : ['', ...lines];
  const head = `${shown}${name.padEnd(subjectColumns)}${first}`.trimEnd();
  return [head, ...rest.map((line) => ' '.repeat(indent) + line)].join('\n').concat('\n');
}

/** Words longer than a line, such as paths, stay whole: they are copied. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of printable(text, TEXT_CHARACTERS_MAX).split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function summary(findings: readonly Finding[]): string {
  const count = (severity: Severity) =>
    findings.filter((finding) => finding.severity === severity).length;
  const words = { problem: 'problem', warning: 'warning', note: 'note', ok: 'fine', unknown: '' };
  const parts = SEVERITIES.filter((severity) => severity !== 'unknown')
    .toReversed()
    .map((severity) => {
      const plural = severity === 'ok' || count(severity) === 1 ? '' : 's';
      return `${count(severity)} ${words[severity]}${plural}`;
    });
  return `${parts.join(', ')}\n`;
}

function unknownLine(findings: readonly Finding[], { columns }: ReportStyle): string | undefined {
  const unknown = findings.filter(({ severity }) => severity === 'unknown');
  if (unknown.length === 0) return undefined;
  const told = unknown.map(({ subject, detail }) => `${subject} (${detail})`).join('; ');
  const [first = '', ...more] = wrapped(
    `Cannot be told here: ${told}`,
    Math.max(COLUMNS_MIN, columns) - 2,
  );
  return [first, ...more.map((line) => `  ${line}`)].join('\n').concat('\n');
}
