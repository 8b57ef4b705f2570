import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gauge, increase, orZero, quantile, rate } from '../../grafana-dashboards/promql.ts';

describe('PromQL over the metrics table', () => {
  it('is written as a person would', () => {
    assert.equal(
      rate('holdfast_ingest_events_total', ['lane']),
      'sum by (hub, lane) (rate(holdfast_ingest_events_total{hub=~"$hub"}[$__rate_interval]))',
    );
    assert.equal(
      gauge('holdfast_sink_link', ['sink'], { state: ['backoff', 'halted'] }),
      'max by (hub, sink) (holdfast_sink_link{hub=~"$hub",state=~"backoff|halted"})',
    );
    assert.equal(
      quantile(0.99, 'holdfast_log_commit_seconds'),
      'histogram_quantile(0.99, sum by (hub, le) (rate(' +
        'holdfast_log_commit_seconds_bucket{hub=~"$hub"}[$__rate_interval])))',
    );
    assert.equal(orZero('a', 'holdfast_build_info'), `a or 0 * ${gauge('holdfast_build_info')}`);
  });

  // The compiler is the test: it complains where an error that is expected does not come.
  it('does not compile with a name, a label or a type that the table does not have', () => {
    // @ts-expect-error the table has holdfast_log_bytes
    gauge('holdfast_log_byte');
    // @ts-expect-error its labels are reason and lane
    increase('holdfast_lost_events_total', ['sink']);
    // @ts-expect-error its label is state
    gauge('holdfast_sink_link', ['sink'], { status: 'halted' });
    // @ts-expect-error a gauge has no rate
    rate('holdfast_log_bytes');
    // @ts-expect-error a counter is never shown as it is
    gauge('holdfast_log_commits_total');
    // @ts-expect-error only a histogram has quantiles
    quantile(0.5, 'holdfast_log_bytes');
  });
});
