import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { createMetrics } from '../../hub/observe/metrics.ts';
import { metricsReference } from '../../hub/observe/metrics-doc.ts';
import { METRICS, type MetricDefinition } from '../../hub/observe/metrics-table.ts';

const known = { version: '1.2.3', sources: ['mqtt'], sinks: ['cloud'], bridges: ['pico'] };

test('the metrics: are those of the table, each once, with help and type', async () => {
  const text = await createMetrics(known).text();
  for (const { name, type } of METRICS)
    assert.equal(text.split(`# TYPE ${name} ${type}\n`).length, 2, name);
  assert.equal(text.match(/^# TYPE /gm)?.length, METRICS.length, 'and no others');
  const definitions: readonly MetricDefinition[] = METRICS;
  assert.equal(new Set(definitions.map(({ name }) => name)).size, METRICS.length);
  const forbidden = ['topic', 'device', 'client'];
  for (const { labels } of definitions)
    assert.ok(!labels.some((label) => forbidden.includes(label)));
});

test('the metrics: start at 0 where the labels are known, some absent', async () => {
  const text = await createMetrics(known).text();
  for (const line of [
    'holdfast_ingest_events_total{source="mqtt",lane="alarm"} 0',
    'holdfast_lost_events_total{reason="full",lane="bulk"} 0',
    'holdfast_sink_delivered_events_total{sink="cloud"} 0',
    'holdfast_sink_link{sink="cloud",state="backoff"} 0',
    'holdfast_bridge_link{bridge="pico",state="reading"} 0',
    'holdfast_bridge_degraded{bridge="pico"} 0',
    'holdfast_undecoded_events_total{reason="invalid"} 0',
    'holdfast_bridge_bad_frames_total{bridge="pico",reason="checksum"} 0',
    'holdfast_sink_batch_seconds_count{sink="cloud"} 0',
    'holdfast_log_commit_seconds_bucket{le="0.001"} 0',
    'holdfast_ingest_bytes_total 0',
    'holdfast_build_info{version="1.2.3"} 1',
  ])
    assert.ok(text.includes(`${line}\n`), line);
  assert.doesNotMatch(text, /^holdfast_log_seconds_until_full /m);
  assert.doesNotMatch(text, /^holdfast_sink_drain_eta_seconds/m);
  assert.doesNotMatch(text, /state="reading".*sink/);
  assert.doesNotMatch(text, /holdfast_bridge_link\{[^}]*state="halted"/);
  assert.doesNotMatch(text, /holdfast_bridge_bad_frames_total\{[^}]*reason="(full|age|poison)"/);
});

test('the metrics: count, set, observe and go away', async () => {
  const metrics = createMetrics(known);
  const counter = metrics.counter('holdfast_ingest_events_total', {
    source: 'mqtt',
    lane: 'normal',
  });
  counter.inc(5);
  counter.raiseTo(9);
  counter.raiseTo(3);
  metrics.counter('holdfast_ingest_events_total', { lane: 'normal', source: 'mqtt' }).raiseTo(10);
  metrics.counter('holdfast_mqtt_refused_total', { reason: 'acl' }).inc();
  metrics.histogram('holdfast_log_commit_seconds').observe(0.003);
  const eta = metrics.gauge('holdfast_sink_drain_eta_seconds', { sink: 'cloud' });
  eta.set(12);
  let scrapes = 0;
  metrics.onScrape(() => metrics.gauge('holdfast_log_events').set(++scrapes * 100));
  const text = await metrics.text();
  for (const line of [
    'holdfast_ingest_events_total{source="mqtt",lane="normal"} 10',
    'holdfast_mqtt_refused_total{reason="acl"} 1',
    'holdfast_log_commit_seconds_bucket{le="0.0025"} 0',
    'holdfast_log_commit_seconds_bucket{le="0.005"} 1',
    'holdfast_sink_drain_eta_seconds{sink="cloud"} 12',
    'holdfast_log_events 100',
  ])
    assert.ok(text.includes(`${line}\n`), line);
  eta.set(null);
  const later = await metrics.text();
  assert.ok(later.includes('holdfast_log_events 200\n'));
  assert.doesNotMatch(later, /^holdfast_sink_drain_eta_seconds/m);
});

test('the metrics: are typed by the table', () => {
  const metrics = createMetrics(known);
  const wrong = [
    // @ts-expect-error no such metric
    () => metrics.counter('holdfast_nothing_total'),
    // @ts-expect-error a gauge is no counter
    () => metrics.counter('holdfast_log_events'),
    // @ts-expect-error no such label
    () => metrics.counter('holdfast_ingest_events_total', { sauce: 'mqtt' }),
    // @ts-expect-error a label is missing
    () => metrics.counter('holdfast_ingest_events_total', { source: 'mqtt' }),
    // @ts-expect-error it has no labels
    () => metrics.counter('holdfast_log_commits_total', { lane: 'normal' }),
  ];
  assert.throws(() => wrong[0]?.(), /not in the table/);
});

test('the metrics: are described in docs/METRICS.md as they are', async () => {
  const page = await readFile(new URL('../../../docs/METRICS.md', import.meta.url), 'utf8');
  assert.equal(page, metricsReference(), 'docs/METRICS.md is not fresh: run `npm run generate`');
});
