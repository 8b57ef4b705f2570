import { AnnotationQueryBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import { DATASOURCE } from './panels.ts';
import { gaugeSum, restarted } from './promql.ts';
import { SINK_DOWN_STATES } from './states.ts';

/**
 * Grafana marks the times at which a series is above 0 and joins neighbours to a region. So the
 * comparison needs `bool`: `== 0` alone would yield zeros, and never a mark.
 */
function annotation(name: string, color: string, expr: string, title: string, text: string) {
  return new AnnotationQueryBuilder()
    .name(name)
    .enable(true)
    .hide(false)
    .iconColor(color)
    .datasource(DATASOURCE)
    .expr(expr)
    .target(new DataqueryBuilder().datasource(DATASOURCE).refId('Anno').expr(expr).range())
    .step('15s')
    .useValueForTime(false)
    .titleFormat(title)
    .textFormat(text)
    .tagKeys('hub');
}

export const ANNOTATIONS = [
  annotation(
    'Sink outages',
    'orange',
    `${gaugeSum('holdfast_sink_link', ['sink'], { state: SINK_DOWN_STATES })} > bool 0`,
    '{{sink}} is not delivering',
    'Events wait in the log; they are sent when the far side answers again.',
  ),
  annotation(
    'Hub restarts',
    'purple',
    restarted('holdfast_log_commits_total'),
    '{{hub}} was restarted',
    'Look in the journal for the reason if nobody restarted it.',
  ),
];
