import { z } from 'zod';
import { BRIDGES } from '../../firmware-bridge/registry.ts';
import type { BridgeSpec } from '../../hub/core/bridge.ts';
import type { SinkSpec } from '../../hub/core/sink.ts';
import { SINKS } from '../../sinks/registry.ts';
import { bytes, duration, id, topicFilter } from '../fields.ts';

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
});

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
  start: z
    .enum(['oldest', 'now'])
    .default('oldest')
    .describe(
      'Where a new sink begins: with everything that is still in the log, so that nothing is ' +
        'missing, or with what comes from `now` on.',
    ),
  batch: batch.prefault({}).describe('How many events go in one request.'),
  retry: retry.prefault({}).describe('When a failed batch is sent again.'),
};

const sinkId = id().describe(
  'Name of the sink, unique. Its place in the log is kept under this name: another name is a new ' +
    'sink.',
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
