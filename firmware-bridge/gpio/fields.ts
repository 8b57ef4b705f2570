import { z } from 'zod';
import { duration, id } from '../../config/fields.ts';
import { metric as metricName } from '../register/fields.ts';

/** As many as one gpiomon takes; a header has 28. */
const LINES_MAX = 64;
/** With the device it is part of the key under which a total is remembered. */
const METRIC_CHARACTERS_MAX = 60;
const TOPIC = /^(?:[A-Za-z0-9_-]+\/)*\{device\}(?:\/[A-Za-z0-9_-]+)*$/;
/** Timers below it are not exact. */
const INTERVAL_MIN = '100 ms';

export const PER = ['s', 'min', 'h'] as const;

const metric = () => metricName().max(METRIC_CHARACTERS_MAX);
const interval = () => duration({ min: INTERVAL_MIN, max: '1 d' });
const unit = () => z.string().min(1).max(32).optional();
const edge = () => z.enum(['rising', 'falling', 'both']);

const common = {
  line: z
    .union([z.int().min(0), z.string().max(64)])
    .meta({ examples: [17, 'GPIO17', 'pin 11'] })
    .describe(
      'Which line: its BCM number (`17`, `GPIO17`, `BCM17`), its pin on the 40-pin header ' +
        '(`pin 11`), or the name that the kernel has for it. On another chip the number is the ' +
        'offset of the line.',
    ),
  device: id().describe('Name of the device in topics and readings.'),
  metric: metric().describe('Name of the metric. Unique in its device.'),
  bias: z
    .enum(['pull_up', 'pull_down', 'none'])
    .optional()
    .describe('Resistor in the chip. As it is when left out. Needs the character device.'),
  active_low: z
    .boolean()
    .default(false)
    .describe('Whether the line is on when it is at ground. `rising` is then the edge to ground.'),
};

const debounce = {
  debounce: duration({ max: '1 s' })
    .prefault('0 ms')
    .describe('A level counts only after it has stayed for so long.'),
};

const state = z.strictObject({
  ...common,
  mode: z.literal('state').describe('The level: `true` or `false`, at each change.'),
  ...debounce,
  interval: interval().prefault('1 min').describe('It is told again after so long.'),
});

const edges = z.strictObject({
  ...common,
  mode: z.literal('edges').describe('Each edge is a message, with the time of the kernel.'),
  ...debounce,
  edge: edge().default('both').describe('Which edges.'),
});

const counter = z.strictObject({
  ...common,
  mode: z.literal('counter').describe('A total of pulses, which survives restarts.'),
  ...debounce,
  edge: edge().default('rising').describe('Which edges count.'),
  per_pulse: z
    .number()
    .positive()
    .default(1)
    .describe('What one pulse is, in `unit`: 0.001 for 1,000 pulses per kWh.'),
  start: z
    .number()
    .min(0)
    .default(0)
    .describe('What the meter showed when this bridge had not counted any pulse, in `unit`.'),
  unit: unit().describe('Unit of the total, such as `kWh`.'),
  rate: z
    .strictObject({
      metric: metric().describe('Name of the metric.'),
      per: z.enum(PER).default('h').describe('`per_pulse` for each pulse in this time.'),
      scale: z.number().positive().default(1).describe('Multiplies it: 1000 for W from kWh per h.'),
      unit: unit().describe('Unit of the rate, such as `kW`.'),
    })
    .optional()
    .describe('How fast it grows, from the times of the pulses. 0 when none come.'),
  interval: interval().prefault('10 s').describe('Time between two messages.'),
});

const frequency = z.strictObject({
  ...common,
  mode: z.literal('frequency').describe('Pulses a second, in Hz. 0 when none come.'),
  ...debounce,
  edge: z.enum(['rising', 'falling']).default('rising').describe('Which edges count.'),
  interval: interval().prefault('10 s').describe('Time between two messages.'),
});

const period = z.strictObject({
  ...common,
  mode: z.literal('period').describe('Time from pulse to pulse, in ms. No message when none come.'),
  ...debounce,
  edge: z.enum(['rising', 'falling']).default('rising').describe('Which edges count.'),
  interval: interval().prefault('10 s').describe('Time between two messages.'),
});

const output = z.strictObject({
  ...common,
  mode: z.literal('output').describe('Set by commands.'),
  initial: z
    .boolean()
    .default(false)
    .describe('Whether it is on when the hub starts. A hub that lost its hardware keeps its own.'),
  safe: z
    .union([z.boolean(), z.literal('keep')])
    .default(false)
    .describe('Whether it is on when the hub stops. `keep`: as it was.'),
  interval: interval().prefault('1 min').describe('Its state is told again after so long.'),
});

export const fields = z.strictObject({
  backend: z
    .enum(['auto', 'cdev', 'sysfs'])
    .default('auto')
    .describe(
      '`cdev`: the character device, by `gpiod` 2. `sysfs`: `/sys/class/gpio`, by `onoff`. ' +
        '`auto`: the first where both are there, else the second.',
    ),
  chip: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[A-Za-z0-9_./:@-]+$/, 'is no label or path of a chip; `gpiodetect` lists them')
    .default('auto')
    .meta({ examples: ['pinctrl-rp1', 'gpiochip0'] })
    .describe('Label or device of the chip; `auto` is that of the 40-pin header of this Pi.'),
  topic: z
    .string()
    .max(128)
    .regex(TOPIC, 'must be levels of letters, digits, `-` and `_`, one of them `{device}`')
    .refine((topic) => !topic.startsWith('holdfast/'), "begins with `holdfast/`, the hub's own")
    .default('gpio/{device}')
    .describe('Topic of the readings.'),
  lines: z
    .array(z.discriminatedUnion('mode', [state, edges, counter, frequency, period, output]))
    .min(1)
    .max(LINES_MAX)
    .describe('What is on the lines.'),
});

export type GpioFields = z.output<typeof fields>;
export type LineFields = GpioFields['lines'][number];
export type Mode = LineFields['mode'];
export type OutputFields = Extract<LineFields, { mode: 'output' }>;
export type InputFields = Exclude<LineFields, { mode: 'output' }>;
export type CounterFields = Extract<LineFields, { mode: 'counter' }>;
export type Edges = 'rising' | 'falling' | 'both';
export type Bias = NonNullable<LineFields['bias']>;

/** Which edges of an input are wanted: a level changes with each of them. */
export function edgesOf(line: InputFields): Edges {
  return line.mode === 'state' ? 'both' : line.edge;
}
