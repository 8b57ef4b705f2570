/** Options of every bridge that reads frames or lines in a format. */
import { z } from 'zod';
import { topicProblem } from './topic.ts';

/** As many columns as the decoder takes readings from one event. */
const COLUMNS_MAX = 64;
const TEXT_CHARACTERS_MAX = 1_024;
/** Behind one line or program there is one device, or a bus of them. */
const DEVICES_MAX = 32;

export const expression = (what: string) =>
  z
    .string()
    .min(1)
    .max(TEXT_CHARACTERS_MAX)
    .superRefine((text, context) => {
      try {
        new RegExp(text, 'u');
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        context.addIssue({ code: 'custom', message: `is no regular expression: ${why}` });
      }
    })
    .meta({ title: 'regular expression' })
    .describe(what);

/** What only some formats read; formatProblems says which. */
export const formatFields = () => ({
  columns: z
    .array(z.string().min(1).max(256))
    .min(1)
    .max(COLUMNS_MAX)
    .optional()
    .meta({ examples: [['time', 'temperature', '_']] })
    .describe('Columns from left to right; `_` leaves one out. For `format: csv`.'),
  csv_delimiter: z
    .string()
    .regex(/^[^\r\n"]$/, 'must be one character, and no quote')
    .optional()
    .meta({ 'x-default': '`,`', examples: [';'] })
    .describe('What separates the columns. For `format: csv`.'),
  pattern: expression(
    'Its named groups are the values. For `format: regex`. More than 4,096 characters never match.',
  )
    .optional()
    .meta({ examples: ['^T=(?<temperature>[-\\d.]+)'] }),
});

const deviceName = () =>
  z
    .string()
    .min(1)
    .max(256)
    .regex(/^[^+#/\p{C}]+$/u, 'may not hold `/`, `+`, `#` or control characters');

/** The devices whose commands a bridge takes. */
export const devicesField = (what: string) =>
  z
    .array(deviceName())
    .min(1)
    .max(DEVICES_MAX)
    .optional()
    .meta({ 'x-default': "the bridge's id", examples: [['lamp-1']] })
    .describe(what);

export const topicField = () =>
  z
    .string()
    .max(TEXT_CHARACTERS_MAX)
    .superRefine((text, context) => {
      const problem = topicProblem(text);
      if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
    });

/** Options that only one format reads. */
const OF_FORMAT: Readonly<Record<string, readonly string[]>> = {
  columns: ['csv'],
  csv_delimiter: ['csv'],
  pattern: ['regex'],
};

export interface OptionProblem {
  readonly key: string;
  readonly message: string;
}

/** An option that nothing reads would look as if it did something. */
export function formatProblems(value: {
  readonly format: string;
  readonly pattern?: string | undefined;
}): OptionProblem[] {
  const { format, pattern } = value;
  const problems = misplaced(value, OF_FORMAT, 'format', format);
  if (format === 'regex' && pattern === undefined)
    problems.push({ key: 'pattern', message: 'is missing: `format: regex` needs it' });
  return problems;
}

/** The options of `table` that are given though what is chosen under `of` does not read them. */
export function misplaced(
  value: object,
  table: Readonly<Record<string, readonly string[]>>,
  of: string,
  chosen: string,
): OptionProblem[] {
  return Object.entries(table).flatMap(([key, allowed]) => {
    if (Reflect.get(value, key) === undefined || allowed.includes(chosen)) return [];
    return [{ key, message: `has no meaning with \`${of}: ${chosen}\`` }];
  });
}
