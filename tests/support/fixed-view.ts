import type { HubView } from '../../hub/api/view.ts';
import type { LatestValue, ReplayJob, Status, StreamReadings } from '../../hub/core/status.ts';

export const STATUS: Status = {
  hub: { id: 'gateway-01', version: '0.1.0', startedMs: 1, ready: true, problems: [] },
  inputs: {
    eventsPerSecond: 0,
    mqttClients: 0,
    mqttClientsWaiting: 0,
    mqttListeners: [],
    bridges: [],
  },
  log: {
    id: 'abc',
    events: 0,
    bytes: 0,
    bytesMax: 1,
    oldestAgeMs: null,
    secondsUntilFull: null,
    durability: 'fsync',
    lossWindowMs: 0,
    whenFull: { alarm: 'block', normal: 'block', bulk: 'block' },
    fullReason: null,
    received: [],
    lost: [],
    full: false,
    acceptedEvents: 0,
    lostEvents: 0,
    writtenBytes: 0,
    writtenBytesMeasured: true,
    writtenBytesPerPayloadByte: null,
    commitsPerSecond: 0,
    lanes: [],
  },
  sinks: [],
  clock: { synced: true, state: 'synced', offsetMs: 0, waiting: false },
  disk: { freeBytes: 1, totalBytes: 2 },
};

export function latestOf(device: string, value: number): LatestValue {
  return {
    device,
    metric: 'temp',
    value,
    timeMs: 1,
    timeQuality: 'synced',
    receivedMs: 2,
    tags: {},
  };
}

export function replayJobOf(id: number, more: Partial<ReplayJob> = {}): ReplayJob {
  return {
    id,
    sink: 'cloud',
    state: 'queued',
    fromMs: 0,
    toMs: 1,
    requestedMs: 2,
    endedMs: null,
    totalEvents: 100,
    doneEvents: 0,
    replayedEvents: 0,
    refusedEvents: 0,
    missingEvents: 0,
    thinnedEvents: 0,
    filteredEvents: 0,
    eventsPerSecond: 0,
    etaSeconds: null,
    ...more,
  };
}

/** A view that answers what a test says, and lets it publish. */
export class FixedView implements HubView {
  isReady = true;
  /** Last query of each kind, to see what the API made of the parameters. */
  asked: unknown;
  answerHistory: (signal: AbortSignal) => Promise<void> = () => Promise.resolve();
  readonly listeners = new Set<(readings: StreamReadings) => void>();

  health: HubView['health'] = () => ({ ok: true, reasons: [] });

  ready: HubView['ready'] = () =>
    this.isReady ? { ok: true, reasons: [] } : { ok: false, reasons: ['the log is not open'] };

  status: HubView['status'] = () => STATUS;

  latest: HubView['latest'] = (filter) => {
    this.asked = filter;
    return [latestOf('d1', 1)];
  };

  devices: HubView['devices'] = () => [{ device: 'd1', metrics: ['temp'], lastReceivedMs: 2 }];

  history: HubView['history'] = async (query, signal) => {
    this.asked = query;
    await this.answerHistory(signal);
    const { device, metric, fromMs, toMs } = query;
    return {
      device,
      metric,
      fromMs,
      toMs,
      points: [],
      sampled: false,
      readEvents: 0,
      totalEvents: 0,
    };
  };

  events: HubView['events'] = async (query) => {
    this.asked = query;
    return ['{"id":"1"}', '{"id":"2"}'];
  };

  /** Replays of the only sink, `cloud`. */
  readonly jobs: ReplayJob[] = [];
  hasRoomForReplays = true;

  readonly replays: HubView['replays'] = {
    request: async (sink, range) => {
      this.asked = { sink, ...range };
      if (!this.hasRoomForReplays) return undefined;
      const job = replayJobOf(this.jobs.length + 1, range);
      this.jobs.push(job);
      return job;
    },
    list: (sink) => (sink === 'cloud' ? this.jobs : undefined),
    cancel: async (_sink, id) => {
      const job = this.jobs[id - 1];
      return job && { ...job, state: 'cancelled' };
    },
  };

  metricsText: HubView['metricsText'] = async () => 'holdfast_log_events 1\n';

  subscribe: HubView['subscribe'] = (listener) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  publish(readings: StreamReadings): void {
    for (const listener of [...this.listeners]) listener(readings);
  }
}
