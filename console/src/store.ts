import { batch, computed, type Signal, signal } from '@preact/signals';
import type { LatestValue, Outage, Status } from '../../hub/core/status.ts';
import { type Api, hubApi } from './api.ts';
import { historyQueue } from './history-queue.ts';
import type { Connection } from './live.ts';
import { OUTAGE_WINDOWS } from './outage-view.ts';
import { groupDevices, isAlarm, keyOf, type Metric, nextMetric } from './readings.ts';
import { boundedSeries, type Series, WINDOW_MS } from './series.ts';
import { serverClock } from './server-clock.ts';

/**
 * Everything the page shows. Components read these signals; only the functions below write them.
 */

/** A page with more than that is no overview; the rest is counted and said. About 5 MB. */
const METRICS_MAX = 5_000;
/** Series with a past: 600 points each, 10 MB in all when every one is full. */
const SERIES_MAX = 500;
const HISTORY_POINTS = 120;
/** The rate of the last ten minutes, one point a second. */
export const RATE_WINDOW_MS = 10 * 60_000;
/**
 * The stream brings a status every two seconds: after this silence the page is not live any more.
 */
const SILENT_MS_MIN = 5_000;

const TOKEN_KEY = 'holdfast-token';

const clock = serverClock();

export const connection = signal<Connection>({ kind: 'connecting' });
export const status = signal<Status | undefined>(undefined);
/** When the hub was last heard, on the local monotonic clock; undefined before the first time. */
export const heardMs = signal<number | undefined>(undefined);
/** Local monotonic time, moved once a second: whatever shows an age follows it. */
export const localMs = signal(performance.now());
/** The hub's wall clock. */
export const hubMs = computed(() => clock.nowMs(localMs.value));
/** Metrics that the page has no room for. */
export const metricsLeftOut = signal(0);
/** By sink, the newest first. */
export const outages = signal<ReadonlyMap<string, readonly Outage[]>>(new Map());
export const outageWindow = signal<(typeof OUTAGE_WINDOWS)[number]>(OUTAGE_WINDOWS[0]);
export const eventRate = boundedSeries(RATE_WINDOW_MS);

/** For how long the page has been out of date, in ms; 0 while it is live. */
export const staleMs = computed(() => {
  if (heardMs.value === undefined) return 0;
  const silentMs = Math.max(0, localMs.value - heardMs.value);
  return connection.value.kind === 'live' && silentMs < SILENT_MS_MIN ? 0 : silentMs;
});

const metrics = new Map<string, Signal<Metric>>();
const seriesByKey = new Map<string, Series>();
/** Moves when a metric or an alarm comes or goes: values alone never regroup the page. */
const structure = signal(0);

export const devices = computed(() => {
  structure.value;
  return groupDevices([...metrics.values()].map((metric) => metric.peek()));
});

export const api: Api = hubApi({
  baseUrl: new URL('api/v1/', document.baseURI).href,
  token: () => sessionStorage.getItem(TOKEN_KEY) ?? undefined,
  onDate: clock.observeDate,
});

export function hasToken(): boolean {
  return sessionStorage.getItem(TOKEN_KEY) !== null;
}

export function keepToken(token: string): void {
  sessionStorage.setItem(TOKEN_KEY, token);
}

/** The live metric; undefined when the hub does not know it any more. */
export function metricOf(key: string): Signal<Metric> | undefined {
  return metrics.get(key);
}

/** The recent past of a numeric metric; undefined when there are too many to keep one for each. */
export function seriesOf(key: string): Series | undefined {
  let series = seriesByKey.get(key);
  if (!series && seriesByKey.size < SERIES_MAX) {
    series = boundedSeries();
    seriesByKey.set(key, series);
  }
  return series;
}

export const histories = historyQueue(async (key) => {
  const latest = metrics.get(key)?.peek().latest;
  const series = seriesOf(key);
  if (!latest || !series) return;
  const toMs = Math.round(clock.nowMs(performance.now()));
  const history = await api.history(
    {
      device: latest.device,
      metric: latest.metric,
      fromMs: toMs - WINDOW_MS,
      toMs,
      points: HISTORY_POINTS,
    },
    new AbortController().signal,
  );
  series.load(history);
});

function takeValue(latest: LatestValue): boolean {
  const key = keyOf(latest);
  const known = metrics.get(key);
  if (!known) {
    if (metrics.size >= METRICS_MAX) {
      metricsLeftOut.value++;
      return false;
    }
    metrics.set(key, signal(nextMetric(undefined, latest)));
  }
  const before = known?.peek();
  const after = nextMetric(before, latest);
  if (known) known.value = after;
  if (typeof latest.value === 'number') seriesOf(key)?.append(latest.timeMs, latest.value);
  return !before || isAlarm(before.latest) !== isAlarm(after.latest);
}

/** New readings: only the rows they belong to are drawn again. */
export function takeReadings(values: readonly LatestValue[]): void {
  batch(() => {
    let regroup = false;
    for (const value of values) {
      if (takeValue(value)) regroup = true;
      clock.observeEvent(value.receivedMs, performance.now());
    }
    if (regroup) structure.value++;
  });
}

/**
 * A sink that is less behind than this has drained what waited: its outage says by then how fast.
 */
const DRAINED_MS_MAX = 15_000;
/** What makes the list of outages another one: some began, ended, or were drained since. */
let outagesKey = '';
const outagesKeyOf = ({ sinks }: Status) =>
  sinks.map(({ id, outage, lagMs }) => `${id}/${outage?.id ?? lagMs < DRAINED_MS_MAX}`).join();

async function takeOutages(key: string): Promise<void> {
  try {
    const found = await api.outages(new AbortController().signal);
    const bySink = new Map<string, Outage[]>();
    for (const outage of found) {
      bySink.set(outage.sink, [...(bySink.get(outage.sink) ?? []), outage]);
    }
    outages.value = bySink;
  } catch {
    if (outagesKey === key) outagesKey = ''; // asked again with the next status
  }
}

export function takeStatus(next: Status): void {
  const key = outagesKeyOf(next);
  if (key !== outagesKey) {
    outagesKey = key;
    void takeOutages(key);
  }
  batch(() => {
    status.value = next;
    eventRate.append(clock.nowMs(performance.now()), next.inputs.eventsPerSecond);
  });
}

/** What the hub says after a connection: what it does not know any more goes. */
export function takeSnapshot(next: Status, latest: readonly LatestValue[]): void {
  batch(() => {
    const known = new Set(latest.map(keyOf));
    for (const key of metrics.keys()) {
      if (known.has(key)) continue;
      metrics.delete(key);
      seriesByKey.delete(key);
    }
    metricsLeftOut.value = 0;
    outagesKey = ''; // nobody has told of those that came and went meanwhile
    takeReadings(latest);
    takeStatus(next);
    structure.value++;
  });
  histories.refetch();
}

export function heard(): void {
  heardMs.value = performance.now();
}
