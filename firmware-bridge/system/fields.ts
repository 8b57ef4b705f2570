import { hostname } from 'node:os';
import { z } from 'zod';
import { asId, duration, id } from '../../config/fields.ts';
import { deviceTopic, interval } from '../sampling/fields.ts';

/** Each is a handful of metrics; a machine with more real ones is a switch. */
const INTERFACES_MAX = 64;
const DISKS_MAX = 16;
const NAME = /^[A-Za-z0-9_]{1,32}$/;

export const SECTIONS = ['cpu', 'memory', 'disk', 'network', 'power', 'modem'] as const;
export type Section = (typeof SECTIONS)[number];

const disk = z.strictObject({
  name: z
    .string()
    .regex(NAME, 'may hold only letters, digits and `_`')
    .describe('Part of the names of its metrics: `disk_<name>_free_bytes`.'),
  path: z
    .string()
    .regex(/^\//, 'must be a path from `/`')
    .max(4_096)
    .describe('A folder on it, such as the data directory of the hub.'),
});

export const fields = z
  .strictObject({
    topic: deviceTopic('system/{device}'),
    device: id()
      .optional()
      .describe('Name of the machine in topics and readings. Default: its host name.'),
    interval: interval().prefault('30 s').describe('Time between two readings.'),
    include: z
      .array(z.enum(SECTIONS))
      .min(1)
      .default([...SECTIONS])
      .describe('What is read. What this machine does not have is left out by itself.'),
    power_interval: duration({ min: '100 ms', max: '1 h' })
      .prefault('2 s')
      .describe('Time between two looks at the supply: under-voltage is told at once.'),
    interfaces: z
      .array(z.string().min(1).max(15))
      .max(INTERFACES_MAX)
      .optional()
      .meta({ examples: [['eth0', 'wlan0', 'wwan0']] })
      .describe('Network interfaces. Default: those of hardware, and tunnels; none of containers.'),
    interfaces_max: z
      .int()
      .min(1)
      .max(INTERFACES_MAX)
      .default(8)
      .describe('Network interfaces that are read, at most, when they are not named.'),
    disks: z
      .array(disk)
      .min(1)
      .max(DISKS_MAX)
      .default([{ name: 'root', path: '/' }])
      .describe('File systems. Name the one of the data directory when it is not that of `/`.'),
  })
  .superRefine(({ disks }, context) => {
    for (const [i, { name }] of disks.entries())
      if (disks.findIndex((one) => one.name === name) < i) {
        const path = ['disks', i, 'name'];
        context.addIssue({ code: 'custom', path, message: `\`${name}\` is a disk already` });
      }
  });

export type SystemOptions = z.output<typeof fields>;

export const deviceOf = ({ device }: SystemOptions): string =>
  device ?? (asId(hostname()) || 'hub');
