import { z } from 'zod';
import { LANES } from '../../hub/core/event.ts';
import { parseTimeWindow, type TimeWindow } from '../../hub/core/time-window.ts';
import { bytes } from '../fields.ts';

/** Each is looked at for every minute of a search; a week of different days needs seven. */
const WINDOWS_MAX = 14;
/** A Pi has three or four interfaces; a gateway with VLANs some more. */
const NETWORKS_MAX = 16;

const timeWindow = () =>
  z
    .string({ error: 'expected a window such as `"01:00-05:00"`' })
    .transform((text, context): TimeWindow => {
      const window = parseTimeWindow(text);
      if (!('problem' in window)) return window;
      context.addIssue({ code: 'custom', message: window.problem });
      return z.NEVER;
    })
    .meta({ title: 'window', examples: ['01:00-05:00'] });

const limits = () => ({
  bytes_per_day: bytes({ min: '1 KiB', max: '1 TiB' })
    .optional()
    .describe('The most that is sent in a day, counted on the wire in both directions.'),
  bytes_per_month: bytes({ min: '1 KiB', max: '16 TiB' })
    .optional()
    .describe('The most that is sent in a month.'),
  window: z
    .union([timeWindow(), z.array(timeWindow()).min(1).max(WINDOWS_MAX)])
    .optional()
    .meta({ examples: ['01:00-05:00'] })
    .describe(
      'When it may be sent: `"01:00-05:00"`, over midnight `"22:00-06:00"`, on some days ' +
        '`"mon-fri 22:00-06:00"`, or a list of them. Always by default.',
    ),
  bytes_per_second_max: bytes({ min: '16 B', max: '1 GiB' })
    .optional()
    .describe('The most that is sent in a second on average, so that others have room too.'),
  events_per_second_max: z
    .number()
    .min(0.01)
    .max(1_000_000)
    .optional()
    .describe('The same in events, for a far side that counts them.'),
});

const network = z.strictObject({
  interface: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[\w.:@*-]+$/, 'is not a name of network interfaces such as `eth0` or `wwan*`')
    .describe('Name of the network interface, with `*` for any characters: `eth*`.'),
  unlimited: z.boolean().default(false).describe('Nothing is held back here; it is counted.'),
  ...limits(),
});

export const budget = z.strictObject({
  ...limits(),
  exempt: z
    .array(z.enum(LANES))
    .max(LANES.length)
    .default(['alarm'])
    .describe('Lanes that are never held back. What they send is counted all the same.'),
  timezone: z
    .string()
    .refine(isTimeZone, 'is not a time zone such as `Europe/Berlin` or `UTC`')
    .optional()
    .describe('Time zone of days, months and windows (IANA). That of the machine by default.'),
  month_starts_on: z
    .int()
    .min(1)
    .max(31)
    .default(1)
    .describe(
      'Day on which a month of `bytes_per_month` begins, as on the bill; the last day of months ' +
        'that have fewer.',
    ),
  networks: z
    .array(network)
    .max(NETWORKS_MAX)
    .default([])
    .meta({ examples: [[{ interface: 'eth*', unlimited: true }]] })
    .describe(
      'Other limits for some networks. The first counts that matches the interface which the way ' +
        'to the far side uses now; the limits above are for all others. Each has its own counts.',
    ),
});

export type BudgetSection = z.output<typeof budget>;

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
}
