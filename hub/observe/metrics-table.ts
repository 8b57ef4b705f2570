/**
 * Every metric of the hub. The registry, docs/METRICS.md and the tests of the dashboards are made
 * from this table. Labels are bounded: ids from the configuration, lanes, states, reasons; never a
 * topic, a device or a client id.
 */
export interface MetricDefinition {
  readonly name: `holdfast_${string}`;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly number[];
}

/** From one fsync on an SSD (1 ms) to a worn SD card in trouble (5 s). */
const COMMIT_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
/** From a batch on the local network to one over a slow cellular link. */
const BATCH_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60];

/** Keeps name, type and labels as literal types: the registry is typed by them. */
function metric<
  const Type extends MetricDefinition['type'],
  const Name extends MetricDefinition['name'],
  const Labels extends readonly string[],
>(type: Type, name: Name, labels: Labels, help: string, buckets?: readonly number[]) {
  return { type, name, labels, help, ...(buckets ? { buckets } : {}) };
}

export const METRICS = [
  metric(
    'counter',
    'holdfast_ingest_events_total',
    ['source', 'lane'],
    'Events accepted into the log.',
  ),
  metric('counter', 'holdfast_ingest_bytes_total', [], 'Payload bytes accepted into the log.'),
  metric('gauge', 'holdfast_log_events', [], 'Events kept in the log.'),
  metric('gauge', 'holdfast_log_bytes', [], 'Bytes of the blocks kept in the log.'),
  metric('gauge', 'holdfast_log_bytes_max', [], 'log.capacity.bytes_max.'),
  metric(
    'gauge',
    'holdfast_log_oldest_age_seconds',
    [],
    'Age of the oldest event kept in the log.',
  ),
  metric(
    'gauge',
    'holdfast_log_seconds_until_full',
    [],
    'Time until the log is full at the present rate with nothing delivered; absent when it is not filling.',
  ),
  metric('gauge', 'holdfast_log_blocked', [], '1 while publishers wait because the log is full.'),
  metric(
    'histogram',
    'holdfast_log_commit_seconds',
    [],
    'Time from the start of a group commit until it is on stable storage.',
    COMMIT_SECONDS,
  ),
  metric('counter', 'holdfast_log_commits_total', [], 'Group commits.'),
  metric(
    'counter',
    'holdfast_log_written_bytes_total',
    [],
    'Bytes this process has sent to storage since it started, as Linux counts them (write_bytes of /proc/self/io): whole pages, with compactions and whatever else the process writes, without the journal of the file system (docs/wear.md). Where Linux does not tell: keys and values that the log handed to storage.',
  ),
  metric(
    'counter',
    'holdfast_log_thinned_events_total',
    ['lane'],
    'Events that became a part of aggregates to make room.',
  ),
  metric(
    'counter',
    'holdfast_lost_events_total',
    ['reason', 'lane'],
    'Events accepted and then given up, by reason: full, age, poison, corrupt, rate. What single ' +
      'sinks skipped is in holdfast_sink_lost_events_total.',
  ),
  metric(
    'gauge',
    'holdfast_sink_lag_events',
    ['sink'],
    'Events in the log that the sink has not settled.',
  ),
  metric(
    'gauge',
    'holdfast_sink_lag_seconds',
    ['sink'],
    'Age of the oldest event that the sink has not settled.',
  ),
  metric(
    'counter',
    'holdfast_sink_delivered_events_total',
    ['sink'],
    'Events the far side has taken.',
  ),
  metric(
    'counter',
    'holdfast_sink_replayed_events_total',
    ['sink'],
    'Events the far side has taken again, in replays.',
  ),
  metric(
    'counter',
    'holdfast_sink_filtered_events_total',
    ['sink'],
    "Events passed over because the sink's topics do not match.",
  ),
  metric(
    'counter',
    'holdfast_sink_lost_events_total',
    ['sink', 'reason'],
    'Events that were given up before this sink had them. `skipped`: because somebody said so.',
  ),
  metric('counter', 'holdfast_sink_retries_total', ['sink'], 'Batches sent again after an error.'),
  metric(
    'gauge',
    'holdfast_sink_held',
    ['sink', 'reason'],
    '1 while the budget of the sink holds something back, by reason: budget_day, budget_month, window, rate.',
  ),
  metric(
    'counter',
    'holdfast_sink_wire_bytes_total',
    ['sink'],
    'Bytes that went through the connections of the sink, in both directions, without the headers of TCP and IP; of sinks that count them.',
  ),
  metric(
    'gauge',
    'holdfast_sink_budget_used_ratio',
    ['sink', 'period'],
    'What the sink has sent as a part of its budget, by period: day, month; absent without one.',
  ),
  metric(
    'counter',
    'holdfast_sink_outages_total',
    ['sink'],
    'Outages that began: the far side could not be reached, did not answer, or refused everything.',
  ),
  metric('counter', 'holdfast_sink_outage_seconds_total', ['sink'], 'Time in outages.'),
  metric(
    'histogram',
    'holdfast_sink_batch_seconds',
    ['sink'],
    'Time the far side took to answer one batch.',
    BATCH_SECONDS,
  ),
  metric('gauge', 'holdfast_sink_dead_letters', ['sink'], 'Events kept as dead letters.'),
  metric(
    'gauge',
    'holdfast_sink_link',
    ['sink', 'state'],
    '1 for the present state of the link, 0 for the others.',
  ),
  metric(
    'gauge',
    'holdfast_sink_drain_eta_seconds',
    ['sink'],
    'Time until the backlog is drained at the present rate; 0 without a backlog, absent when it is not draining.',
  ),
  metric('gauge', 'holdfast_mqtt_clients', [], 'Connected MQTT clients.'),
  metric(
    'counter',
    'holdfast_mqtt_refused_total',
    ['reason'],
    'MQTT connections, publishes and subscriptions refused, and queued messages dropped, by reason.',
  ),
  metric(
    'counter',
    'holdfast_undecoded_events_total',
    ['reason'],
    'Events whose payload gave no readings: invalid payload (kept and forwarded raw), or skipped by the live view under overload.',
  ),
  metric(
    'gauge',
    'holdfast_bridge_link',
    ['bridge', 'state'],
    '1 for the present state of the bridge, 0 for the others.',
  ),
  metric(
    'gauge',
    'holdfast_bridge_degraded',
    ['bridge'],
    '1 while the bridge is read but something of it is wrong, such as one of its devices; `status` says what.',
  ),
  metric(
    'counter',
    'holdfast_bridge_bad_frames_total',
    ['bridge', 'reason'],
    'What came from the hardware and could not be used, by reason: too_long, framing, partial, checksum, format, topic, protocol.',
  ),
  metric(
    'gauge',
    'holdfast_clock_synced',
    [],
    '1 while something keeps the wall clock synchronised.',
  ),
  metric(
    'gauge',
    'holdfast_clock_offset_seconds',
    [],
    'How far the wall clock was moved by its last correction: a synchronisation, or a step.',
  ),
  metric(
    'gauge',
    'holdfast_disk_free_bytes',
    [],
    'Free bytes on the volume of the data directory.',
  ),
  metric(
    'counter',
    'holdfast_spans_exported_total',
    [],
    'Spans of traces that the collector has taken.',
  ),
  metric(
    'counter',
    'holdfast_spans_dropped_total',
    [],
    'Spans given up because the collector was away for too long, or refused them.',
  ),
  metric('gauge', 'holdfast_build_info', ['version'], 'Always 1; names the version.'),
] as const satisfies readonly MetricDefinition[];
