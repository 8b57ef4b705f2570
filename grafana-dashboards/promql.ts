/**
 * PromQL over the hub's own metrics. Names, labels and types come from the metrics table, so a
 * mistyped one, or a rate of a gauge, does not compile.
 */
import type { METRICS } from '../hub/observe/metrics-table.ts';

type Metric = (typeof METRICS)[number];
type Named<Type extends Metric['type']> = Extract<Metric, { type: Type }>['name'];
export type GaugeName = Named<'gauge'>;
export type CounterName = Named<'counter'>;
export type HistogramName = Named<'histogram'>;
type Label<Name extends Metric['name']> = Extract<Metric, { name: Name }>['labels'][number];
/** A label and what it must be: one text, or one of several. */
type Matchers<Name extends Metric['name']> = Readonly<
  Partial<Record<Label<Name>, string | readonly string[]>>
>;

function selector(name: string, matchers: Readonly<Record<string, unknown>> = {}): string {
  // The scrape configuration adds `hub`, so that one store can hold several hubs.
  const all = ['hub=~"$hub"'];
  for (const [label, value] of Object.entries(matchers))
    all.push(Array.isArray(value) ? `${label}=~"${value.join('|')}"` : `${label}="${value}"`);
  return `${name}{${all.join(',')}}`;
}

const grouping = (by: readonly string[]): string => `by (${['hub', ...by].join(', ')})`;

/** The value of a gauge, per hub and the labels `by`. */
export function gauge<Name extends GaugeName>(
  name: Name,
  by: readonly Label<Name>[] = [],
  matchers?: Matchers<Name>,
): string {
  return `max ${grouping(by)} (${selector(name, matchers)})`;
}

/** The sum of a gauge over the labels that are not in `by`. */
export function gaugeSum<Name extends GaugeName>(
  name: Name,
  by: readonly Label<Name>[],
  matchers?: Matchers<Name>,
): string {
  return `sum ${grouping(by)} (${selector(name, matchers)})`;
}

/** A counter's growth per second, per hub and the labels `by`. */
export function rate<Name extends CounterName>(
  name: Name,
  by: readonly Label<Name>[] = [],
): string {
  return `sum ${grouping(by)} (rate(${selector(name)}[$__rate_interval]))`;
}

/**
 * A counter's growth over the window that rates are taken of (the step of the graph, at least four
 * scrapes), or with `$__range` over the whole time shown.
 */
export function increase<Name extends CounterName>(
  name: Name,
  by: readonly Label<Name>[] = [],
  window: '$__rate_interval' | '$__range' = '$__rate_interval',
): string {
  return `sum ${grouping(by)} (increase(${selector(name)}[${window}]))`;
}

/** A reboot, or a night without power, lies between two samples; `resets` would miss it. */
const LONGEST_BREAK = '1d';

/**
 * 1 for a while after a counter fell, however long it was away: its process was restarted. One that
 * counts further than the one before it within one scrape is missed.
 */
export function restarted(name: CounterName): string {
  const series = selector(name);
  const now = `last_over_time(${series}[$__rate_interval])`;
  const before = `last_over_time(${series}[${LONGEST_BREAK}] offset $__rate_interval)`;
  return `max ${grouping([])} (${now} < bool ${before})`;
}

/** The time, in the histogram's unit, that `share` (0 to 1) of the observations stayed under. */
export function quantile<Name extends HistogramName>(
  share: number,
  name: Name,
  by: readonly Label<Name>[] = [],
): string {
  const buckets = `rate(${selector(`${name}_bucket`)}[$__rate_interval])`;
  return `histogram_quantile(${share}, sum ${grouping([...by, 'le'])} (${buckets}))`;
}

/**
 * `expr`, and 0 for the hubs and labels `by` that have no such series but do have the gauge
 * `present`. A labelled counter is absent until it first counts; without this "nothing happened"
 * would look like "nobody is watching".
 */
export function orZero<Name extends GaugeName>(
  expr: string,
  present: Name,
  by: readonly Label<Name>[] = [],
): string {
  return `${expr} or 0 * ${gauge(present, by)}`;
}
