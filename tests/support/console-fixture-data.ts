import { LANES, type Lane } from '../../hub/core/event.ts';
import type {
  GovernorStatus,
  HistoryPoint,
  LatestValue,
  Outage,
  ReplayJob,
  SinkLaneStatus,
  SinkReplayStatus,
  SinkStatus,
  Status,
} from '../../hub/core/status.ts';
import { CONSOLE_BRIDGES } from './console-fixture-bridges.ts';

const NOT_THINNED = { events: 0, aggregates: 0, intervalMs: 0 };

/** A small site that the console fixture plays: pure functions of time, so that history fits. */

interface Signal {
  readonly device: string;
  readonly area: string;
  readonly metric: string;
  readonly unit?: string;
  readonly intervalMs: number;
  valueAt(timeMs: number): number | string | boolean;
  /** A sensor that fell silent this long ago. */
  readonly silentMs?: number;
}

/** Noise in [-1, 1] that is the same for the same moment. */
function noise(timeMs: number, seed: number): number {
  const x = Math.sin(Math.floor(timeMs / 1000) * 12.9898 + seed * 78.233) * 43_758.5453;
  return (x - Math.floor(x)) * 2 - 1;
}

function wave(mean: number, swing: number, periodMin: number, jitter: number, digits = 1) {
  const seed = mean + swing;
  return (timeMs: number) => {
    const slow = Math.sin((timeMs / 60_000 / periodMin) * 2 * Math.PI + seed);
    const fast = 0.3 * Math.sin((timeMs / 60_000 / (periodMin / 4.3)) * 2 * Math.PI);
    return Number((mean + swing * (slow + fast) + jitter * noise(timeMs, seed)).toFixed(digits));
  };
}

const SIGNALS: readonly Signal[] = [
  {
    device: 'greenhouse-1',
    area: 'greenhouse',
    metric: 'temperature',
    unit: '°C',
    intervalMs: 2_000,
    valueAt: wave(24.3, 2.4, 41, 0.15),
  },
  {
    device: 'greenhouse-1',
    area: 'greenhouse',
    metric: 'humidity',
    unit: '%',
    intervalMs: 5_000,
    valueAt: wave(68, 7, 53, 0.6),
  },
  {
    device: 'greenhouse-1',
    area: 'greenhouse',
    metric: 'co2',
    unit: 'ppm',
    intervalMs: 5_000,
    valueAt: wave(760, 140, 34, 12, 0),
  },
  {
    device: 'greenhouse-1',
    area: 'greenhouse',
    metric: 'vent_open',
    intervalMs: 10_000,
    valueAt: (t) => Math.sin(t / 400_000) > -0.2,
  },
  {
    device: 'greenhouse-2',
    area: 'greenhouse',
    metric: 'temperature',
    unit: '°C',
    intervalMs: 2_000,
    valueAt: wave(22.8, 1.9, 38, 0.2),
  },
  {
    device: 'greenhouse-2',
    area: 'greenhouse',
    metric: 'humidity',
    unit: '%',
    intervalMs: 5_000,
    valueAt: wave(71, 5, 47, 0.8),
  },
  {
    device: 'greenhouse-2',
    area: 'greenhouse',
    metric: 'soil_moisture',
    unit: '%',
    intervalMs: 30_000,
    valueAt: wave(34, 4, 90, 0.1),
  },
  {
    device: 'cold-store',
    area: 'packing',
    metric: 'temperature',
    unit: '°C',
    intervalMs: 2_000,
    valueAt: wave(3.6, 0.9, 17, 0.1),
  },
  {
    device: 'cold-store',
    area: 'packing',
    metric: 'door_open',
    intervalMs: 10_000,
    valueAt: () => false,
  },
  {
    device: 'cold-store',
    area: 'packing',
    metric: 'compressor',
    unit: 'W',
    intervalMs: 2_000,
    valueAt: (t) => (Math.sin(t / 110_000) > 0.1 ? Math.round(640 + 30 * noise(t, 3)) : 4),
  },
  { device: 'pump-2', area: 'wellhouse', metric: 'alarm', intervalMs: 5_000, valueAt: () => true },
  {
    device: 'pump-2',
    area: 'wellhouse',
    metric: 'pressure',
    unit: 'bar',
    intervalMs: 2_000,
    valueAt: wave(2.05, 0.42, 12, 0.05, 2),
  },
  {
    device: 'pump-2',
    area: 'wellhouse',
    metric: 'flow',
    unit: 'l/min',
    intervalMs: 2_000,
    valueAt: wave(18.4, 6.2, 12, 0.8),
  },
  {
    device: 'pump-2',
    area: 'wellhouse',
    metric: 'mode',
    intervalMs: 10_000,
    valueAt: () => 'dry-run guard',
  },
  {
    device: 'weather',
    area: 'roof',
    metric: 'temperature',
    unit: '°C',
    intervalMs: 10_000,
    valueAt: wave(11.4, 1.6, 120, 0.1),
  },
  {
    device: 'weather',
    area: 'roof',
    metric: 'pressure',
    unit: 'hPa',
    intervalMs: 10_000,
    valueAt: wave(1013.2, 0.8, 160, 0.05),
  },
  {
    device: 'weather',
    area: 'roof',
    metric: 'wind',
    unit: 'm/s',
    intervalMs: 5_000,
    valueAt: wave(4.8, 2.2, 9, 1.1),
  },
  {
    device: 'weather',
    area: 'roof',
    metric: 'illuminance',
    unit: 'lx',
    intervalMs: 10_000,
    valueAt: wave(12_480, 3_900, 64, 240, 0),
  },
  {
    device: 'tank-level',
    area: 'wellhouse',
    metric: 'level',
    unit: 'm',
    intervalMs: 60_000,
    valueAt: wave(1.82, 0.2, 80, 0.004, 2),
    silentMs: 22 * 60_000,
  },
  {
    device: 'tank-level',
    area: 'wellhouse',
    metric: 'battery',
    unit: 'V',
    intervalMs: 60_000,
    valueAt: () => 3.31,
    silentMs: 22 * 60_000,
  },
  {
    device: 'gateway-01',
    area: 'hub',
    metric: 'cpu_temperature',
    unit: '°C',
    intervalMs: 10_000,
    valueAt: wave(51.2, 3.1, 25, 0.4),
  },
  {
    device: 'gateway-01',
    area: 'hub',
    metric: 'load',
    intervalMs: 10_000,
    valueAt: wave(0.62, 0.21, 15, 0.08, 2),
  },
];

function latestOf(signal: Signal, nowMs: number): LatestValue {
  const timeMs =
    Math.floor((nowMs - (signal.silentMs ?? 0)) / signal.intervalMs) * signal.intervalMs;
  const value = signal.valueAt(timeMs);
  return {
    device: signal.device,
    metric: signal.metric,
    value,
    ...(signal.unit === undefined ? {} : { unit: signal.unit }),
    timeMs,
    timeQuality: 'synced',
    receivedMs: timeMs + 8,
    tags: { area: signal.area },
  };
}

/** The current value of every metric of the site. */
export function siteLatest(nowMs: number): LatestValue[] {
  return SIGNALS.map((signal) => latestOf(signal, nowMs));
}

/** The values that came in `(fromMs, toMs]`. */
export function siteReadings(fromMs: number, toMs: number): LatestValue[] {
  return siteLatest(toMs).filter(({ receivedMs }) => receivedMs > fromMs);
}

/** One point a bucket, as the hub answers it. Twenty silent minutes show as a gap. */
export function siteHistory(
  device: string,
  metric: string,
  range: { readonly fromMs: number; readonly toMs: number; readonly points: number },
): { readonly unit: string | undefined; readonly points: HistoryPoint[] } {
  const signal = SIGNALS.find((one) => one.device === device && one.metric === metric);
  if (!signal) return { unit: undefined, points: [] };
  const bucketMs = Math.max(signal.intervalMs, (range.toMs - range.fromMs) / range.points);
  const endMs = range.toMs - (signal.silentMs ?? 0);
  const points: HistoryPoint[] = [];
  for (let timeMs = range.fromMs; timeMs < endMs; timeMs += bucketMs) {
    const mean = signal.valueAt(timeMs);
    if (typeof mean !== 'number') return { unit: signal.unit, points: [] };
    if (
      device === 'greenhouse-2' &&
      range.toMs - timeMs > 14 * 60_000 &&
      range.toMs - timeMs < 18 * 60_000
    )
      continue; // it was switched off for four minutes
    points.push({ timeMs, mean, min: mean * 0.99, max: mean * 1.01, count: 5 });
  }
  return { unit: signal.unit, points };
}

const OUTAGE_MS = 41 * 60_000;
const BACKLOG_EVENTS = 412_000;
const EVENTS_PER_SECOND = 84;
const DRAIN_PER_SECOND = 1_150;
const RETRY_MS = 30_000;

/** Offsets given so far; the hub began with the log, the sinks with the hub. */
function siteTails(startedMs: number, nowMs: number): Readonly<Record<Lane, number>> {
  const arrived = Math.round(((nowMs - startedMs) / 1000) * EVENTS_PER_SECOND);
  return { alarm: 2_260, normal: 18_204_000 + arrived, bulk: 88_400 };
}

/** Books that add up, with a backlog in the normal lane. */
function sinkLanes(
  tails: Readonly<Record<Lane, number>>,
  normal: { readonly queued: number; readonly deadLettered?: number },
): SinkLaneStatus[] {
  return LANES.map((lane) => {
    const queued = lane === 'normal' ? normal.queued : 0;
    const deadLettered = (lane === 'normal' && normal.deadLettered) || 0;
    const settled = tails[lane] - queued;
    const delivered = settled - deadLettered;
    const none = { start: 0, filtered: 0, thinned: 0, lost: {} };
    return { lane, ...none, settled, delivered, deadLettered, queued };
  });
}

function siteReplay(startedMs: number, nowMs: number): SinkReplayStatus {
  const totalEvents = 612_000;
  const eventsPerSecond = 900;
  const ranS = 210 + (nowMs - startedMs) / 1000;
  const doneEvents = Math.min(totalEvents - 1, Math.round(ranS * eventsPerSecond));
  const running: ReplayJob = {
    ...{ id: 3, sink: 'archive', state: 'running' },
    ...{ fromMs: startedMs - 93_600_000, toMs: startedMs - 86_400_000 },
    ...{ requestedMs: startedMs - 210_000, endedMs: null },
    ...{ totalEvents, doneEvents, replayedEvents: doneEvents },
    ...{ refusedEvents: 0, missingEvents: 0, thinnedEvents: 0, filteredEvents: 0 },
    eventsPerSecond,
    etaSeconds: (totalEvents - doneEvents) / eventsPerSecond,
  };
  return { running, queued: 1, replayedEvents: doneEvents };
}

/** Past outages of the site: when they began (hours before its start), for how long, and why. */
const OUTAGES: readonly (readonly [
  sink: string,
  hoursBefore: number,
  minutes: number,
  why: string,
])[] = [
  ['grafana', 2.5, 82, '127.0.0.1:8428 cannot be reached: connect ECONNREFUSED 127.0.0.1:8428'],
  ['cloud', 6.2, 3, 'ingest.example.org:443 did not answer within 10 s'],
  ['cloud', 17.4, 26, 'ingest.example.org:443 cannot be reached: connect ENETUNREACH'],
  ['cloud', 49, 190, 'ingest.example.org:443 cannot be reached: getaddrinfo EAI_AGAIN'],
  ['cloud', 121, 640, 'ingest.example.org:443 cannot be reached: connect ENETUNREACH'],
];

function outageNow(startedMs: number, nowMs: number): Outage {
  const text = 'ingest.example.org:443 cannot be reached: connect ETIMEDOUT 203.0.113.40:443';
  const lengthMs = OUTAGE_MS + nowMs - startedMs;
  const error = { code: 'SINK_DISCONNECTED', text };
  return {
    ...{ sink: 'cloud', id: 9, startedMs: startedMs - OUTAGE_MS, endedMs: null, lengthMs },
    ...{ interruptions: 1, tries: 22, hubStarts: 0, reboots: 0 },
    ...{ firstError: error, lastError: error },
    ...{ backlogAtStart: 40, backlogAtEnd: null, drainedAfterMs: null },
  };
}

/** The newest first. */
export function siteOutages(startedMs: number, nowMs: number): Outage[] {
  const past = OUTAGES.map(([sink, hoursBefore, minutes, text], index): Outage => {
    const fromMs = startedMs - hoursBefore * 3_600_000;
    const lengthMs = minutes * 60_000;
    const error = { code: 'SINK_DISCONNECTED', text };
    return {
      ...{ sink, id: OUTAGES.length - index, startedMs: fromMs, endedMs: fromMs + lengthMs },
      ...{ lengthMs, interruptions: 1 + (index % 3), tries: minutes, hubStarts: 0 },
      ...{ reboots: Number(minutes > 600), firstError: error, lastError: error },
      backlogAtStart: 30,
      backlogAtEnd: Math.round((lengthMs / 1000) * EVENTS_PER_SECOND),
      drainedAfterMs: sink === 'cloud' ? lengthMs / 13 : null,
    };
  });
  return [outageNow(startedMs, nowMs), ...past];
}

/** Of the site's cellular link: most of the day is used, and the night is far. */
function siteBudget(nowMs: number): GovernorStatus {
  const mib = 1024 ** 2;
  const hourMs = 3_600_000;
  return {
    profile: 'default',
    interface: 'wwan0',
    unlimited: false,
    day: { usedBytes: 43.2 * mib, limitBytes: 50 * mib, resetsAtMs: nowMs + 5 * hourMs },
    month: { usedBytes: 512 * mib, limitBytes: 1024 * mib, resetsAtMs: nowMs + 270 * hourMs },
    window: { text: '22:00-06:00', open: true, changesAtMs: nowMs + 4 * hourMs },
    exempt: ['alarm'],
    held: [],
  };
}

function siteSinks(startedMs: number, nowMs: number): SinkStatus[] {
  const tails = siteTails(startedMs, nowMs);
  const ranS = (nowMs - startedMs) / 1000;
  const drained = Math.max(12, Math.round(BACKLOG_EVENTS - ranS * DRAIN_PER_SECOND));
  const backlog = Math.round(((OUTAGE_MS + nowMs - startedMs) / 1000) * EVENTS_PER_SECOND);
  const replay = { running: null, queued: 0, replayedEvents: 0 };
  const archived = Math.round(Math.abs(noise(nowMs, 4)) * 90);
  const pace = { requests: 1, eventsMax: 5000, eventsPerSecondMax: null };
  const common = { filteredEvents: 0, deadLetters: 0, lostEvents: 0, pace, replay, outage: null };
  return [
    {
      id: 'cloud',
      type: 'http',
      state: 'backoff',
      detail:
        'POST https://ingest.example.org/v1/events: connect ETIMEDOUT 203.0.113.40:443 after 10 s',
      retryAtMs: nowMs + RETRY_MS - ((nowMs - startedMs) % RETRY_MS),
      lagEvents: backlog,
      lagMs: OUTAGE_MS + nowMs - startedMs,
      eventsPerSecond: 0,
      etaSeconds: null,
      deliveredEvents: 18_204_119,
      ...common,
      outage: outageNow(startedMs, nowMs),
      governor: siteBudget(nowMs),
      lanes: sinkLanes(tails, { queued: backlog }),
    },
    {
      id: 'grafana',
      type: 'influx',
      state: 'sending',
      detail: 'VictoriaMetrics v1.112',
      lagEvents: drained,
      lagMs: Math.round((drained / EVENTS_PER_SECOND) * 1000),
      eventsPerSecond: DRAIN_PER_SECOND,
      etaSeconds: drained / (DRAIN_PER_SECOND - EVENTS_PER_SECOND),
      deliveredEvents: 18_001_907 + Math.round(ranS * DRAIN_PER_SECOND),
      ...common,
      deadLetters: 3,
      lanes: sinkLanes(tails, { queued: drained, deadLettered: 3 }),
    },
    {
      id: 'archive',
      type: 'file',
      state: 'reading',
      lagEvents: archived,
      lagMs: 800,
      eventsPerSecond: EVENTS_PER_SECOND,
      etaSeconds: null,
      deliveredEvents: 18_412_300 + Math.round(ranS * EVENTS_PER_SECOND),
      ...common,
      lanes: sinkLanes(tails, { queued: archived }),
      replay: siteReplay(startedMs, nowMs),
    },
  ];
}

/** The hub that the site belongs to, with one sink down for 41 minutes and one draining. */
export function siteStatus(startedMs: number, nowMs: number, readings: number): Status {
  const arrived = Math.round(((nowMs - startedMs) / 1000) * EVENTS_PER_SECOND);
  const bytes = 812_400_000 + arrived * 61;
  const tails = siteTails(startedMs, nowMs);
  const normal = tails.normal - 9_000_000;
  return {
    hub: {
      id: 'gateway-01',
      version: '0.1.0',
      startedMs: startedMs - 12.3 * 86_400_000,
      ready: true,
      problems:
        readings === 0 ? [] : ['Sink cloud is not reachable: connect ETIMEDOUT 203.0.113.40:443.'],
    },
    inputs: {
      eventsPerSecond: readings === 0 ? 0 : EVENTS_PER_SECOND + 9 * noise(nowMs, 7),
      mqttClients: 23,
      mqttClientsWaiting: 0,
      mqttListeners: ['mqtt://127.0.0.1:1883'],
      bridges: CONSOLE_BRIDGES,
    },
    log: {
      id: '9f3c21ab',
      events: normal + 2_140 + 88_400,
      bytes,
      bytesMax: 2_147_483_648,
      oldestAgeMs: 6.2 * 86_400_000,
      secondsUntilFull: 3.1 * 86_400,
      durability: 'fsync',
      lossWindowMs: 0,
      whenFull: { alarm: 'block', normal: 'block', bulk: 'block' },
      fullReason: null,
      received: [
        { source: 'mqtt', lane: 'normal', events: tails.normal - 40_120 },
        { source: 'bridge:demo', lane: 'normal', events: 40_120 },
        { source: 'bridge:demo', lane: 'bulk', events: tails.bulk },
        { source: 'hub', lane: 'alarm', events: tails.alarm },
      ],
      lost: [],
      full: false,
      acceptedEvents: tails.alarm + tails.normal + tails.bulk,
      lostEvents: 0,
      writtenBytes: bytes * 3.4,
      writtenBytesMeasured: true,
      writtenBytesPerPayloadByte: 0.21,
      commitsPerSecond: 4.2,
      lanes: [
        { lane: 'alarm', head: 120, tail: 2_260, bytes: 310_000, refused: 0, thinned: NOT_THINNED },
        {
          lane: 'normal',
          head: 9_000_000,
          tail: 9_000_000 + normal,
          bytes: bytes - 6_000_000,
          refused: 0,
          thinned: NOT_THINNED,
        },
        { lane: 'bulk', head: 0, tail: 88_400, bytes: 5_690_000, refused: 0, thinned: NOT_THINNED },
      ],
    },
    sinks: siteSinks(startedMs, nowMs),
    clock: { synced: true, state: 'synced', source: 'chrony', offsetMs: 0, waiting: false },
    disk: { freeBytes: 21_400_000_000, totalBytes: 31_200_000_000 },
  };
}
