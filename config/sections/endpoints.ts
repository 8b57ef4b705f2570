import { z } from 'zod';
import { BRIDGES } from '../../firmware-bridge/registry.ts';
import type { BridgeSpec } from '../../hub/core/bridge.ts';
import type { SinkSpec } from '../../hub/core/sink.ts';
import { SINKS } from '../../sinks/registry.ts';
import { bytes, duration, id, startPosition, topicFilter } from '../fields.ts';
import { budget } from './budget.ts';

/**
 * Each sink has a cursor, a buffer of one batch and a connection: 64 are plenty for a small
 * machine.
 */
const SINKS_MAX = 64;
const BRIDGES_MAX = 64;
const TOPICS_MAX = 100;

const batch = z.strictObject({
  events_max: z
    .int()
    .min(1)
    .max(100_000)
    .default(5000)
    .describe('Events in one batch at most. 5000 keep a fast link busy and fit in memory.'),
  bytes_max: bytes({ min: '1 KiB', max: '64 MiB' })
    .prefault('1 MiB')
    .describe('Payload bytes in one batch at most. 1 MiB is what most far sides take.'),
  linger_ms: z
    .int()
    .min(0)
    .max(60_000)
    .default(1000)
    .describe('How long a batch that is not full waits for more, in ms. 0 sends at once.'),
  deadline: duration({ min: '1 s', max: '1 d' })
    .prefault('5 min')
    .describe(
      'How long one request may take altogether. One that takes longer is given up and sent ' +
        'again in smaller parts.',
    ),
});

const order = z
  .union([
    z.literal('oldest_first'),
    z.strictObject({
      live_first: z.strictObject({
        share: z
          .number()
          .min(0.05)
          .max(0.95)
          .default(0.3)
          .describe(
            'The part of the time that the backlog gets even while new events keep coming.',
          ),
      }),
    }),
  ])
  .default('oldest_first')
  .meta({ examples: [{ live_first: { share: 0.3 } }] })
  .describe(
    'What goes first after an outage. `oldest_first` keeps the order of arrival. `live_first` ' +
      'sends new events at once and the backlog beside them, marked `backfill`. Alarms go first ' +
      'in any case.',
  );

export const retry = z.strictObject({
  delay_min: duration({ min: '10 ms', max: '1 d' })
    .prefault('1 s')
    .describe('Wait before the first retry. The real one is random, half of this at least.'),
  delay_max: duration({ min: '10 ms', max: '1 d' })
    .prefault('5 min')
    .describe('The wait doubles up to this. 5 min find a link again soon after it returns.'),
  attempts_max: z
    .int()
    .min(1)
    .max(1000)
    .default(20)
    .describe(
      'How often an event that the far side refuses is tried before it goes to the dead letters. ' +
        'Outages never count.',
    ),
});

/** What every sink has besides the options of its type. */
const sinkCommon = {
  topics: z
    .array(topicFilter())
    .min(1)
    .max(TOPICS_MAX)
    .default(['#'])
    .describe('Which events this sink gets. Everything by default.'),
  start: startPosition()
    .prefault('oldest')
    .describe(
      'Where a new sink begins: with everything that is still in the log, so that nothing is ' +
        'missing, with what comes from `now` on, or with what arrived at a time such as ' +
        '`2026-03-01T12:00:00Z`. One that has its place already keeps it.',
    ),
  formerly: id()
    .optional()
    .describe(
      'The id that this sink had before. It takes over the place of that one in the log, its dead ' +
        'letters, its replays and whether it is paused, once; without this, another id is a new ' +
        'sink, which is sent everything again.',
    ),
  order,
  batch: batch.prefault({}).describe('How many events go in one request.'),
  retry: retry.prefault({}).describe('When a failed batch is sent again.'),
  budget: budget
    .optional()
    .describe(
      'How much may be sent, and when: see docs/budget.md. As much as there is by default.',
    ),
};

const sinkId = id().describe(
  'Name of the sink, unique. Its place in the log is kept under this name, whatever else changes: ' +
    'another name is a new sink, unless `formerly` says which one it was.',
);
const bridgeId = id().describe(
  'Name of the bridge, unique; `source` of its events is `bridge:<id>`.',
);
const type = (name: string, summary: string) => z.literal(name).describe(summary);

/** What the types know of every sink; the options of its type are in the same object. */
type SinkShape = { id: typeof sinkId; type: ReturnType<typeof type> } & typeof sinkCommon;
type BridgeShape = { id: typeof bridgeId; type: ReturnType<typeof type> };

function sinkOptions(spec: SinkSpec): z.ZodObject<SinkShape> {
  const own = { id: sinkId, type: type(spec.type, spec.summary), ...sinkCommon };
  return spec.options.safeExtend(own).meta({ title: spec.type });
}

function bridgeOptions(spec: BridgeSpec): z.ZodObject<BridgeShape> {
  const own = { id: bridgeId, type: type(spec.type, spec.summary) };
  return spec.options.safeExtend(own).meta({ title: spec.type });
}

const [firstSink, ...furtherSinks] = SINKS;
const [firstBridge, ...furtherBridges] = BRIDGES;

export const sinks = z
  .array(z.discriminatedUnion('type', [sinkOptions(firstSink), ...furtherSinks.map(sinkOptions)]))
  .max(SINKS_MAX)
  .default([])
  .describe(
    'Far sides that the events are sent to, each at its own pace from its own place in the log.',
  );

export const bridges = z
  .array(
    z.discriminatedUnion('type', [
      bridgeOptions(firstBridge),
      ...furtherBridges.map(bridgeOptions),
    ]),
  )
  .max(BRIDGES_MAX)
  .default([])
  .describe('Sources that are not MQTT: hardware at this machine, or simulated sensors.');
