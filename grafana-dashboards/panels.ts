/** The look that all panels of a kind share. Queries get their refIds here, in order. */
import {
  BigValueColorMode,
  BigValueGraphMode,
  LegendDisplayMode,
  LegendPlacement,
  LineInterpolation,
  ReduceDataOptionsBuilder,
  SortOrder,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  FieldColorBuilder,
  FieldColorModeId,
  type Panel,
  type Threshold,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';

/** What a panel or a variable asks: the data source chosen at the top of the dashboard. */
export const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };

/** Columns of Grafana's grid. */
export const GRID_COLUMNS = 24;

/**
 * Longer gaps stay gaps. A sensor that reports every 100 s is still drawn as one line; one that is
 * slower shows as points.
 */
const SPAN_NULLS_MS = 5 * 60_000;

export interface Query {
  readonly expr: string;
  readonly legend: string;
  /** Draws the exemplars of its histogram, each a link to a trace. */
  readonly exemplars?: boolean;
}

export interface PanelText {
  /** Unique in the dashboard and never given to another panel: links point to it. */
  readonly id: number;
  readonly title: string;
  /** What it shows, and what to do when it looks wrong. */
  readonly description: string;
  /** Grafana's name of the unit. */
  readonly unit: string;
  readonly queries: readonly Query[];
}

/** A panel and the room it takes: 24 columns wide is all, 1 row high is 30 px. */
export interface Sized {
  readonly panel: { gridPos(position: GridPosition): { build(): Panel } };
  readonly columns: number;
  readonly rows: number;
}

export interface GridPosition {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

function target(query: Query, index: number): DataqueryBuilder {
  const builder = new DataqueryBuilder()
    .datasource(DATASOURCE)
    .refId(String.fromCharCode('A'.charCodeAt(0) + index))
    .expr(query.expr)
    .legendFormat(query.legend);
  return query.exemplars ? builder.exemplar(true) : builder;
}

/** Colours from the given values upwards; the first one counts from minus infinity. */
export function thresholds(
  first: string,
  ...further: readonly (readonly [from: number, color: string])[]
): ThresholdsConfigBuilder {
  const steps: Threshold[] = [
    { value: null, color: first },
    ...further.map(([value, color]) => ({ value, color })),
  ];
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps);
}

const byThreshold = (): FieldColorBuilder =>
  new FieldColorBuilder().mode(FieldColorModeId.Thresholds);

const legendBelow = (): VizLegendOptionsBuilder =>
  new VizLegendOptionsBuilder()
    .showLegend(true)
    .displayMode(LegendDisplayMode.List)
    .placement(LegendPlacement.Bottom)
    .calcs([]);

const allInTooltip = (): VizTooltipOptionsBuilder =>
  new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending);

/**
 * One large number, as it is now. Its queries are instant ones: the last value of a range would
 * go on being shown after the hub has died.
 */
export function stat(text: PanelText): StatBuilder {
  return new StatBuilder()
    .id(text.id)
    .title(text.title)
    .description(text.description)
    .datasource(DATASOURCE)
    .unit(text.unit)
    .targets(text.queries.map((query, index) => target(query, index).instant()))
    .colorMode(BigValueColorMode.Value)
    .graphMode(BigValueGraphMode.None)
    .colorScheme(byThreshold())
    .thresholds(thresholds('green'))
    .noValue('no data')
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).values(false).fields(''));
}

/** Lines over time. */
export function timeseries(text: PanelText): TimeseriesBuilder {
  return new TimeseriesBuilder()
    .id(text.id)
    .title(text.title)
    .description(text.description)
    .datasource(DATASOURCE)
    .unit(text.unit)
    .targets(text.queries.map((query, index) => target(query, index).range()))
    .legend(legendBelow())
    .tooltip(allInTooltip())
    .lineInterpolation(LineInterpolation.Linear)
    .lineWidth(1)
    .fillOpacity(8)
    .showPoints(VisibilityMode.Auto)
    .spanNulls(SPAN_NULLS_MS);
}

/** One band a series, coloured by its state. */
export function stateTimeline(text: PanelText): statetimeline.PanelBuilder {
  return new statetimeline.PanelBuilder()
    .id(text.id)
    .title(text.title)
    .description(text.description)
    .datasource(DATASOURCE)
    .unit(text.unit)
    .targets(text.queries.map((query, index) => target(query, index).range()))
    .legend(legendBelow())
    .tooltip(allInTooltip())
    .colorScheme(byThreshold())
    .mergeValues(true)
    .showValue(VisibilityMode.Auto)
    .rowHeight(0.8)
    .fillOpacity(75)
    .lineWidth(0);
}
