import { HubError } from '../../core/errors.ts';
import type { DecodeRule, TimeUnit } from './rule.ts';
import { parseTemplate, type TopicTemplate, templateProblem } from './template.ts';

/** A value to look for in a JSON payload. */
export interface JsonField {
  readonly metric: string;
  /** The whole text as one top-level key: a key may contain dots itself. */
  readonly key: string;
  readonly path: readonly string[];
}

export type CsvColumn =
  | { readonly kind: 'metric'; readonly metric: string }
  | { readonly kind: 'time' }
  | { readonly kind: 'skip' };

/** Undefined columns: named by the default metric, numbered when there are several. */
export interface CsvColumns {
  readonly columns: readonly CsvColumn[] | undefined;
  /** Whether a line must have exactly these columns, or may have further ones. */
  readonly exact: boolean;
  readonly timeIndex: number | undefined;
}

/** A rule checked once, in the form the decoder works with. */
export interface CompiledRule {
  readonly template: TopicTemplate;
  readonly format: DecodeRule['format'];
  /** `fields` named the metrics in full: a {metric} capture is not put before them. */
  readonly namesMetrics: boolean;
  readonly time: { readonly field: JsonField; readonly unit: TimeUnit } | undefined;
  readonly timeUnit: TimeUnit;
  readonly units: ReadonlyMap<string, string> | undefined;
  readonly jsonFields: readonly JsonField[] | undefined;
  readonly csv: CsvColumns;
  readonly delimiter: string;
}

function invalid(rule: DecodeRule, problem: string): HubError {
  return new HubError('CONFIG_INVALID', `decode: the rule for \`${rule.topic}\` ${problem}`);
}

function isNameList(fields: NonNullable<DecodeRule['fields']>): fields is readonly string[] {
  return Array.isArray(fields);
}

function jsonField(metric: string, path: string): JsonField {
  return { metric, key: path, path: path.split('.') };
}

function jsonFields(rule: DecodeRule): readonly JsonField[] | undefined {
  if (rule.fields === undefined) return undefined;
  if (isNameList(rule.fields)) return rule.fields.map((key) => ({ metric: key, key, path: [key] }));
  return Object.entries(rule.fields).map(([metric, path]) => jsonField(metric, path));
}

/** More columns than this are no line of a sensor; it also bounds the memory for one line. */
export const CSV_COLUMNS_MAX = 256;

function columnIndex(rule: DecodeRule, text: string): number {
  const number = /^[1-9]\d{0,2}$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > CSV_COLUMNS_MAX)
    throw invalid(
      rule,
      `names the column \`${text}\`: expected a number from 1 to ${CSV_COLUMNS_MAX}`,
    );
  return number - 1;
}

function csvColumns(rule: DecodeRule): CsvColumns {
  const { fields, time } = rule;
  if (fields === undefined) {
    const timeIndex = time ? columnIndex(rule, time.field) : undefined;
    return { columns: undefined, exact: false, timeIndex };
  }
  if (isNameList(fields)) {
    const timeName = time?.field ?? 'time';
    const timeIndex = fields.indexOf(timeName);
    if (time && timeIndex < 0)
      throw invalid(rule, `takes the time from \`${timeName}\`, which is not in its fields`);
    const columns = fields.map((name, i): CsvColumn => {
      if (i === timeIndex) return { kind: 'time' };
      return name === '_' ? { kind: 'skip' } : { kind: 'metric', metric: name };
    });
    return { columns, exact: true, timeIndex: timeIndex < 0 ? undefined : timeIndex };
  }
  const columns: CsvColumn[] = [];
  const place = (index: number, column: CsvColumn) => {
    while (columns.length <= index) columns.push({ kind: 'skip' });
    columns[index] = column;
  };
  for (const [metric, column] of Object.entries(fields))
    place(columnIndex(rule, column), { kind: 'metric', metric });
  const timeIndex = time ? columnIndex(rule, time.field) : undefined;
  if (timeIndex !== undefined) place(timeIndex, { kind: 'time' });
  return { columns, exact: false, timeIndex };
}

const NO_COLUMNS: CsvColumns = { columns: undefined, exact: false, timeIndex: undefined };

/** @throws HubError CONFIG_INVALID that names the rule by its topic. */
export function compileRule(rule: DecodeRule): CompiledRule {
  const problem = templateProblem(rule.topic);
  if (problem !== undefined) throw invalid(rule, problem);
  const delimiter = rule.delimiter ?? ',';
  if (delimiter.length !== 1 || '"\r\n'.includes(delimiter))
    throw invalid(rule, 'has a delimiter that is not one character other than a quote or line end');
  return {
    template: parseTemplate(rule.topic),
    format: rule.format,
    namesMetrics: rule.fields !== undefined && !isNameList(rule.fields),
    time:
      rule.time && rule.format === 'json'
        ? { field: jsonField('', rule.time.field), unit: rule.time.unit }
        : undefined,
    timeUnit: rule.time?.unit ?? 'auto',
    units: rule.units ? new Map(Object.entries(rule.units)) : undefined,
    jsonFields: rule.format === 'json' ? jsonFields(rule) : undefined,
    csv: rule.format === 'csv' ? csvColumns(rule) : NO_COLUMNS,
    delimiter,
  };
}
