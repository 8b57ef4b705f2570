/** Asks a store what Grafana would ask it to draw a dashboard. */
import {
  type DashboardModel,
  drawnPanels,
  type PanelModel,
  type VariableModel,
  variableQuery,
} from './dashboard-model.ts';
import type { Series, VictoriaMetrics } from './victoria-metrics.ts';

/** The time range shown, and the interval the data source is told (`timeInterval`). */
export interface View {
  readonly fromMs: number;
  readonly toMs: number;
  readonly scrapeMs: number;
}

/** What is chosen for a variable: `All`, or some of its values. */
export type Choice = 'All' | readonly string[];

interface Variable {
  /** What the drop-down offers. */
  readonly options: readonly string[];
  /** Of the options, those that are chosen. */
  readonly chosen: readonly string[];
  /** What stands for `$name` in a query. */
  readonly text: string;
}

export type Variables = ReadonlyMap<string, Variable>;

/** What one query of a panel or of an annotation gave. */
export interface Answer {
  readonly where: string;
  readonly expr: string;
  readonly series: readonly Series[];
}

const seconds = (ms: number): string => `${Math.max(1, Math.round(ms / 1000))}s`;

/** As Grafana's Prometheus data source does it when the step is one scrape. */
function builtIns({ fromMs, toMs, scrapeMs }: View): [string, string][] {
  return [
    ['__rate_interval', seconds(4 * scrapeMs)],
    ['__interval', seconds(scrapeMs)],
    ['__range', seconds(toMs - fromMs)],
  ];
}

function interpolate(text: string, variables: Variables, view: View): string {
  const values = new Map([
    ...[...variables].map(([name, { text }]): [string, string] => [name, text]),
    ...builtIns(view),
  ]);
  return text.replaceAll(/\$(\w+)/g, (whole, name: string) => {
    const value = values.get(name);
    if (value === undefined) throw new Error(`${whole} in ${text} has no value`);
    return value;
  });
}

/** Regular expression characters, once for the expression and once for PromQL's quotes. */
const escaped = (value: string): string => value.replaceAll(/[$^*+?.()|[\]{}]/g, '\\\\$&');

function asText(values: readonly string[]): string {
  return values.length === 1 ? escaped(values[0] ?? '') : `(${values.map(escaped).join('|')})`;
}

function choose(variable: VariableModel, options: readonly string[], choice: Choice): Variable {
  if (choice === 'All')
    return { options, chosen: options, text: variable.allValue ?? asText(options) };
  return { options, chosen: choice, text: asText(choice) };
}

const LABEL_VALUES = /^label_values\((.+), (\w+)\)$/;

/** Looks the variables up in their order, as Grafana does when a dashboard opens. */
export async function lookUp(
  store: VictoriaMetrics,
  dashboard: DashboardModel,
  choices: Readonly<Record<string, Choice>>,
  view: View,
): Promise<Variables> {
  const variables = new Map<string, Variable>();
  for (const variable of dashboard.templating.list) {
    if (variable.type !== 'query') continue;
    const [, selector = '', label = ''] = LABEL_VALUES.exec(variableQuery(variable)) ?? [];
    const found = await store.labelValues(label, interpolate(selector, variables, view));
    const pattern = variable.regex ? new RegExp(variable.regex.slice(1, -1)) : /^(.*)$/;
    const options = found.flatMap((value) => pattern.exec(value)?.slice(1, 2) ?? []);
    variables.set(variable.name, choose(variable, options, choices[variable.name] ?? 'All'));
  }
  return variables;
}

function ask(store: VictoriaMetrics, expr: string, instant: boolean, view: View) {
  if (instant) return store.query(expr, view.toMs);
  return store.queryRange(expr, { fromMs: view.fromMs, toMs: view.toMs, stepMs: view.scrapeMs });
}

/** A repeated panel is drawn once for each value chosen; any other once. */
function repetitions({ repeat }: PanelModel, variables: Variables): Variables[] {
  if (!repeat) return [variables];
  const repeated = variables.get(repeat);
  if (!repeated) throw new Error(`$${repeat} is not a variable`);
  return repeated.chosen.map((value) =>
    new Map(variables).set(repeat, { ...repeated, chosen: [value], text: asText([value]) }),
  );
}

/** The answers to every query of every panel. */
export async function askPanels(
  store: VictoriaMetrics,
  dashboard: DashboardModel,
  variables: Variables,
  view: View,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const panel of drawnPanels(dashboard))
    for (const values of repetitions(panel, variables))
      for (const { refId, expr: template, instant } of panel.targets ?? []) {
        const expr = interpolate(template, values, view);
        const where = `${interpolate(panel.title ?? '', values, view)} ${refId}`;
        answers.push({ where, expr, series: await ask(store, expr, instant === true, view) });
      }
  return answers;
}

/** The answers to the annotations' queries. */
export async function askAnnotations(
  store: VictoriaMetrics,
  dashboard: DashboardModel,
  variables: Variables,
  view: View,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const { name, expr: template } of dashboard.annotations.list) {
    const expr = interpolate(template, variables, view);
    answers.push({ where: name, expr, series: await ask(store, expr, false, view) });
  }
  return answers;
}

/** Whether it would draw anything: a series with a number that is one. */
export const drawsSomething = ({ series }: Answer): boolean =>
  series.some(({ points }) => points.some(({ value }) => Number.isFinite(value)));
