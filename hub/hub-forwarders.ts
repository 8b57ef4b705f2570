import { crc32 } from 'node:zlib';
import type { Logger } from 'pino';
import type { HubConfig, SinkConfig } from '../config/schema.ts';
import { SINKS } from '../sinks/registry.ts';
import type { Clock } from './core/clock.ts';
import { HubError } from './core/errors.ts';
import type { HubEvent } from './core/event.ts';
import type { RateMeter } from './core/rate.ts';
import { remembering } from './core/remembered.ts';
import type { SinkContext, SinkSpec } from './core/sink.ts';
import { REMEMBERED_TOPIC_CHARS_MAX, REMEMBERED_TOPICS_MAX } from './core/topic.ts';
import type { ClockWait } from './forward/clock-gate.ts';
import { Forwarder } from './forward/forwarder.ts';
import type { Recovery } from './forward/recovery.ts';
import type { Order } from './forward/turns.ts';
import { budgetOf } from './hub-budget.ts';
import { claimChecked, type ObjectStores } from './hub-claim-check.ts';
import { farSideOf, outagesOf } from './hub-outages.ts';
import type { Tracing } from './hub-tracing.ts';
import type { DurableLog } from './log/durable-log.ts';
import type { Metrics } from './observe/metrics.ts';
import type { Decoder } from './process/decode/decoder.ts';

/** What all forwarders of a hub share. */
export interface ForwarderParts {
  readonly config: HubConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly ingestRate: RateMeter;
  random(): number;
  readonly log: DurableLog;
  readonly decoder: Decoder;
  readonly recovery: Recovery;
  readonly clockWait: ClockWait;
  readonly stores: ObjectStores;
  readonly tracing: Tracing;
}

/** The forwarder of one configured sink. Errors: what the sink's creation throws. */
export async function makeForwarder(parts: ForwarderParts, sink: SinkConfig): Promise<Forwarder> {
  const { config, log, decoder, stores, ingestRate } = parts;
  const spec = sinkSpecOf(sink);
  const logger = parts.logger.child({ component: 'sink', sink: sink.id });
  const context: SinkContext = {
    id: sink.id,
    hubId: config.hub.id,
    logId: log.id,
    decode: decoder,
    logger,
    dataDir: config.hub.data_dir,
  };
  const open = async () =>
    claimChecked(await spec.create(sink, context), spec.eventLimit?.(sink), context, stores);
  const batchSeconds = parts.metrics.histogram('holdfast_sink_batch_seconds', { sink: sink.id });
  return new Forwarder({
    ...parts,
    id: sink.id,
    type: sink.type,
    sink: await open(),
    reopen: open,
    logger,
    topics: sink.topics,
    batch: {
      eventsMax: sink.batch.events_max,
      bytesMax: sink.batch.bytes_max,
      lingerMs: sink.batch.linger_ms,
    },
    order: orderOf(sink),
    requestsMax: spec.requestsMax?.(sink) ?? 1,
    deadlineMs: sink.batch.deadline,
    partOf: byDevice(decoder),
    retry: {
      delayMinMs: sink.retry.delay_min,
      delayMaxMs: sink.retry.delay_max,
      attemptsMax: sink.retry.attempts_max,
    },
    confirmWindowMs: spec.confirmWindowMs?.(sink) ?? 0,
    budget: await budgetOf(sink, spec.host?.(sink), log, parts.clock),
    farSide: farSideOf(parts.recovery, spec.host?.(sink), sink.budget),
    outages: outagesOf(log, parts.clock, sink.id),
    answered: (seconds, traceId) => batchSeconds.observe(seconds, traceId),
    tracing: parts.tracing.tracer.sink(sink.id, sink.type),
    ingestPerSecond: () => ingestRate.perSecond(),
  });
}

function orderOf({ order }: SinkConfig): Order {
  if (order === 'oldest_first') return { kind: 'oldest_first' };
  return { kind: 'live_first', share: order.live_first.share };
}

/** Events of a device are told from others by it; those of no known device by their topic. */
function byDevice(decoder: Decoder): (event: HubEvent) => number {
  const partOf = remembering(REMEMBERED_TOPICS_MAX, REMEMBERED_TOPIC_CHARS_MAX, (topic) =>
    crc32(decoder.deviceOf(topic) || topic),
  );
  return ({ topic }) => partOf(topic);
}

function sinkSpecOf({ type }: SinkConfig): SinkSpec {
  const spec = SINKS.find((candidate) => candidate.type === type);
  if (!spec) throw new HubError('INTERNAL', `no sink of type ${type}`);
  return spec as SinkSpec; // its options were validated with its own schema
}
