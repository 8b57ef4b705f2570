import type { HubView, IngestMessage, IngestView } from '../../hub/api/view.ts';
import type { CommandAnswer, CommandRequest } from '../../hub/core/command.ts';
import type { Actor } from '../../hub/core/operation.ts';
import type {
  LatestValue,
  Outage,
  ReplayJob,
  SinkStatus,
  Status,
  StreamReadings,
} from '../../hub/core/status.ts';
import { FixedDeadLetters } from './fixed-dead-letters.ts';
import { FixedOperations } from './fixed-operations.ts';

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

export function outageOf(id: number, more: Partial<Outage> = {}): Outage {
  const error = { code: 'SINK_DISCONNECTED', text: 'cloud.example cannot be reached' };
  return {
    sink: 'cloud',
    id,
    startedMs: id * 1_000_000,
    endedMs: id * 1_000_000 + 60_000,
    lengthMs: 60_000,
    interruptions: 1,
    tries: 3,
    hubStarts: 0,
    reboots: 0,
    firstError: error,
    lastError: error,
    backlogAtStart: 0,
    backlogAtEnd: 600,
    drainedAfterMs: 2_000,
    ...more,
  };
}

/** A sink that keeps up. */
export function sinkStatusOf(more: Partial<SinkStatus> = {}): SinkStatus {
  return {
    id: 'cloud',
    type: 'http',
    state: 'reading',
    lagEvents: 0,
    lagMs: 0,
    eventsPerSecond: 0,
    etaSeconds: null,
    deliveredEvents: 0,
    filteredEvents: 0,
    deadLetters: 0,
    lostEvents: 0,
    lanes: [],
    pace: { requests: 1, eventsMax: 5_000, eventsPerSecondMax: null },
    replay: { running: null, queued: 0, replayedEvents: 0 },
    outage: null,
    ...more,
  };
}

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

  readonly operations = new FixedOperations((state) => sinkStatusOf({ state }));
  /** Who asked for the last replay, or cancelled it. */
  actor: Actor | undefined;

  get noted() {
    return this.operations.noted;
  }

  /** Replays of the only sink, `cloud`. */
  readonly jobs: ReplayJob[] = [];
  hasRoomForReplays = true;

  readonly replays: HubView['replays'] = {
    request: async (sink, range, actor) => {
      this.asked = { sink, ...range };
      this.actor = actor;
      if (!this.hasRoomForReplays) return undefined;
      const job = replayJobOf(this.jobs.length + 1, range);
      this.jobs.push(job);
      return job;
    },
    list: (sink) => (sink === 'cloud' ? this.jobs : undefined),
    cancel: async (_sink, id, actor) => {
      this.actor = actor;
      const job = this.jobs[id - 1];
      return job && { ...job, state: 'cancelled' };
    },
  };

  /** What was given to the ingest, and how it answers. */
  readonly ingested: IngestMessage[][] = [];
  ingestOutcome: Awaited<ReturnType<IngestView['accept']>> = 'stored';

  readonly ingest: IngestView = {
    durable: true,
    messageBytesMax: 4_096,
    topicProblem: (topic) => (topic.startsWith('$') ? 'begins with `$`' : undefined),
    accept: async (messages) => {
      this.ingested.push([...messages]);
      return this.ingestOutcome;
    },
  };

  /** Outages of the only sink, `cloud`. */
  readonly outageList: Outage[] = [];

  readonly outages: HubView['outages'] = {
    all: () => this.outageList,
    of: (sink) => (sink === 'cloud' ? this.outageList : undefined),
  };

  readonly deadLetters = new FixedDeadLetters();

  /** What was wanted of devices, and how it is answered. */
  readonly commandRequests: { readonly request: CommandRequest; readonly actor: Actor }[] = [];
  commandAnswer: CommandAnswer = { kind: 'no_device' };

  readonly commands: HubView['commands'] = {
    give: async (request, actor) => {
      this.commandRequests.push({ request, actor });
      return this.commandAnswer;
    },
    get: (device, id) => {
      const known = this.commandAnswer.kind === 'command' ? [this.commandAnswer.command] : [];
      return known.find((command) => command.device === device && command.id === id);
    },
    list: () => (this.commandAnswer.kind === 'command' ? [this.commandAnswer.command] : []),
  };

  metricsText: HubView['metricsText'] = async (format) =>
    format === 'openmetrics' ? '# EOF\n' : 'holdfast_log_events 1\n';

  subscribe: HubView['subscribe'] = (listener) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  publish(readings: StreamReadings): void {
    for (const listener of [...this.listeners]) listener(readings);
  }
}
