import { z } from 'zod';

const datasource = z.looseObject({ type: z.string().optional(), uid: z.string().optional() });

const target = z.looseObject({
  refId: z.string().optional(),
  expr: z.string(),
  legendFormat: z.string().optional(),
  instant: z.boolean().optional(),
  datasource: datasource.optional(),
});

const panel = z.looseObject({
  id: z.number().optional(),
  type: z.string(),
  title: z.string().optional(),
  description: z.string().optional(),
  repeat: z.string().optional(),
  datasource: datasource.optional(),
  gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
  targets: z.array(target).optional(),
  options: z
    .looseObject({ legend: z.looseObject({ showLegend: z.boolean() }).optional() })
    .optional(),
  fieldConfig: z
    .looseObject({
      defaults: z.looseObject({ unit: z.string().optional() }),
      overrides: z.array(
        z.looseObject({
          matcher: z.looseObject({ id: z.string(), options: z.unknown() }),
          properties: z.array(z.looseObject({ id: z.string(), value: z.unknown() })),
        }),
      ),
    })
    .optional(),
});

const variable = z.looseObject({
  name: z.string(),
  type: z.string(),
  query: z.union([z.string(), z.looseObject({ query: z.string() })]),
  refresh: z.number().optional(),
  regex: z.string().optional(),
  allValue: z.string().optional(),
  datasource: datasource.optional(),
});

const annotation = z.looseObject({
  name: z.string(),
  expr: z.string(),
  datasource: datasource.optional(),
  target: target.optional(),
});

/** What the tests look at in a dashboard of Grafana's classic JSON model; the rest is kept. */
export const DASHBOARD = z.looseObject({
  uid: z.string().optional(),
  title: z.string(),
  tags: z.array(z.string()),
  schemaVersion: z.number(),
  templating: z.object({ list: z.array(variable) }),
  annotations: z.object({ list: z.array(annotation) }),
  panels: z.array(panel),
});

export type DashboardModel = z.output<typeof DASHBOARD>;
export type PanelModel = DashboardModel['panels'][number];
export type VariableModel = DashboardModel['templating']['list'][number];

/** The panels that draw something: rows are only headings. */
export const drawnPanels = (dashboard: DashboardModel): PanelModel[] =>
  dashboard.panels.filter((candidate) => candidate.type !== 'row');

/** The query text of a variable, whichever of Grafana's two forms it has. */
export const variableQuery = ({ query }: VariableModel): string =>
  typeof query === 'string' ? query : query.query;

/** A panel by its title, for tests that need a certain one. */
export function panelTitled(dashboard: DashboardModel, title: string): PanelModel {
  const found = dashboard.panels.find((candidate) => candidate.title === title);
  if (!found) throw new Error(`no panel is titled ${title}`);
  return found;
}
