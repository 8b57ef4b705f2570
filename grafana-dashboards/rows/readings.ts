import type { DynamicConfigValue } from '@grafana/grafana-foundation-sdk/dashboard';
import {
  Ampere,
  Celsius,
  DecibelMilliWatt,
  Hectopascals,
  Hertz,
  Humidity,
  KiloWattHour,
  Lux,
  MetersPerSecond,
  PartsPerMillion,
  Percent,
  Short,
  Volt,
  Watt,
} from '@grafana/grafana-foundation-sdk/units';
import { GRID_COLUMNS, type Sized, timeseries } from '../panels.ts';
import { READINGS } from '../variables.ts';

/**
 * The unit follows from the metric's name, whichever way its author spells it. The last match wins,
 * as in Grafana: a battery's voltage is in volt, and any temperature is one.
 */
export const UNITS_BY_NAME: readonly (readonly [pattern: string, unit: string])[] = [
  ['battery', Percent],
  ['voltage|volts?$', Volt],
  ['current|amps?$', Ampere],
  ['power|watts?$', Watt],
  ['energy|kwh', KiloWattHour],
  ['co2', PartsPerMillion],
  ['illuminance|lux|light', Lux],
  ['rssi', DecibelMilliWatt],
  ['speed|velocity', MetersPerSecond],
  ['frequency|hertz', Hertz],
  ['pressure', Hectopascals],
  ['humid|moisture', Humidity],
  ['temp|dew_?point', Celsius],
];

/** A series is named "device metric": the metric alone decides, not what a device is called. */
const seriesPattern = (pattern: string): string => `/ [^ ]*(${pattern})[^ ]*$/i`;

function override([pattern, unit]: readonly [string, string]) {
  const properties: DynamicConfigValue[] = [{ id: 'unit', value: unit }];
  if (unit === Percent || unit === Humidity)
    properties.push({ id: 'min', value: 0 }, { id: 'max', value: 100 });
  return { matcher: { id: 'byRegexp', options: seriesPattern(pattern) }, properties };
}

/** What the devices measured: one graph a metric, one line a device. */
export function readingsRow(): readonly Sized[] {
  const readings = timeseries({
    id: 21,
    title: '$metric',
    description:
      'Readings as the sensors sent them, at the time of measurement. A gap that stays means ' +
      'that the device was silent: check its power and radio. A gap that fills later was an ' +
      'outage between hub and store. No panel at all: is the influx sink up, does `decode` ' +
      'match the topics?',
    unit: Short,
    queries: [
      {
        // The interval as window: points only where there is a reading, in every PromQL store.
        expr: `last_over_time({${READINGS}}[$__interval])`,
        legend: '{{device}} {{__name__}}',
      },
    ],
  })
    .fillOpacity(0)
    .overrides(UNITS_BY_NAME.map(override))
    .withTransformation({
      id: 'renameByRegex',
      options: { regex: '(.*)telemetry_(.*)', renamePattern: '$1$2' },
    })
    .repeat('metric')
    .repeatDirection('h')
    .maxPerRow(3);
  return [{ panel: readings, columns: GRID_COLUMNS / 3, rows: 8 }];
}
