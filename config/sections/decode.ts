import { z } from 'zod';
import { topicTemplateProblem } from '../topic-template.ts';

/** Rules are tried one after the other for every new topic. */
const RULES_MAX = 100;
/** As many readings as the decoder takes from one event; more would be a file, not a reading. */
const FIELDS_MAX = 64;
/** Columns may be skipped, so a line can have more of them. The decoder's own bound. */
const COLUMNS_MAX = 256;
const COLUMN_NUMBER = /^([1-9]\d?|1\d\d|2[0-4]\d|25[0-6])$/;
const NAME_CHARACTERS_MAX = 256;

const name = () => z.string().min(1).max(NAME_CHARACTERS_MAX);

const topic = z
  .string()
  .superRefine((text, context) => {
    const problem = topicTemplateProblem(text);
    if (problem !== undefined)
      context.addIssue({ code: 'custom', message: `is not a topic template: ${problem}` });
  })
  .meta({ title: 'topic template', examples: ['site/{area}/{device}/{metric}'] })
  .describe(
    'Which topics this rule is for. `{device}` names the device, `{metric}` the metric, any ' +
      'other `{name}` becomes a tag; `+` is any level and a final `#` all further ones. The ' +
      'first rule that matches decides.',
  );

const time = z
  .strictObject({
    field: name()
      .meta({ examples: ['time'] })
      .describe(
        'Where the time is: a dotted path (json), or one of `fields` (csv; the number of a ' +
          'column when `fields` is no list).',
      ),
    unit: z
      .enum(['ms', 's', 'us', 'iso', 'auto'])
      .default('auto')
      .describe(
        'Unit of the time since 1970, or `iso` for ISO 8601 text. `auto` tells numbers by their ' +
          'magnitude, which is right for every time since 1973.',
      ),
  })
  .optional()
  .describe(
    'Where the payload carries its own time. Without it a JSON object is searched for `time`, ' +
      '`ts`, `timestamp` and `t`, and a list of columns for `time`. When there is none, or it ' +
      'cannot be believed, the time of arrival counts.',
  );

const units = z
  .record(name(), z.string().max(NAME_CHARACTERS_MAX))
  .optional()
  .meta({ examples: [{ temperature: '°C' }] })
  .describe('Unit of each metric, for payloads that do not say it themselves.');

const json = z.strictObject({
  topic,
  format: z.literal('json').describe('A JSON object, or a bare JSON value.'),
  fields: z
    .union([z.array(name()).min(1).max(FIELDS_MAX), z.record(name(), name())])
    .optional()
    .describe(
      'Which values become readings: a list of top-level keys, or `metric: dotted.path`. ' +
        'Without it, every number, short text and truth value of the object.',
    ),
  time,
  units,
});

const number = z.strictObject({
  topic,
  format: z.literal('number').describe('The payload is one number as text, such as `21.5`.'),
  units,
});

const columnList = z
  .array(name())
  .min(1)
  .max(COLUMNS_MAX)
  .superRefine((columns, context) => {
    for (const [i, column] of columns.entries())
      if (column !== '_' && columns.indexOf(column) !== i)
        context.addIssue({ code: 'custom', path: [i], message: 'names a column twice' });
    if (columns.every((column) => column === '_' || column === 'time'))
      context.addIssue({ code: 'custom', message: 'names no column that holds a value' });
  });

const columnNumbers = z
  .record(
    name(),
    z.string().regex(COLUMN_NUMBER, `is not the number of a column, "1" to "${COLUMNS_MAX}"`),
  )
  .superRefine((columns, context) => {
    const seen = new Set<string>();
    for (const [metric, column] of Object.entries(columns)) {
      if (seen.has(column))
        context.addIssue({ code: 'custom', path: [metric], message: 'names a column twice' });
      seen.add(column);
    }
  });

const csv = z
  .strictObject({
    topic,
    format: z.literal('csv').describe('Lines of values, such as `1763697600,21.5,48`.'),
    fields: z
      .union([columnList, columnNumbers])
      .optional()
      .describe(
        'The columns from left to right, where `time` is the time and `_` is skipped; or ' +
          '`metric: "column number"`, counted from 1. Without it the columns are numbered.',
      ),
    delimiter: z
      .string()
      .regex(/^[^\r\n"]$/, 'must be one character, and no quote')
      .default(',')
      .describe('What separates the columns. The comma is what most devices write.'),
    time,
    units,
  })
  .superRefine((rule, context) => {
    if (rule.time === undefined) return;
    const message = Array.isArray(rule.fields)
      ? rule.fields.includes(rule.time.field) || 'is not one of `fields`'
      : COLUMN_NUMBER.test(rule.time.field) ||
        `is not the number of a column, "1" to "${COLUMNS_MAX}"`;
    if (message !== true) context.addIssue({ code: 'custom', path: ['time', 'field'], message });
  });

export const decodeRule = z.discriminatedUnion('format', [json, number, csv]);

export const decode = z
  .array(decodeRule)
  .max(RULES_MAX)
  .default([])
  .describe(
    'How topics and payloads become readings. An event that no rule matches, or whose payload ' +
      'does not decode, is stored and forwarded as it came.',
  );
