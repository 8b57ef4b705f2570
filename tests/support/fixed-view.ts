import type { HubView } from '../../hub/api/view.ts';
import type { LatestValue, Status, StreamReadings } from '../../hub/core/status.ts';

export const STATUS: Status = {
  hub: { id: 'gateway-01', version: '0.1.0', startedMs: 1, ready: true, problems: [] },
  inputs: { eventsPerSecond: 0, mqttClients: 0, mqttListeners: [], bridges: [] },
  log: {
    id: 'abc',
    events: 0,
    bytes: 0,
    bytesMax: 1,
    oldestAgeMs: null,
    secondsUntilFull: null,
    durability: 'fsync',
    lossWindowMs: 0,
    whenFull: 'block',
    full: false,
    acceptedEvents: 0,
    lostEvents: 0,
    writtenBytes: 0,
    lanes: [],
  },
  sinks: [],
  clock: { synced: true },
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
    return { device, metric, fromMs, toMs, points: [], truncated: false };
  };

  events: HubView['events'] = async (query) => {
    this.asked = query;
    return ['{"id":"1"}', '{"id":"2"}'];
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
