import {
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  type VariableOption,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DATASOURCE } from './panels.ts';

/** Of the datasource in provisioning/datasources/victoria-metrics.yaml. */
export const DATASOURCE_UID = 'holdfast-victoria-metrics';
export const DATASOURCE_NAME = 'VictoriaMetrics';

/** What the influx sink makes of a reading: its measurement, `_`, the metric. */
export const READINGS = '__name__=~"telemetry_$metric",hub=~"$hub",device=~"$device"';

const ALL: VariableOption = { text: ['All'], value: ['$__all'], selected: true };

/** Values of `label` of the series that match, looked up again when the time range changes. */
function labelValues(name: string, label: string, series: string, description: string) {
  const query = `label_values({${series}}, ${label})`;
  return new QueryVariableBuilder(name)
    .label(`${name.charAt(0).toUpperCase()}${name.slice(1)}`)
    .description(description)
    .datasource(DATASOURCE)
    .query({ qryType: 1, query, refId: 'PrometheusVariableQueryEditor-VariableQuery' })
    .definition(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .current(ALL);
}

const datasource = new DatasourceVariableBuilder('datasource')
  .label('Data source')
  .description('The store that the influx sink writes to and that scrapes the hub.')
  .type('prometheus')
  .current({ text: DATASOURCE_NAME, value: DATASOURCE_UID, selected: true });

/** `.*` also matches a hub whose scrape configuration adds no label `hub`. */
const hub = labelValues(
  'hub',
  'hub',
  '__name__=~"telemetry_.+|holdfast_build_info"',
  'hub.id of the configuration.',
).allValue('.*');

const device = labelValues(
  'device',
  'device',
  '__name__=~"telemetry_.+",hub=~"$hub"',
  'Device, as the topic or the payload names it.',
).allValue('.*');

/** Without a value of its own for All: the readings panel repeats over the metrics themselves. */
const metric = labelValues(
  'metric',
  '__name__',
  '__name__=~"telemetry_.+",hub=~"$hub",device=~"$device"',
  'Metric of the readings; one graph each.',
).regex('/^telemetry_(.+)$/');

/** In the order in which each depends on those before it. */
export const VARIABLES = [datasource, hub, device, metric];
