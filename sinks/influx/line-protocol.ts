/**
 * Line protocol, in the subset that InfluxDB 1, InfluxDB 2 and VictoriaMetrics read alike:
 * `measurement,tag=value field=value <time in ms>`.
 */
import type { Reading, ReadingAggregate } from '../../hub/core/event.ts';
import { remembering } from '../../hub/core/remembered.ts';

export interface LineOptions {
  readonly hubId: string;
  /** The measurement; `{metric}` in it stands for the metric, and the field is then `value`. */
  readonly measurement: string;
  readonly strings: boolean;
}

/** Names come again with every reading; 4,096 of at most 256 characters are 2 MiB at most. */
const REMEMBERED_MAX = 4_096;
const REMEMBERED_CHARS_MAX = 256;
const METRIC = '{metric}';

/**
 * What no escaping makes safe: line breaks and control characters end or garble a line, and a
 * backslash is one character to InfluxDB and the beginning of an escape to VictoriaMetrics.
 */
const UNSAFE = /[\p{Cc}\p{Surrogate}\\]/gu;

/** A tag key, a tag value or a field key. */
export function escapeName(text: string): string {
  return text.replaceAll(UNSAFE, '_').replaceAll(/[,= ]/g, '\\$&');
}

/** A measurement. It cannot be empty, and a line that begins with `#` would be a comment. */
export function escapeMeasurement(text: string): string {
  return text
    .replaceAll(UNSAFE, '_')
    .replace(/^(#|$)/, '_')
    .replaceAll(/[, ]/g, '\\$&');
}

/** Line breaks are allowed in InfluxDB's strings and break VictoriaMetrics' lines. */
function quoteString(text: string): string {
  return `"${text.replaceAll(/[\p{Cc}\p{Surrogate}]/gu, ' ').replaceAll(/["\\]/g, '\\$&')}"`;
}

/** Undefined for what a time series cannot hold. */
function fieldValue(value: Reading['value'], strings: boolean): string | undefined {
  // Never `5i`: the next reading may be 5.5, and the type of a field is fixed by its first value.
  if (typeof value === 'number') return Number.isFinite(value) ? String(value + 0) : undefined;
  if (typeof value === 'boolean') return value ? 't' : 'f';
  return strings ? quoteString(value) : undefined;
}

/** An aggregate has fields of its own beside the one that everybody asks for. */
function fieldsOf(
  key: string,
  value: string,
  aggregate: ReadingAggregate | undefined,
): readonly (readonly [key: string, value: string])[] {
  if (!aggregate) return [[key, value]];
  const { min, max, count } = aggregate;
  const extremes = min === undefined || max === undefined ? {} : { min, max };
  const others = Object.entries({ ...extremes, count });
  return [[key, value], ...others.map(([name, of]) => [`${key}_${name}`, String(of + 0)] as const)];
}

/** A line before its time is written: readings of one series and time share it. */
interface Line {
  readonly series: string;
  readonly timeMs: number;
  readonly keys: Set<string>;
  fields: string;
}

/** Makes the function that turns the readings of one event into lines, each with its line break. */
export function lineEncoder(options: LineOptions): (readings: readonly Reading[]) => string {
  const { measurement, strings } = options;
  const perMetric = measurement.includes(METRIC);
  const name = remembering(REMEMBERED_MAX, REMEMBERED_CHARS_MAX, escapeName);
  const measurementOf = remembering(REMEMBERED_MAX, REMEMBERED_CHARS_MAX, (metric) =>
    escapeMeasurement(measurement.replaceAll(METRIC, () => metric)),
  );
  const hubTag = `hub=${escapeName(options.hubId)}`;
  const wholeMeasurement = escapeMeasurement(measurement);

  function series(reading: Reading): string {
    let text = perMetric ? measurementOf(reading.metric) : wholeMeasurement;
    if (reading.device !== '') text += `,device=${name(reading.device)}`;
    for (const key in reading.tags) {
      const value = reading.tags[key];
      // An empty tag is a syntax error, and these three names are taken.
      if (!value || key === '' || key === 'device' || key === 'hub' || key === 'time') continue;
      text += `,${name(key)}=${name(value)}`;
    }
    return options.hubId === '' ? text : `${text},${hubTag}`;
  }

  function fieldKey(metric: string): string {
    if (perMetric || metric === '') return 'value';
    return metric === 'time' ? 'time_' : name(metric); // InfluxDB 1 refuses a field called time
  }

  return (readings) => {
    let text = '';
    let line: Line | undefined;
    const end = (): string => (line ? `${line.series} ${line.fields} ${line.timeMs}\n` : '');
    for (const reading of readings) {
      const value = fieldValue(reading.value, strings);
      if (value === undefined) continue;
      const fields = fieldsOf(fieldKey(reading.metric), value, reading.aggregate);
      const ofSeries = series(reading);
      const timeMs = Math.floor(reading.timeMs);
      const { keys } = line ?? {};
      const taken = fields.some(([key]) => keys?.has(key));
      if (line?.series !== ofSeries || line.timeMs !== timeMs || taken) {
        text += end();
        line = { series: ofSeries, timeMs, keys: new Set(), fields: '' };
      }
      for (const [key, figure] of fields) {
        line.fields += `${line.fields && ','}${key}=${figure}`;
        line.keys.add(key);
      }
    }
    return text + end();
  };
}
