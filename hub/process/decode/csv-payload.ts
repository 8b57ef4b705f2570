import type { CsvColumn } from './compiled-rule.ts';
import { readCsvLine } from './csv-line.ts';
import { type Harvest, TEXT_VALUE_CHARS_MAX } from './harvest.ts';
import { parseDecimal } from './number-text.ts';

/** What loggers write for a value they do not have. */
const NO_VALUE: ReadonlySet<string> = new Set([
  '',
  'nan',
  'null',
  'na',
  'n/a',
  'inf',
  '-inf',
  '+inf',
]);
const NO_VALUE_CHARS_MAX = 4;

function isNoValue(text: string): boolean {
  return text.length <= NO_VALUE_CHARS_MAX && NO_VALUE.has(text.toLowerCase());
}

function addColumn(harvest: Harvest, metric: string, text: string): void {
  const number = parseDecimal(text);
  if (number !== undefined) harvest.add(metric, number);
  else if (text === 'true' || text === 'false') harvest.add(metric, text === 'true');
  else if (!isNoValue(text) && text.length <= TEXT_VALUE_CHARS_MAX)
    // A copy: a slice would keep the whole payload in memory as long as the reading.
    harvest.add(metric, Buffer.from(text, 'utf8').toString('utf8'));
}

/** The metric of column `index` of `count`, when the rule names no columns. */
function numberedColumn(harvest: Harvest, index: number, count: number): string {
  return count === 1 ? harvest.onlyMetric : `${harvest.onlyMetric}_${index + 1}`;
}

function addLine(harvest: Harvest, texts: readonly string[]): void {
  const { csv, timeUnit } = harvest.rule;
  harvest.takeArrivalTime();
  if (csv.timeIndex !== undefined) harvest.takeTime(texts[csv.timeIndex] ?? '', timeUnit);
  const valueCount = texts.length - (csv.timeIndex === undefined ? 0 : 1);
  for (const [i, text] of texts.entries()) {
    if (i === csv.timeIndex) continue;
    if (csv.columns === undefined) {
      addColumn(harvest, numberedColumn(harvest, i, valueCount), text);
      continue;
    }
    const column: CsvColumn | undefined = csv.columns[i];
    if (column?.kind === 'metric') addColumn(harvest, harvest.metricOf(column.metric), text);
  }
}

/** How a line of `count` columns differs from what the rule says, or undefined. */
function columnProblem(harvest: Harvest, count: number): string | undefined {
  const { columns, exact } = harvest.rule.csv;
  if (columns === undefined || count === columns.length || (!exact && count > columns.length))
    return undefined;
  return `has ${count} columns, not ${columns.length}`;
}

/** 64 readings fill sooner; it bounds the time that a payload of empty or torn lines can take. */
const LINES_MAX = 1_024;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/**
 * Takes the readings of every line. A line that does not fit (a torn one, from a serial port) gives
 * none and is the error; those before and after it count.
 */
export function readCsv(harvest: Harvest, text: string): void {
  let at = 0;
  for (let number = 1; number <= LINES_MAX; number++) {
    while (text.charCodeAt(at) === LINE_FEED || text.charCodeAt(at) === CARRIAGE_RETURN) at++;
    if (at >= text.length) break;
    const line = readCsvLine(text, at, harvest.rule.delimiter);
    if ('problem' in line) {
      harvest.error ??= `line ${number} ${line.problem}`;
      return; // where the next line would start is anybody's guess
    }
    at = line.end;
    const { columns } = line;
    if (columns.length === 1 && columns[0] === '') continue;
    const problem = columnProblem(harvest, columns.length);
    if (problem !== undefined) harvest.error ??= `line ${number} ${problem}`;
    else addLine(harvest, columns);
    if (harvest.overflowed) return;
  }
  if (at < text.length) harvest.error ??= `has more than ${LINES_MAX} lines`;
  if (harvest.readings.length === 0) harvest.error ??= 'has no values in it';
}
