/** Rules that Grafana does not enforce and that cost a reader an hour each. */
import * as units from '@grafana/grafana-foundation-sdk/units';
import { METRICS, type MetricDefinition } from '../../hub/observe/metrics-table.ts';
import {
  type DashboardModel,
  drawnPanels,
  type PanelModel,
  variableQuery,
} from './dashboard-model.ts';

const COLUMNS = 24;
const REFRESH_ON_TIME_RANGE = 2;
/** Shorter than this does not say both what is shown and what to do. */
const DESCRIPTION_CHARS_MIN = 60;
/** Added by the scrape configuration or by Prometheus' exposition. */
const FREE_LABELS = ['hub', 'job', 'instance'];

interface Expression {
  readonly where: string;
  readonly expr: string;
}

function expressions(dashboard: DashboardModel): Expression[] {
  const panels = drawnPanels(dashboard).flatMap((panel) =>
    (panel.targets ?? []).map(({ expr }) => ({ where: `panel "${panel.title}"`, expr })),
  );
  const annotations = dashboard.annotations.list.flatMap(({ name, expr, target }) => [
    { where: `annotation "${name}"`, expr },
    { where: `annotation "${name}" (target)`, expr: target?.expr ?? '' },
  ]);
  return [...panels, ...annotations];
}

interface Use {
  readonly metric: MetricDefinition | undefined;
  readonly name: string;
  readonly labels: readonly string[];
  readonly matchers: string;
}

const METRIC_NAME = /\bholdfast_[a-z0-9_]*/g;

/** Every use of a metric of the hub, with the labels its matchers name. */
function uses(expr: string): Use[] {
  return [...expr.matchAll(METRIC_NAME)].map((match) => {
    const name = match[0];
    const matchers = /^\{([^}]*)\}/.exec(expr.slice(match.index + name.length))?.[1] ?? '';
    const labels = [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*"/g)].map(
      (m) => m[1] ?? '',
    );
    return { name, metric: metricOf(name), labels, matchers };
  });
}

/** A histogram is exposed as three series; the name without a suffix is none of them. */
function metricOf(series: string): MetricDefinition | undefined {
  const table: readonly MetricDefinition[] = METRICS;
  return table.find(({ name, type }) =>
    type === 'histogram'
      ? [`${name}_bucket`, `${name}_sum`, `${name}_count`].includes(series)
      : name === series,
  );
}

const labelsOf = ({ name, metric }: Use): readonly string[] => [
  ...FREE_LABELS,
  ...(metric?.labels ?? []),
  ...(name.endsWith('_bucket') ? ['le'] : []),
];

function groupings(expr: string): string[] {
  return [...expr.matchAll(/\b(?:by|without)\s*\(([^)]*)\)/g)].flatMap((match) =>
    (match[1] ?? '').split(',').map((label) => label.trim()),
  );
}

const eachExpression =
  (check: (expr: string) => readonly string[]) =>
  (dashboard: DashboardModel): string[] =>
    expressions(dashboard).flatMap(({ where, expr }) =>
      check(expr).map((problem) => `${where}: ${problem}`),
    );

const eachPanel =
  (check: (panel: PanelModel) => readonly string[]) =>
  (dashboard: DashboardModel): string[] =>
    drawnPanels(dashboard).flatMap((panel) =>
      check(panel).map((problem) => `panel "${panel.title}": ${problem}`),
    );

function repeated(values: readonly (string | number | undefined)[]): string[] {
  return values
    .filter((value, index) => value === undefined || values.indexOf(value) !== index)
    .map((value) => (value === undefined ? 'missing' : `used twice: ${value}`));
}

function datasourceProblems(dashboard: DashboardModel): string[] {
  const queried = [
    ...drawnPanels(dashboard).flatMap((panel) => [panel, ...(panel.targets ?? [])]),
    ...dashboard.annotations.list.flatMap((one) => [one, ...(one.target ? [one.target] : [])]),
    ...dashboard.templating.list.filter(({ type }) => type === 'query'),
  ];
  const wrong = queried.filter(({ datasource }) => datasource?.uid !== '${datasource}');
  const variable = dashboard.templating.list.find(({ name }) => name === 'datasource');
  return [
    ...wrong.map((one) => `a fixed data source: ${JSON.stringify(one).slice(0, 100)}`),
    ...(variable?.type === 'datasource' && variable.query === 'prometheus'
      ? []
      : ['no variable for the data source']),
  ];
}

function placeProblems({ panels }: DashboardModel): string[] {
  return panels.flatMap(({ title, gridPos: a }, index) => {
    const inside = a.x >= 0 && a.y >= 0 && a.w > 0 && a.h > 0 && a.x + a.w <= COLUMNS;
    const over = panels
      .slice(index + 1)
      .filter(
        ({ gridPos: b }) =>
          a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h,
      );
    return [
      ...(inside ? [] : [`"${title}" is outside of the grid`]),
      ...over.map((other) => `"${title}" overlaps "${other.title}"`),
    ];
  });
}

function rateProblems(expr: string): string[] {
  const windows = [...expr.matchAll(/\b(rate|irate|increase)\(([^[\]()]*)\[([^\]]*)\]/g)];
  const calls = [...expr.matchAll(/\b(?:rate|irate|increase)\(/g)];
  return [
    ...windows
      .filter(([, fn, , window]) =>
        fn === 'increase'
          ? window !== '$__rate_interval' && window !== '$__range'
          : window !== '$__rate_interval',
      )
      .map(([, fn, , window]) => `${fn} over [${window}]`),
    ...(windows.length === calls.length ? [] : ['a rate without a window']),
  ];
}

/** Comparing a counter with its past is how a restart is found. */
const COMPARED_WITH_PAST = /last_over_time\([^()]*\) < bool last_over_time\([^()]*\)/g;

function counterProblems(expr: string): string[] {
  const shown = expr.replaceAll(COMPARED_WITH_PAST, '');
  return uses(shown)
    .filter(({ metric, name }) => metric?.type === 'counter' || name.endsWith('_total'))
    .filter(({ name }) => new RegExp(`(?<!(?:rate|irate|increase)\\()\\b${name}\\b`).test(shown))
    .map(({ name }) => `${name} outside of rate or increase`);
}

function metricProblems(expr: string): string[] {
  const used = uses(expr);
  const grouped = groupings(expr);
  const known = used.flatMap(labelsOf);
  return [
    ...used
      .filter(({ metric }) => !metric)
      .map(({ name }) => `${name} is not in the metrics table`),
    ...used.flatMap((use) =>
      use.labels
        .filter((label) => !labelsOf(use).includes(label))
        .map((label) => `${use.name} has no label ${label}`),
    ),
    ...grouped
      .filter((label) => used.length > 0 && !known.includes(label))
      .map((label) => `no metric in it has the label ${label}`),
    ...(expr.includes('histogram_quantile') && !grouped.includes('le')
      ? ['histogram_quantile without le']
      : []),
  ];
}

function hubProblems(expr: string): string[] {
  const selectors = [...expr.matchAll(/\{([^}]*)\}/g)].map((match) => match[1] ?? '');
  return [
    ...selectors.filter((text) => !text.includes('hub=~"$hub"')).map((text) => `{${text}}`),
    ...uses(expr)
      .filter(({ matchers }) => matchers === '')
      .map(({ name }) => `${name} without matchers`),
  ];
}

function variableProblems(dashboard: DashboardModel): string[] {
  const defined = dashboard.templating.list.map(({ name }) => name);
  const texts = [
    ...expressions(dashboard).map(({ expr }) => expr),
    ...drawnPanels(dashboard).flatMap(({ title, repeat }) => [
      title ?? '',
      repeat ? `$${repeat}` : '',
    ]),
    ...dashboard.templating.list.map(variableQuery),
  ];
  const named = texts.flatMap((text) => [...text.matchAll(/\$\{?(\w+)/g)].map((m) => m[1] ?? ''));
  return [
    ...named
      .filter((name) => !name.startsWith('__') && !defined.includes(name))
      .map((name) => `$${name} is not a variable`),
    ...dashboard.templating.list
      .filter(({ type, refresh }) => type === 'query' && refresh !== REFRESH_ON_TIME_RANGE)
      .map(({ name }) => `$${name} is not looked up again when the time range changes`),
  ];
}

const KNOWN_UNITS: ReadonlySet<unknown> = new Set(Object.values(units));

function unitProblems(panel: PanelModel): string[] {
  const overrides = (panel.fieldConfig?.overrides ?? []).flatMap(({ properties }) =>
    properties.filter(({ id }) => id === 'unit').map(({ value }) => value),
  );
  return [panel.fieldConfig?.defaults.unit, ...overrides]
    .filter((unit) => !KNOWN_UNITS.has(unit))
    .map((unit) => `unit ${unit}`);
}

/** Each rule answers with its problems in words; none when all is well. */
export const RULES: Readonly<Record<string, (dashboard: DashboardModel) => readonly string[]>> = {
  'asks only the data source that is chosen': datasourceProblems,
  'every panel has a title and says what to do': eachPanel(({ title, description }) => [
    ...(title ? [] : ['no title']),
    ...((description ?? '').length >= DESCRIPTION_CHARS_MIN ? [] : ['no real description']),
  ]),
  'every panel has a unit that Grafana knows': eachPanel(unitProblems),
  'every panel has a query, every query a legend': eachPanel(({ targets = [] }) => [
    ...(targets.length > 0 ? [] : ['no query']),
    ...targets.filter(({ legendFormat }) => !legendFormat).map(({ expr }) => `no legend: ${expr}`),
  ]),
  'every graph shows its legend': eachPanel(({ type, options }) =>
    type === 'stat' || options?.legend?.showLegend === true ? [] : ['hidden legend'],
  ),
  'numbers are as they are now': eachPanel(({ type, targets = [] }) =>
    type === 'stat' && targets.some(({ instant }) => instant !== true) ? ['a range query'] : [],
  ),
  'rates are taken of $__rate_interval': eachExpression(rateProblems),
  'counters are never shown as they are': eachExpression(counterProblems),
  'metrics and labels exist': eachExpression(metricProblems),
  'every selector asks for the chosen hubs': eachExpression(hubProblems),
  'parentheses match': eachExpression((expr) =>
    expr.split('(').length === expr.split(')').length && expr.trim() !== '' ? [] : [expr],
  ),
  'ids are set and unique': ({ panels }) => repeated(panels.map(({ id }) => id)),
  'refIds are set and unique': eachPanel(({ targets = [] }) =>
    repeated(targets.map(({ refId }) => refId)),
  ),
  'has a fixed uid': ({ uid }) => (uid && /^[a-z0-9-]{1,40}$/.test(uid) ? [] : [`uid ${uid}`]),
  'panels do not overlap': placeProblems,
  'variables exist and follow the time range': variableProblems,
  'annotations compare with bool': ({ annotations }) =>
    annotations.list
      .filter(({ expr, target }) => expr !== target?.expr || !/[<>=]=? bool /.test(expr))
      .map(({ name }) => name),
};
