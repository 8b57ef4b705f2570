import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '../../hub/observe/metrics.ts';
import { METRICS } from '../../hub/observe/metrics-table.ts';
import { openMetricsProblems } from '../support/open-metrics.ts';

const known = { version: '1.2.3', sources: ['mqtt', 'http'], sinks: ['cloud'], bridges: ['pico'] };
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

test('OpenMetrics: is what the specification says, with every metric of the table', async () => {
  const metrics = createMetrics(known);
  metrics.histogram('holdfast_log_commit_seconds').observe(0.003, TRACE);
  metrics.histogram('holdfast_log_commit_seconds').observe(99, TRACE);
  metrics.histogram('holdfast_sink_batch_seconds', { sink: 'cloud' }).observe(1, TRACE);
  const text = await metrics.text('openmetrics');
  assert.deepEqual(openMetricsProblems(text), []);
  for (const { name, type } of METRICS) {
    const family = type === 'counter' ? name.replace(/_total$/, '') : name;
    assert.equal(text.split(`# TYPE ${family} ${type}\n`).length, 2, name);
  }
  const exemplar = `# \\{trace_id="${TRACE}"\\}`;
  assert.match(
    text,
    new RegExp(`seconds_bucket\\{le="0\\.005"\\} 1 ${exemplar} 0\\.003 \\d+\\.\\d+\n`),
  );
  assert.match(text, new RegExp(`commit_seconds_bucket\\{le="\\+Inf"\\} 2 ${exemplar} 99 `));
  assert.match(text, new RegExp(`bucket\\{le="1\\.0",sink="cloud"\\} 1 ${exemplar} 1 `));
  assert.equal(text.match(/trace_id/g)?.length, 3, 'in no other bucket');
});

test('OpenMetrics: asking for it changes nothing of the Prometheus text', async () => {
  const metrics = createMetrics(known);
  metrics.histogram('holdfast_log_commit_seconds').observe(0.003, TRACE);
  metrics.histogram('holdfast_log_commit_seconds').observe(0.004);
  const before = await metrics.text();
  await metrics.text('openmetrics');
  assert.equal(await metrics.text('prometheus'), before);
  assert.doesNotMatch(before, /trace_id|# EOF/);
  assert.match(before, /^# TYPE holdfast_log_commits_total counter$/m);
});

test('OpenMetrics: the check finds what is wrong', () => {
  const good = '# HELP a b\n# TYPE a counter\na_total 1\n# EOF\n';
  assert.deepEqual(openMetricsProblems(good), []);
  const bad = [
    good.replace('# EOF\n', ''),
    good.replace('\n# EOF', '\n\n# EOF'),
    good.replace('a_total', 'a'),
    good.replace('# TYPE a counter', '# TYPE a_total counter'),
    good.replace('a_total 1', 'a_total 1 # {trace_id=x} 1'),
    '# TYPE h histogram\nh_bucket{le="1"} 1\n# EOF\n',
    '# TYPE h histogram\nh_bucket{le="0.5"} 1 # {trace_id="x"} 0.7\n# EOF\n',
  ];
  for (const text of bad) assert.notDeepEqual(openMetricsProblems(text), [], text);
});
