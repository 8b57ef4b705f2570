/**
 * The payload of an event of the kind `aggregate`, in JSON:
 *
 *   ago       first and last time of what it stands for, in ms before its own arrival; or
 *   at        the same in ms since 1970, where the payloads carried their own times
 *   events    the events it stands for, exactly
 *   devices   device, tags and series, each an array: of numbers metric, min, sum and max, of
 *             anything else metric and the last value; then the count if it is not that of the
 *             events, and the unit
 *   payloads  of payloads that hold no readings: count, and the last one in base64
 *
 * Times of arrival are relative because the hub's clock may be corrected long after the events were
 * thinned. All is brief because it is what is left of an outage: on the wire (`aggregateJson`) it
 * has the form that people read.
 */
import type { HubEvent, Reading } from '../core/event.ts';

export interface NumberFigures {
  readonly min: number;
  readonly mean: number;
  readonly max: number;
  readonly count: number;
}

export interface LastFigure {
  readonly last: string | boolean;
  readonly count: number;
}

export type AggregatedReading = Pick<Reading, 'device' | 'metric'> &
  Partial<Pick<Reading, 'unit' | 'tags'>> &
  (NumberFigures | LastFigure);

export interface AggregateFacts {
  readonly fromMs: number;
  readonly toMs: number;
  /** Whether the times are the payloads' own. */
  readonly ownTime: boolean;
  readonly events: number;
  readonly readings: readonly AggregatedReading[];
  readonly payloads?: { readonly count: number; readonly last: string };
}

/** Numbers have their sum, which is shorter than the mean; it is null when it would overflow. */
type StoredNumber = readonly [
  metric: string,
  min: number,
  sum: number | null,
  max: number,
  count?: number | null,
  unit?: string | null,
  mean?: number,
];
type StoredLast = readonly [
  metric: string,
  last: string | boolean,
  count?: number | null,
  unit?: string | null,
];

interface StoredDevice {
  readonly device: string;
  readonly tags?: Reading['tags'];
  readonly series: readonly (StoredNumber | StoredLast)[];
}

interface Stored {
  readonly ago?: readonly [fromMs: number, toMs: number];
  readonly at?: readonly [fromMs: number, toMs: number];
  readonly events: number;
  readonly devices?: readonly StoredDevice[];
  readonly payloads?: { readonly count: number; readonly last: string };
}

/** Readings like 21.5 add up to 214.99999999999997, and the noise takes more than the rest. */
const SUM_DIGITS = 15;

/** `receivedMs`: when the event arrives that will have this payload. */
export function sealAggregate(facts: AggregateFacts, receivedMs: number): Buffer {
  const { fromMs, toMs, ownTime, events, readings, payloads } = facts;
  const stored: Stored = {
    ...(ownTime
      ? { at: [fromMs, toMs] as const }
      : { ago: [receivedMs - fromMs, receivedMs - toMs] as const }),
    events,
    ...(readings.length > 0 && { devices: storedDevices(readings, events) }),
    ...(payloads && { payloads }),
  };
  return Buffer.from(JSON.stringify(stored));
}

function storedDevices(readings: readonly AggregatedReading[], events: number): StoredDevice[] {
  const devices = new Map<string, StoredDevice & { series: (StoredNumber | StoredLast)[] }>();
  for (const reading of readings) {
    const { device, tags } = reading;
    const key = JSON.stringify([device, tags]);
    const known = devices.get(key) ?? { device, ...(tags && { tags }), series: [] };
    known.series.push(storedSeries(reading, events));
    devices.set(key, known);
  }
  return [...devices.values()];
}

function storedSeries(reading: AggregatedReading, events: number): StoredNumber | StoredLast {
  const { metric, unit = null } = reading;
  const count = reading.count === events ? null : reading.count;
  const plain = count === null && unit === null;
  if (!('mean' in reading)) {
    return plain ? [metric, reading.last] : [metric, reading.last, count, unit];
  }
  const { min, mean, max } = reading;
  const total = mean * reading.count;
  if (!Number.isFinite(total)) return [metric, min, null, max, count, unit, mean];
  const sum = Number(total.toPrecision(SUM_DIGITS));
  return plain ? [metric, min, sum, max] : [metric, min, sum, max, count, unit];
}

/** Undefined for what is no such payload. */
export function openAggregate(
  event: Pick<HubEvent, 'payload' | 'receivedMs'>,
): AggregateFacts | undefined {
  let stored: Partial<Stored> | null;
  try {
    stored = JSON.parse(event.payload.toString());
  } catch {
    return undefined;
  }
  const { at, ago, events, devices = [], payloads } = stored ?? {};
  const [fromMs, toMs] = at ?? ago?.map((ms) => event.receivedMs - ms) ?? [];
  if (fromMs === undefined || toMs === undefined || events === undefined) return undefined;
  const readings = devices.flatMap(({ device, tags, series }) =>
    series.map((one) => ({ device, ...(tags && { tags }), ...openSeries(one, events) })),
  );
  const facts = { fromMs, toMs, ownTime: at !== undefined, events, readings };
  return payloads ? { ...facts, payloads } : facts;
}

function openSeries(series: StoredNumber | StoredLast, events: number) {
  if (isLast(series)) {
    const [metric, last, count, unit] = series;
    return { metric, ...(typeof unit === 'string' && { unit }), last, count: count ?? events };
  }
  const [metric, min, sum, max, stored, unit, stated = 0] = series;
  const count = stored ?? events;
  const mean = Math.min(max, Math.max(min, sum === null ? stated : sum / count));
  return { metric, ...(typeof unit === 'string' && { unit }), min, mean, max, count };
}

function isLast(series: StoredNumber | StoredLast): series is StoredLast {
  return typeof series[1] !== 'number';
}

function isoTime(timeMs: number): string | null {
  const date = new Date(timeMs);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

/** As it goes out: `data` of `dev.holdfast.aggregate.v1`. */
export function aggregateJson(facts: AggregateFacts): string {
  const { fromMs, toMs, events, readings, payloads } = facts;
  const times = { from: isoTime(fromMs), to: isoTime(toMs) };
  return JSON.stringify({ ...times, events, readings, ...(payloads && { payloads }) });
}

/** The readings, each with what it stands for. */
export function readingsOf(facts: AggregateFacts, timeQuality: Reading['timeQuality']): Reading[] {
  const { fromMs, toMs } = facts;
  return facts.readings.map((figures): Reading => {
    const { device, metric, unit, tags = {}, count } = figures;
    const isNumber = 'mean' in figures;
    const extremes = isNumber ? { min: figures.min, max: figures.max } : {};
    return {
      device,
      metric,
      value: isNumber ? figures.mean : figures.last,
      ...(unit !== undefined && { unit }),
      timeMs: fromMs,
      timeQuality,
      tags,
      aggregate: { count, ...extremes, fromMs, toMs },
    };
  });
}
