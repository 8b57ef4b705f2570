import { z } from 'zod';
import { bytes, duration, secret } from '../../config/fields.ts';
import type { BridgeSpec } from '../../hub/core/bridge.ts';
import { devicesField, formatFields, formatProblems, topicField } from '../format/fields.ts';
import { ownDecodeRules } from '../format/topic.ts';

/** More is a script, and belongs in a file. */
const ARGUMENTS_MAX = 64;
const ARGUMENT_CHARACTERS_MAX = 4_096;
const VARIABLES_MAX = 64;

const argument = () =>
  z
    .string()
    .max(ARGUMENT_CHARACTERS_MAX)
    .regex(/^[^\0]*$/, 'has a NUL character');

const command = z
  .array(argument(), {
    error: 'expected a list: the program and its arguments, for example `[rtl_433, -F, json]`',
  })
  .min(1, 'names no program')
  .max(ARGUMENTS_MAX)
  .refine(([program]) => program?.trim() !== '', 'names no program')
  .meta({ examples: [['rtl_433', '-F', 'json']] })
  .describe(
    'The program and its arguments, one item each. There is no shell between; where one is ' +
      'wanted, it is the program: `[sh, -c, "a | b"]`.',
  );

const env = z
  .record(
    z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is no name of an environment variable'),
    secret(),
  )
  .refine((value) => Object.keys(value).length <= VARIABLES_MAX, `more than ${VARIABLES_MAX}`)
  .default({})
  .meta({ examples: [{ API_KEY: '${API_KEY}' }] })
  .describe(
    'Environment variables of the program. Of those of the hub it gets only PATH, HOME, USER, ' +
      'LOGNAME, SHELL, TMPDIR, TZ and the language: tokens of the hub are not handed on.',
  );

const commands = z
  .strictObject({
    devices: devicesField('Names of the devices whose commands the program gets.'),
    answer_timeout: duration({ min: '10 ms', max: '1 h' })
      .optional()
      .describe(
        'How long the answer of the program may take, a line `{"command": <id>, ...}`. Without ' +
          'it no answer is expected: a command is `sent` when it is written.',
      ),
  })
  .optional()
  .describe(
    'Writes commands to the stdin of the program, a line of JSON each: ' +
      '`POST /api/v1/devices/{device}/commands`. None by default.',
  );

const shape = {
  command,
  working_dir: z
    .string()
    .min(1)
    .max(ARGUMENT_CHARACTERS_MAX)
    .optional()
    .meta({ 'x-default': 'that of the hub', examples: ['scripts'] })
    .describe('Folder that the program runs in, relative to the configuration file.'),
  env,
  interval: duration({ min: '100 ms', max: '7 d' })
    .optional()
    .meta({ examples: ['30 s'] })
    .describe(
      'Runs the program so often; it prints its readings and ends. Without it the program is to ' +
        'run all the time, and is started again when it ends.',
    ),
  timeout: duration({ min: '100 ms', max: '1 d' })
    .optional()
    .meta({ 'x-default': '10 s', examples: ['10 s'] })
    .describe('With `interval`: a run that takes longer is ended. Waiting for the log counts not.'),
  format: z
    .enum(['json', 'csv', 'key_value', 'regex', 'number', 'influx', 'raw'])
    .default('json')
    .describe(
      'What is in a line. It is published as JSON; `raw`, and `csv` without `columns`, as it came. ' +
        '`number` is one number, published as `value`; `influx` is the line protocol of InfluxDB.',
    ),
  ...formatFields(),
  line_bytes_max: bytes({ min: '16 B', max: '1 MiB' })
    .prefault('64 KiB')
    .describe('A longer line is counted as bad and skipped.'),
  topic: topicField()
    .default('exec/{bridge}')
    .describe(
      'Where lines are published. `{bridge}` is the id of the bridge, any other `{name}` what the ' +
        'line has under that name; with `influx` also `{measurement}` and the tags.',
    ),
  commands,
};

const options = z.strictObject(shape).superRefine((value, context) => {
  const refuse = (key: string, message: string) =>
    context.addIssue({ code: 'custom', path: [key], message });
  for (const { key, message } of formatProblems(value)) refuse(key, message);
  if (value.interval === undefined && value.timeout !== undefined)
    refuse('timeout', 'has no meaning without `interval`: the program runs all the time');
  if (value.interval !== undefined && value.commands !== undefined)
    refuse('commands', 'go to a program that runs all the time: leave `interval` out');
});

export type ExecOptions = z.output<typeof options>;

export const execSpec = {
  type: 'exec',
  summary: 'Runs a program whose lines are readings, all the time or at intervals.',
  options,
  create: async (value) => await (await import('./exec.ts')).createExecBridge(value),
  decode: ({ topic, format, columns }) =>
    format === 'raw' || (format === 'csv' && columns === undefined) ? [] : ownDecodeRules(topic),
  examine: async (value) => await (await import('./examine.ts')).examine(value),
} as const satisfies BridgeSpec<typeof options>;
