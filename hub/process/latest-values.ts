import type { Reading } from '../core/event.ts';
import type { LatestValue } from '../core/status.ts';

/** One current value, in the list of all by age of its last change. */
export interface LatestEntry {
  reading: Reading;
  receivedMs: number;
  older: LatestEntry | undefined;
  newer: LatestEntry | undefined;
}

/** `/api/v1/devices`: one of these per device. */
export interface DeviceSummary {
  readonly device: string;
  readonly metrics: readonly string[];
  /** Arrival of its newest value, in ms since 1970. */
  readonly lastReceivedMs: number;
}

export interface LatestFilter {
  readonly device?: string | undefined;
  readonly metric?: string | undefined;
}

export function latestValue(entry: LatestEntry): LatestValue {
  const { device, metric, value, unit, timeMs, timeQuality, tags } = entry.reading;
  const { receivedMs } = entry;
  return unit === undefined
    ? { device, metric, value, timeMs, timeQuality, receivedMs, tags }
    : { device, metric, value, unit, timeMs, timeQuality, receivedMs, tags };
}

/**
 * The newest reading of every (device, metric), up to `pairsMax`; beyond that the one that has not
 * changed for longest is forgotten.
 *
 * Invariants: `#devices` and the list hold the same entries; `size` is their number; no device has
 * an empty map.
 */
export class LatestValues {
  readonly #pairsMax: number;
  readonly #devices = new Map<string, Map<string, LatestEntry>>();
  #oldest: LatestEntry | undefined;
  #newest: LatestEntry | undefined;
  #size = 0;

  constructor(pairsMax: number) {
    this.#pairsMax = pairsMax;
  }

  get size(): number {
    return this.#size;
  }

  get(device: string, metric: string): LatestEntry | undefined {
    return this.#devices.get(device)?.get(metric);
  }

  set(reading: Reading, receivedMs: number): LatestEntry {
    let metrics = this.#devices.get(reading.device);
    if (metrics === undefined) {
      metrics = new Map();
      this.#devices.set(reading.device, metrics);
    }
    let entry = metrics.get(reading.metric);
    if (entry === undefined) {
      entry = { reading, receivedMs, older: undefined, newer: undefined };
      metrics.set(reading.metric, entry);
      this.#size++;
      this.#append(entry);
      if (this.#size > this.#pairsMax) this.#forgetOldest();
    } else {
      entry.reading = reading;
      entry.receivedMs = receivedMs;
      if (entry !== this.#newest) {
        this.#unlink(entry);
        this.#append(entry);
      }
    }
    return entry;
  }

  /** By device and metric, each in the order in which they were first seen. */
  list(filter: LatestFilter = {}): LatestValue[] {
    const values: LatestValue[] = [];
    for (const metrics of this.#devicesOf(filter.device))
      for (const entry of metrics.values())
        if (filter.metric === undefined || entry.reading.metric === filter.metric)
          values.push(latestValue(entry));
    return values;
  }

  devices(): DeviceSummary[] {
    return Array.from(this.#devices, ([device, metrics]) => ({
      device,
      metrics: [...metrics.keys()],
      lastReceivedMs: Array.from(metrics.values()).reduce(
        (last, entry) => Math.max(last, entry.receivedMs),
        0,
      ),
    }));
  }

  #devicesOf(device: string | undefined): Iterable<Map<string, LatestEntry>> {
    if (device === undefined) return this.#devices.values();
    const metrics = this.#devices.get(device);
    return metrics === undefined ? [] : [metrics];
  }

  #append(entry: LatestEntry): void {
    entry.older = this.#newest;
    entry.newer = undefined;
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
  }

  #unlink(entry: LatestEntry): void {
    if (entry.older === undefined) this.#oldest = entry.newer;
    else entry.older.newer = entry.newer;
    if (entry.newer === undefined) this.#newest = entry.older;
    else entry.newer.older = entry.older;
  }

  #forgetOldest(): void {
    const entry = this.#oldest;
    if (entry === undefined) return;
    this.#unlink(entry);
    this.#size--;
    const { device, metric } = entry.reading;
    const metrics = this.#devices.get(device);
    metrics?.delete(metric);
    if (metrics?.size === 0) this.#devices.delete(device);
  }
}
