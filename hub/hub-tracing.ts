import type { Logger } from 'pino';
import type { HubConfig, TracingConfig } from '../config/schema.ts';
import type { Clock } from './core/clock.ts';
import { sampledWarnings } from './core/sampled-warnings.ts';
import type { Metrics } from './observe/metrics.ts';
import { SpanExporter } from './observe/tracing/span-exporter.ts';
import { Tracer } from './observe/tracing/tracer.ts';

/** A collector that is away is told of this often. */
const WARN_INTERVAL_MS = 10 * 60_000;

export interface TracingOptions {
  readonly config: Pick<HubConfig, 'hub' | 'tracing'>;
  readonly version: string;
  readonly clock: Clock;
  random(): number;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** What follows events through the hub. */
export interface Tracing {
  readonly tracer: Tracer;
  /** Undefined when nothing is traced here: messages only keep what they bring. */
  readonly intake: Tracer | undefined;
  stop(): Promise<void>;
}

export function makeTracing(options: TracingOptions): Tracing {
  const { clock, random } = options;
  const config = options.config.tracing;
  const exporter = config.otlp && exporterOf(options, config.otlp);
  exporter?.start();
  const tracer = new Tracer({ clock, random, sampleRatio: config.sample_ratio, spans: exporter });
  const intake = exporter !== undefined || config.sample_ratio > 0 ? tracer : undefined;
  return { tracer, intake, stop: async () => exporter?.stop() };
}

function exporterOf(
  { config, version, clock, random, metrics, logger }: TracingOptions,
  otlp: NonNullable<TracingConfig['otlp']>,
): SpanExporter {
  const exported = metrics.counter('holdfast_spans_exported_total');
  const dropped = metrics.counter('holdfast_spans_dropped_total');
  const headers = Object.entries(otlp.headers).map(([name, value]) => [name, value.reveal()]);
  return new SpanExporter({
    ...{ hubId: config.hub.id, version, clock, random },
    url: new URL(otlp.url),
    headers: Object.fromEntries(headers),
    compression: otlp.compression,
    timeoutMs: otlp.timeout,
    tls: otlp,
    folder: config.hub.data_dir,
    warn: sampledWarnings({
      logger: logger.child({ component: 'tracing' }),
      monotonicMs: () => clock.monotonicMs(),
      perKeyMs: WARN_INTERVAL_MS,
    }),
    exported: (spans) => exported.inc(spans),
    dropped: (spans) => dropped.inc(spans),
  });
}
