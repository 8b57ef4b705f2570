import type { LatestValue } from '../../hub/core/status.ts';
import { decimalsOf } from './format.ts';

/** A latest value and what the page has learned of it since it was opened. */
export interface Metric {
  readonly key: string;
  readonly latest: LatestValue;
  /** Usual time between two readings in ms; undefined until two were seen. */
  readonly intervalMs: number | undefined;
  /** Most digits after the point seen, so that the number does not change its width. */
  readonly decimals: number;
}

export interface Device {
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly alarm: boolean;
  readonly metrics: readonly Metric[];
}

/** How old a value is for what it is. */
export type Freshness = 'fresh' | 'late' | 'silent';

/** NUL cannot occur in an MQTT topic, so no device and metric can be confused. */
export function keyOf(value: { readonly device: string; readonly metric: string }): string {
  return `${value.device}\u0000${value.metric}`;
}

/** Weight of the newest interval: about five readings until a new pace is believed. */
const INTERVAL_WEIGHT = 0.2;

/** The metric after `latest` arrived; `previous` itself when `latest` is not newer. */
export function nextMetric(previous: Metric | undefined, latest: LatestValue): Metric {
  const decimals = typeof latest.value === 'number' ? decimalsOf(latest.value) : 0;
  if (!previous) return { key: keyOf(latest), latest, intervalMs: undefined, decimals };
  if (latest.receivedMs < previous.latest.receivedMs) return previous;
  const stepMs = latest.timeMs - previous.latest.timeMs;
  const { intervalMs } = previous;
  const learned =
    stepMs <= 0
      ? intervalMs
      : intervalMs === undefined
        ? stepMs
        : intervalMs + INTERVAL_WEIGHT * (stepMs - intervalMs);
  return {
    key: previous.key,
    latest,
    intervalMs: learned,
    decimals: Math.max(decimals, previous.decimals),
  };
}

const QUIET_WORDS = new Set(['', '0', 'false', 'off', 'ok', 'none', 'normal', 'clear']);

/** Whether this is a metric `alarm` that is raised. */
export function isAlarm({ metric, value }: LatestValue): boolean {
  if (metric.toLowerCase() !== 'alarm') return false;
  return typeof value === 'string' ? !QUIET_WORDS.has(value.toLowerCase()) : Boolean(value);
}

/** Without a known pace five minutes is late: most sensors report every minute. */
const INTERVAL_MS_DEFAULT = 100_000;
/** Below that nobody needs to be told, whatever the pace. */
const LATE_MS_MIN = 15_000;
const SILENT_MS_MIN = 120_000;

/** Late after three missed readings, silent after ten. */
export function freshnessOf(ageMs: number, intervalMs = INTERVAL_MS_DEFAULT): Freshness {
  if (ageMs > Math.max(SILENT_MS_MIN, 10 * intervalMs)) return 'silent';
  return ageMs > Math.max(LATE_MS_MIN, 3 * intervalMs) ? 'late' : 'fresh';
}

const byName = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });

/** Devices by name, those with a raised alarm first; their metrics by name, `alarm` first. */
export function groupDevices(metrics: Iterable<Metric>): Device[] {
  const grouped = new Map<string, Metric[]>();
  for (const metric of metrics) {
    const list = grouped.get(metric.latest.device);
    if (list) list.push(metric);
    else grouped.set(metric.latest.device, [metric]);
  }
  const devices = [...grouped].map(([name, list]): Device => {
    const sorted = list.toSorted(
      (a, b) =>
        Number(isAlarm(b.latest)) - Number(isAlarm(a.latest)) ||
        byName.compare(a.latest.metric, b.latest.metric),
    );
    return {
      name,
      tags: Object.assign({}, ...sorted.map(({ latest }) => latest.tags)),
      alarm: sorted.some(({ latest }) => isAlarm(latest)),
      metrics: sorted,
    };
  });
  return devices.sort(
    (a, b) => Number(b.alarm) - Number(a.alarm) || byName.compare(a.name, b.name),
  );
}

/** Devices whose name or tags hold every word of `text`, or else those of their metrics that do. */
export function filterDevices(devices: readonly Device[], text: string): readonly Device[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return devices;
  return devices.flatMap((device) => {
    const about = [device.name, ...Object.values(device.tags)].join(' ').toLowerCase();
    const missing = words.filter((word) => !about.includes(word));
    if (missing.length === 0) return [device];
    const metrics = device.metrics.filter(({ latest }) =>
      missing.every((word) => latest.metric.toLowerCase().includes(word)),
    );
    return metrics.length === 0 ? [] : [{ ...device, metrics }];
  });
}

interface Column {
  rows: number;
  readonly devices: Device[];
}

/** Puts each device into the column that is shortest so far: cards of any height leave no holes. */
export function packColumns(devices: readonly Device[], count: number): Device[][] {
  const columns = Array.from({ length: count }, (): Column => ({ rows: 0, devices: [] }));
  for (const device of devices) {
    const shortest = columns.reduce((a, b) => (b.rows < a.rows ? b : a));
    shortest.devices.push(device);
    shortest.rows += device.metrics.length + 1; // its head is about as high as a row
  }
  return columns.map((column) => column.devices);
}

/**
 * The first devices with at most `metricsMax` metrics in all, and how many metrics are left out.
 */
export function firstMetrics(
  devices: readonly Device[],
  metricsMax: number,
): { readonly shown: readonly Device[]; readonly hidden: number } {
  const shown: Device[] = [];
  let room = metricsMax;
  let hidden = 0;
  for (const device of devices) {
    const metrics = device.metrics.slice(0, Math.max(0, room));
    if (metrics.length > 0)
      shown.push(metrics.length < device.metrics.length ? { ...device, metrics } : device);
    room -= metrics.length;
    hidden += device.metrics.length - metrics.length;
  }
  return { shown, hidden };
}
