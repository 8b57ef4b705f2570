import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { holdfastHub } from '../../grafana-dashboards/holdfast-hub.ts';
import { RULES } from '../support/dashboard-lint.ts';
import { DASHBOARD, type DashboardModel, panelTitled } from '../support/dashboard-model.ts';

/** A fresh copy, as Grafana would read it. */
const dashboard = (): DashboardModel => DASHBOARD.parse(JSON.parse(JSON.stringify(holdfastHub())));

function replaceQuery(model: DashboardModel, title: string, from: string, to: string): void {
  const target = panelTitled(model, title).targets?.[0];
  if (!target?.expr.includes(from)) throw new Error(`the query of ${title} lacks ${from}`);
  target.expr = target.expr.replaceAll(from, to);
}

function changePanel(model: DashboardModel, title: string, change: object): void {
  Object.assign(panelTitled(model, title), change);
}

/** One violation, or more, for every rule: a rule that cannot fail proves nothing. */
const VIOLATIONS: Readonly<Record<string, readonly ((model: DashboardModel) => void)[]>> = {
  'asks only the data source that is chosen': [
    (model) => changePanel(model, 'Events in', { datasource: { type: 'prometheus', uid: 'mine' } }),
    (model) => Object.assign(model.annotations.list[0] ?? {}, { datasource: { uid: 'mine' } }),
    (model) => model.templating.list.shift(),
  ],
  'every panel has a title and says what to do': [
    (model) => changePanel(model, 'Events in', { title: '' }),
    (model) => changePanel(model, 'Events in', { description: 'Events per second.' }),
  ],
  'every panel has a unit that Grafana knows': [
    (model) => delete panelTitled(model, 'Retries').fieldConfig?.defaults.unit,
    (model) =>
      changePanel(model, 'Retries', {
        fieldConfig: { defaults: { unit: 'retries' }, overrides: [] },
      }),
  ],
  'every panel has a query, every query a legend': [
    (model) => changePanel(model, 'Retries', { targets: [] }),
    (model) => delete panelTitled(model, 'Retries').targets?.[0]?.legendFormat,
  ],
  'every graph shows its legend': [
    (model) => changePanel(model, 'Retries', { options: { legend: { showLegend: false } } }),
  ],
  'numbers are as they are now': [
    (model) => delete panelTitled(model, 'Events in').targets?.[0]?.instant,
  ],
  'rates are taken of $__rate_interval': [
    (model) => replaceQuery(model, 'Events in', '$__rate_interval', '5m'),
    (model) => replaceQuery(model, 'Events in', '$__rate_interval', '$__range'),
    (model) => replaceQuery(model, 'Events in', '[$__rate_interval]', ''),
  ],
  'counters are never shown as they are': [
    (model) => replaceQuery(model, 'Events in', 'rate(', 'abs('),
    (model) => replaceQuery(model, 'Events in', 'rate(', 'last_over_time('),
  ],
  'metrics and labels exist': [
    (model) =>
      replaceQuery(model, 'Events in', 'holdfast_ingest_events', 'holdfast_ingested_events'),
    (model) => replaceQuery(model, 'Commit latency', '_bucket', ''),
    (model) => replaceQuery(model, 'Commit latency', 'hub, le', 'hub'),
    (model) => replaceQuery(model, 'Sinks down', 'state=', 'status='),
    (model) => replaceQuery(model, 'Lag in events', 'hub, sink', 'hub, sinks'),
  ],
  'every selector asks for the chosen hubs': [
    (model) => replaceQuery(model, 'Events in', 'hub=~"$hub"', 'source="mqtt"'),
    (model) => replaceQuery(model, 'Events in', '{hub=~"$hub"}', ''),
  ],
  'parentheses match': [(model) => replaceQuery(model, 'Events in', '))', ')')],
  'ids are set and unique': [
    (model) => changePanel(model, 'Retries', { id: 11 }),
    (model) => delete panelTitled(model, 'Retries').id,
  ],
  'refIds are set and unique': [
    (model) => delete panelTitled(model, 'Retries').targets?.[0]?.refId,
    (model) => Object.assign(panelTitled(model, 'In and out').targets?.[1] ?? {}, { refId: 'A' }),
  ],
  'has a fixed uid': [(model) => delete model.uid],
  'panels do not overlap': [
    (model) => changePanel(model, 'Retries', { gridPos: { x: 1, y: 2, w: 2, h: 2 } }),
    (model) => changePanel(model, 'Retries', { gridPos: { x: 20, y: 900, w: 8, h: 2 } }),
  ],
  'variables exist and follow the time range': [
    (model) => changePanel(model, '$metric', { title: '$metrics' }),
    (model) => replaceQuery(model, 'Events in', '$hub', '$gateway'),
    (model) => Object.assign(model.templating.list[1] ?? {}, { refresh: 1 }),
  ],
  'annotations compare with bool': [
    ({ annotations: { list } }) => {
      for (const one of [list[0], list[0]?.target])
        if (one) one.expr = one.expr.replace(' > bool 0', ' > 0');
    },
    (model) => delete model.annotations.list[1]?.target,
  ],
};

describe('the rules for dashboards', () => {
  for (const [name, rule] of Object.entries(RULES)) {
    it(name, () => assert.deepEqual(rule(dashboard()), []));
    for (const [index, violate] of (VIOLATIONS[name] ?? []).entries())
      it(`${name}: notices violation ${index + 1}`, () => {
        const model = dashboard();
        violate(model);
        assert.notDeepEqual(rule(model), []);
      });
  }

  it('each have a violation that shows them fail', () =>
    assert.deepEqual(Object.keys(VIOLATIONS).toSorted(), Object.keys(RULES).toSorted()));
});
