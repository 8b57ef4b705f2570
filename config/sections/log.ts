import { z } from 'zod';
import { WHEN_FULL } from '../../hub/core/status.ts';
import { bytes, duration, topicFilter } from '../fields.ts';

/** Filters are tried one after the other for every new topic; more than this is a mistake. */
const LANE_FILTERS_MAX = 100;

const commit = z.strictObject({
  durability: z
    .enum(['fsync', 'interval'])
    .default('fsync')
    .describe(
      '`fsync`: acknowledged means on stable storage, which is the promise of this hub. ' +
        '`interval`: acknowledged at once and synced every `interval_ms`; a power cut takes what ' +
        'came since, and `status` shows that window.',
    ),
  interval_ms: z
    .int()
    .min(10)
    .max(60_000)
    .default(1000)
    .describe(
      'With `durability: interval`, the time between two syncs in ms, and so the most that a ' +
        'power cut can take.',
    ),
  profile: z
    .enum(['latency', 'balanced', 'card'])
    .default('balanced')
    .describe(
      'How long a commit gathers events before it is written. `latency` answers soonest, `card` ' +
        'writes least and makes an SD card last, `balanced` is in between.',
    ),
});

const whenFull = () => z.enum(WHEN_FULL).default('block');

const capacity = z.strictObject({
  bytes_max: bytes({ min: '1 MiB', max: '16 TiB' })
    .prefault('2 GiB')
    .describe(
      'The most the log takes on disk. 2 GiB hold more than two weeks of ten readings a second, ' +
        'and fit the smallest card in use.',
    ),
  free_bytes_min: bytes()
    .prefault('256 MiB')
    .describe(
      'Free space that the log leaves on its volume; below it the log counts as full. A system ' +
        'without free space cannot even be repaired.',
    ),
  when_full: z
    .union([
      z.enum(WHEN_FULL),
      z.strictObject({
        alarm: z
          .enum(['block', 'drop_oldest', 'drop_newest'])
          .default('block')
          .describe('Alarms are never thinned.'),
        normal: whenFull().describe('Events that are neither alarms nor bulk.'),
        bulk: whenFull().describe('Events of the bulk lane: the first to give way.'),
      }),
    ])
    .default('block')
    .meta({ examples: [{ alarm: 'block', normal: 'thin', bulk: 'drop_oldest' }] })
    .describe(
      'One word for all lanes, or one for each. `block`: publishers wait and nothing is lost, the ' +
        'default because devices can often buffer. `drop_oldest` and `drop_newest` lose events, ' +
        'each counted and reported. `thin` replaces the oldest bulk, then normal events by ' +
        'minimum, mean, maximum and count per metric and interval; alarms then wait as with ' +
        '`block`. Alarms have a share of their own that the others cannot take.',
    ),
});

const retention = z.strictObject({
  age_max: duration({ min: '1 s', max: '3650 d' })
    .prefault('7 d')
    .describe(
      'How long events are kept after every sink has them, for history and replay: long enough ' +
        'to find out on Monday what happened at the weekend. Events that a sink still needs are ' +
        'kept.',
    ),
});

const filters = () => z.array(topicFilter()).max(LANE_FILTERS_MAX).default([]);

const lanes = z.strictObject({
  alarm: filters().describe(
    'Topic filters of what is sent first after an outage, for example `+/+/+/alarm`.',
  ),
  bulk: filters().describe(
    'Topic filters of what is sent last. Everything that is in neither list is `normal`.',
  ),
});

export const log = z.strictObject({
  commit: commit.prefault({}).describe('When an event is on disk, and when it is acknowledged.'),
  capacity: capacity.prefault({}).describe('How much the log may take, and what happens then.'),
  retention: retention.prefault({}).describe('How long delivered events stay.'),
  lanes: lanes.prefault({}).describe('Which events overtake others on the way to the sinks.'),
});
