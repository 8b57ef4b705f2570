import { BRIDGE_STATES } from './core/bridge.ts';
import { LINK_STATES } from './core/link.ts';
import { HOLD_REASONS, type SinkStatus, type Status } from './core/status.ts';
import type { Forwarder } from './forward/forwarder.ts';
import type { BridgeRunner } from './intake/bridges.ts';
import type { Broker } from './intake/broker/broker.ts';
import { REFUSAL_REASONS } from './intake/broker/refusals.ts';
import type { Intake } from './intake/intake.ts';
import type { DurableLog } from './log/durable-log.ts';
import type { Metrics } from './observe/metrics.ts';

export interface MetricsSources {
  readonly metrics: Metrics;
  readonly log: DurableLog;
  readonly intake: Intake;
  readonly broker: Broker;
  readonly bridges: readonly BridgeRunner[];
  readonly forwarders: readonly Forwarder[];
  status(): Status;
}

/** Fills the registry from what the parts know, when somebody scrapes. */
export function collectMetrics(sources: MetricsSources): void {
  const { metrics } = sources;
  for (const reason of REFUSAL_REASONS) metrics.counter('holdfast_mqtt_refused_total', { reason });
  metrics.onScrape(() => {
    const status = sources.status();
    collectIntake(sources);
    collectLog(sources, status);
    collectSinks(sources, status);
    for (const bridge of status.inputs.bridges) {
      for (const state of BRIDGE_STATES) {
        const labels = { bridge: bridge.id, state };
        metrics.gauge('holdfast_bridge_link', labels).set(Number(state === bridge.state));
      }
      const isDegraded = Number(bridge.degraded ?? false);
      metrics.gauge('holdfast_bridge_degraded', { bridge: bridge.id }).set(isDegraded);
    }
    for (const bridge of sources.bridges) {
      for (const [reason, frames] of bridge.badFrames()) {
        const labels = { bridge: bridge.id, reason };
        metrics.counter('holdfast_bridge_bad_frames_total', labels).raiseTo(frames);
      }
    }
    metrics.gauge('holdfast_clock_synced').set(Number(status.clock.synced));
    metrics.gauge('holdfast_clock_offset_seconds').set(status.clock.offsetMs / 1000);
    metrics.gauge('holdfast_disk_free_bytes').set(status.disk.freeBytes);
  });
}

function collectIntake({ metrics, intake, broker }: MetricsSources): void {
  let bytes = 0;
  for (const { source, lane, events, bytes: sourceBytes } of intake.counts()) {
    metrics.counter('holdfast_ingest_events_total', { source, lane }).raiseTo(events);
    bytes += sourceBytes;
  }
  metrics.counter('holdfast_ingest_bytes_total').raiseTo(bytes);
  metrics.gauge('holdfast_mqtt_clients').set(broker.clients);
  for (const [reason, count] of broker.refusals()) {
    metrics.counter('holdfast_mqtt_refused_total', { reason }).raiseTo(count);
  }
}

function collectLog({ metrics, log }: MetricsSources, status: Status): void {
  const { events, bytes, bytesMax, oldestAgeMs, secondsUntilFull, full } = status.log;
  metrics.counter('holdfast_log_written_bytes_total').raiseTo(status.log.writtenBytes);
  metrics.gauge('holdfast_log_events').set(events);
  metrics.gauge('holdfast_log_bytes').set(bytes);
  metrics.gauge('holdfast_log_bytes_max').set(bytesMax);
  metrics.gauge('holdfast_log_oldest_age_seconds').set((oldestAgeMs ?? 0) / 1000);
  metrics.gauge('holdfast_log_seconds_until_full').set(secondsUntilFull);
  metrics.gauge('holdfast_log_blocked').set(Number(full));
  for (const { lane, thinned } of status.log.lanes) {
    metrics.counter('holdfast_log_thinned_events_total', { lane }).raiseTo(thinned.events);
  }
  for (const { reason, lane, events } of log.losses.entries()) {
    metrics.counter('holdfast_lost_events_total', { reason, lane }).raiseTo(events);
  }
}

function collectSinks({ metrics, forwarders }: MetricsSources, status: Status): void {
  for (const [index, sinkStatus] of status.sinks.entries()) {
    const sink = sinkStatus.id;
    metrics.gauge('holdfast_sink_lag_events', { sink }).set(sinkStatus.lagEvents);
    metrics.gauge('holdfast_sink_lag_seconds', { sink }).set(sinkStatus.lagMs / 1000);
    metrics.gauge('holdfast_sink_dead_letters', { sink }).set(sinkStatus.deadLetters);
    metrics.gauge('holdfast_sink_drain_eta_seconds', { sink }).set(sinkStatus.etaSeconds);
    for (const state of LINK_STATES) {
      metrics.gauge('holdfast_sink_link', { sink, state }).set(Number(state === sinkStatus.state));
    }
    collectBudget(metrics, sinkStatus);
    const { replayedEvents } = sinkStatus.replay;
    metrics.counter('holdfast_sink_replayed_events_total', { sink }).raiseTo(replayedEvents);
    const counters = forwarders[index]?.counters();
    if (!counters) continue;
    metrics.counter('holdfast_sink_delivered_events_total', { sink }).raiseTo(counters.delivered);
    metrics.counter('holdfast_sink_filtered_events_total', { sink }).raiseTo(counters.filtered);
    metrics.counter('holdfast_sink_retries_total', { sink }).raiseTo(counters.retries);
    collectOutages(metrics, forwarders[index]);
    const sinceEver = (reason: 'skipped' | 'age') =>
      sinkStatus.lanes.reduce((sum, { lost }) => sum + (lost[reason] ?? 0), 0);
    const lost = {
      full: counters.dropped,
      corrupt: counters.corrupt,
      skipped: sinceEver('skipped'),
      age: sinceEver('age'),
    };
    for (const [reason, events] of Object.entries(lost)) {
      metrics.counter('holdfast_sink_lost_events_total', { sink, reason }).raiseTo(events);
    }
  }
}

function collectBudget(metrics: Metrics, { id: sink, governor, wireBytes }: SinkStatus): void {
  if (wireBytes !== undefined)
    metrics.counter('holdfast_sink_wire_bytes_total', { sink }).raiseTo(wireBytes);
  if (!governor) return;
  for (const reason of HOLD_REASONS) {
    const isHeld = governor.held.some((held) => held.reason === reason);
    metrics.gauge('holdfast_sink_held', { sink, reason }).set(Number(isHeld));
  }
  for (const period of ['day', 'month'] as const) {
    const { usedBytes, limitBytes } = governor[period];
    const used = limitBytes === null ? null : usedBytes / limitBytes;
    metrics.gauge('holdfast_sink_budget_used_ratio', { sink, period }).set(used);
  }
}

function collectOutages(metrics: Metrics, forwarder: Forwarder | undefined): void {
  const counters = forwarder?.outages.counters();
  if (!forwarder || !counters) return;
  const sink = forwarder.id;
  metrics.counter('holdfast_sink_outages_total', { sink }).raiseTo(counters.outages);
  metrics.counter('holdfast_sink_outage_seconds_total', { sink }).raiseTo(counters.seconds);
}
