import { z } from 'zod';
import { duration, id } from '../../config/fields.ts';
import type { BridgeSpec } from '../../hub/core/bridge.ts';

/**
 * At the shortest interval this is 30,000 messages a second, more than a Pi takes: a load, not a
 * demo.
 */
const DEVICES_MAX = 1_000;
/** Timers are not exact below this, and the log would only see a constant load. */
const INTERVAL_MS_MIN = 100;
const INTERVAL_MS_MAX = 3_600_000;
/** A topic of so many levels is longer than any real site needs. */
const PREFIX_CHARACTERS_MAX = 128;
/** What a 32-bit generator can be started with. */
const SEED_MAX = 0xffff_ffff;

/** Kinds of devices that can be simulated; each has its own sensors. */
export const PROFILES = ['greenhouse', 'outdoor', 'machine'] as const;
export type Profile = (typeof PROFILES)[number];

const device = z.strictObject({
  name: id().describe('Name of the device: the third level of its topics. Unique.'),
  area: id().describe('Where it stands: the second level of its topics.'),
  profile: z
    .enum(PROFILES)
    .describe(
      '`greenhouse`: temperature, humidity, soil moisture. `outdoor`: temperature, light, pressure. ' +
        '`machine`: power, vibration, state.',
    ),
});

const DEFAULT_DEVICES: readonly z.output<typeof device>[] = [
  { name: 'greenhouse-1', area: 'north', profile: 'greenhouse' },
  { name: 'greenhouse-2', area: 'north', profile: 'greenhouse' },
  { name: 'outdoor', area: 'roof', profile: 'outdoor' },
  { name: 'pump-1', area: 'cellar', profile: 'machine' },
];

const devices = z
  .array(device)
  .min(1)
  .max(DEVICES_MAX)
  .superRefine((list, context) => {
    const seen = new Set<string>();
    for (const [index, { name }] of list.entries()) {
      if (seen.has(name)) {
        const message = `\`${name}\` is already a device of this bridge`;
        context.addIssue({ code: 'custom', path: [index, 'name'], message });
      }
      seen.add(name);
    }
  })
  .default([...DEFAULT_DEVICES])
  .describe('The simulated devices.');

const options = z.strictObject({
  interval_ms: z
    .int()
    .min(INTERVAL_MS_MIN)
    .max(INTERVAL_MS_MAX)
    .default(2000)
    .describe('Time between two readings of every sensor, in ms.'),
  seed: z
    .int()
    .min(0)
    .max(SEED_MAX)
    .optional()
    .describe(
      'Makes the noise, the gaps and the alarms of every run the same. Without it they differ.',
    ),
  topic_prefix: z
    .string()
    .min(1)
    .max(PREFIX_CHARACTERS_MAX)
    .regex(
      /^[A-Za-z0-9_-]*(\/[A-Za-z0-9_-]+)*$/,
      'may hold only letters, digits, `-` and `_`, in levels parted by `/`',
    )
    .default('site')
    .describe('First level or levels of every topic: `<topic_prefix>/<area>/<device>/<metric>`.'),
  drop_share: z
    .number()
    .min(0)
    .max(1)
    .default(0.01)
    .describe(
      'Share of the readings that never arrive, as from a sensor at the edge of its range.',
    ),
  alarm_interval: duration({ min: '1 s', max: '30 d' })
    .prefault('10 min')
    .describe('Mean time between two alarms of one device. The real time is random.'),
  devices,
});

export type SimulatorOptions = z.output<typeof options>;
export type SimulatedDevice = SimulatorOptions['devices'][number];

export const simulatorSpec = {
  type: 'simulator',
  summary: 'Publishes readings of believable sensors, for trying the hub out without hardware.',
  options,
  create: async (value) => new (await import('./simulator.ts')).SimulatorBridge(value),
  decode: ({ topic_prefix: prefix }) => [
    { topic: `${prefix}/{area}/{device}/{metric}`, format: 'json', units: {} },
  ],
  examine: async ({ devices: { length } }) => {
    const detail = `${length} simulated devices need nothing of this machine`;
    return [{ severity: 'ok', subject: 'simulator', detail }];
  },
} as const satisfies BridgeSpec<typeof options>;
