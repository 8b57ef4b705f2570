/**
 * The composition root: makes the parts from the configuration, starts them in the order in which
 * they need each other (log, sinks, API, broker, bridges) and stops them in reverse.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { packageRoot } from '../config/find-file.ts';
import type { BridgeConfig, HubConfig } from '../config/schema.ts';
import { BRIDGES } from '../firmware-bridge/registry.ts';
import { type Api, createApi } from './api/server.ts';
import type { HubView } from './api/view.ts';
import { clockLogger } from './clock/clock-log.ts';
import { watchedClock } from './clock/watched-clock.ts';
import type { Commands } from './commands/commands.ts';
import type { BridgeSpec } from './core/bridge.ts';
import type { Clock } from './core/clock.ts';
import { cloudEventEncoder } from './core/cloud-event.ts';
import { endsWithin } from './core/ends-within.ts';
import { describeError, HubError } from './core/errors.ts';
import { RateMeter } from './core/rate.ts';
import { ClockWait } from './forward/clock-gate.ts';
import type { Forwarder } from './forward/forwarder.ts';
import type { Operations } from './forward/operations.ts';
import { Recovery } from './forward/recovery.ts';
import { objectStoresOf } from './hub-claim-check.ts';
import { makeCommands } from './hub-commands.ts';
import { deadLetterView } from './hub-dead-letters.ts';
import { decodeRules } from './hub-decode.ts';
import { makeForwarder } from './hub-forwarders.ts';
import { ingestView } from './hub-ingest.ts';
import { collectMetrics } from './hub-metrics.ts';
import { operationView, renameLogger, replayView, startOperations } from './hub-operations.ts';
import { outageView } from './hub-outages.ts';
import {
  Disk,
  degradedOf,
  notesOf,
  problemsOf,
  type StatusSources,
  statusOf,
} from './hub-status.ts';
import { makeTracing, type Tracing } from './hub-tracing.ts';
import { BridgeRunner } from './intake/bridges.ts';
import { Broker } from './intake/broker/broker.ts';
import { Intake } from './intake/intake.ts';
import type { DurableLog } from './log/durable-log.ts';
import { markFile } from './log/mark.ts';
import { openLog } from './log/open-log.ts';
import { reserveFile } from './log/room/reserve.ts';
import { levelStorage } from './log/storage/level-storage.ts';
import { createMetrics, type Metrics } from './observe/metrics.ts';
import { writtenBytesMeter } from './observe/written-bytes.ts';
import { aggregator } from './process/aggregate.ts';
import { createDecoder, type Decoder } from './process/decode/decoder.ts';
import { findEvents } from './process/events.ts';
import { history } from './process/history.ts';
import { LiveView } from './process/live.ts';

/** Whoever does not stop by then is left behind: systemd's patience is 90 s, a person's is less. */
const STOP_TIMEOUT_MS = 8_000;

export interface HubOptions {
  readonly config: HubConfig;
  readonly version: string;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** In [0, 1); default Math.random. */
  readonly random?: () => number;
}

export interface RunningHub {
  /** Where the console and the API are. */
  readonly url: string;
  /** MQTT addresses, `host:port`. */
  readonly mqtt: readonly string[];
  stop(): Promise<void>;
}

interface Parts {
  readonly log: DurableLog;
  readonly disk: Disk;
  readonly decoder: Decoder;
  readonly intake: Intake;
  readonly live: LiveView;
  readonly clockWait: ClockWait;
  readonly forwarders: readonly Forwarder[];
  readonly operations: Operations;
  readonly commands: Commands;
  readonly broker: Broker;
  readonly bridges: readonly BridgeRunner[];
}

/**
 * Starts a hub. Errors (all HubError): LOG_LOCKED, LOG_NOT_OPEN, SERVICE_UNAVAILABLE when a port is
 * taken, and what a sink's or a bridge's creation throws. What was started is stopped again.
 */
export async function startHub(options: HubOptions): Promise<RunningHub> {
  const { config, version, logger } = options;
  const { clock, watch } = options.clock
    ? { clock: options.clock, watch: undefined }
    : watchedClock();
  const startedMs = clock.monotonicMs();
  const random = options.random ?? Math.random;
  const metrics = createMetrics({
    version,
    sources: ['mqtt', 'http', ...config.bridges.map(({ id }) => `bridge:${id}`)],
    sinks: config.sinks.map(({ id }) => id),
    bridges: config.bridges.map(({ id }) => id),
  });
  const stops: (() => Promise<void>)[] = [];
  const ingestRate = new RateMeter(() => clock.monotonicMs());
  let serving = false;

  async function stop(): Promise<void> {
    serving = false;
    for (const stopPart of stops.splice(0).reverse()) {
      await stopInTime(stopPart).catch((error) =>
        logger.error({ error: describeError(error) }, 'a part of the hub did not stop cleanly'),
      );
    }
  }

  try {
    const tracing = makeTracing({ ...options, clock, random, metrics });
    stops.push(() => tracing.stop());
    const surroundings = { config, logger, clock, random, metrics, ingestRate, tracing };
    if (watch) stops.push(() => watch.stop());
    const looked = watch?.start(); // beside the opening of the log: the first answer takes a moment
    const parts = await makeParts(surroundings, stops);
    await looked;
    const sources: StatusSources = {
      ...parts,
      id: config.hub.id,
      version,
      startedMs,
      clock,
      ingestRate,
      serving: () => serving,
    };
    collectMetrics({ ...parts, metrics, status: () => statusOf(sources) });
    parts.live.start();
    stops.push(() => parts.live.stop());
    stops.push(() => allOf(parts.forwarders.map((forwarder) => forwarder.stop())));
    for (const forwarder of parts.forwarders) await forwarder.start();
    const api = makeApi(surroundings, parts, sources);
    stops.push(() => api.close());
    const { url } = await api.listen();
    stops.push(() => parts.broker.stop());
    await parts.broker.start();
    stops.push(() => allOf(parts.bridges.map((bridge) => bridge.stop())));
    for (const bridge of parts.bridges) bridge.start();
    stops.push(() => parts.commands.stop());
    parts.commands.start();
    serving = true;
    return { url, mqtt: parts.broker.addresses, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Surroundings {
  readonly config: HubConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly ingestRate: RateMeter;
  readonly tracing: Tracing;
  random(): number;
}

async function makeParts(around: Surroundings, stops: (() => Promise<void>)[]): Promise<Parts> {
  const { config, logger, clock, metrics, ingestRate, random, tracing } = around;
  const decoder = createDecoder(decodeRules(config));
  const { log, disk } = await makeLog(around, decoder);
  stops.push(() => log.close());
  followRate(log, ingestRate);
  const intake = new Intake(log, config.log.lanes, tracing.intake);
  const live = new LiveView({
    log,
    decoder,
    clock,
    logger: logger.child({ component: 'decode' }),
    countUndecoded: (reason, events) =>
      metrics.counter('holdfast_undecoded_events_total', { reason }).inc(events),
  });
  const clockWait = new ClockWait(log, clock, config.clock.wait_for_sync_max);
  const forwarders: Forwarder[] = [];
  const recovery = new Recovery();
  const stores = objectStoresOf(config, clock);
  const shared = { ...around, log, decoder, recovery, clockWait, stores };
  for (const sink of config.sinks) forwarders.push(await makeForwarder(shared, sink));
  const { limits } = config.mqtt;
  const broker = new Broker({
    intake,
    log,
    listeners: config.mqtt.listeners,
    anonymous: config.mqtt.anonymous,
    logger: logger.child({ component: 'mqtt' }),
    limits: {
      clientsMax: limits.clients_max,
      packetBytesMax: limits.packet_bytes_max,
      topicLevelsMax: limits.topic_levels_max,
      topicBytesMax: limits.topic_bytes_max,
      sessionQueueEventsMax: limits.session_queue_events_max,
      sessionsMax: limits.sessions_max,
      retainedMessagesMax: limits.retained_messages_max,
      inflightMax: limits.inflight_max,
    },
  });
  const bridges: BridgeRunner[] = [];
  for (const bridge of config.bridges) {
    bridges.push(
      new BridgeRunner({
        id: bridge.id,
        type: bridge.type,
        bridge: await bridgeSpecOf(bridge).create(bridge),
        intake,
        storage: log,
        clock,
        random,
        logger: logger.child({ component: 'bridge', bridge: bridge.id }),
      }),
    );
  }
  const operations = await startOperations(log, clock, logger);
  stops.push(async () => operations.stop());
  const ways = { log, broker, bridges, live };
  const commands = await makeCommands(ways, clock, logger);
  return { ...ways, disk, decoder, intake, clockWait, forwarders, operations, commands };
}

async function makeLog(
  { config, logger, clock, metrics, tracing }: Surroundings,
  decoder: Decoder,
) {
  const folder = config.hub.data_dir;
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    const text = `cannot create hub.data_dir ${folder}: ${describeError(cause)}`;
    throw new HubError('LOG_NOT_OPEN', text, { cause });
  }
  const disk = new Disk(folder);
  const { commit, capacity, retention } = config.log;
  const logLogger = logger.child({ component: 'log' });
  const commitSeconds = metrics.histogram('holdfast_log_commit_seconds');
  const commits = metrics.counter('holdfast_log_commits_total');
  const log = await openLog({
    storage: levelStorage(join(folder, 'log'), { lostFolder: join(folder, 'lost+found') }),
    mark: markFile(join(folder, 'log.mark'), (problem) =>
      problem
        ? logLogger.error({ problem }, 'no high-water mark')
        : logLogger.info('it is written'),
    ),
    reserve: reserveFile(join(folder, 'reserve')),
    clock,
    durability:
      commit.durability === 'fsync'
        ? { kind: 'fsync' }
        : { kind: 'interval', intervalMs: commit.interval_ms },
    profile: commit.profile,
    bytesMax: capacity.bytes_max,
    freeBytesMin: capacity.free_bytes_min,
    whenFull: capacity.when_full,
    ageMaxMs: retention.age_max,
    sinks: config.sinks.map(({ id, start, formerly }) => ({ id, start, formerly })),
    freeBytes: () => disk.measure(),
    writtenBytes: writtenBytesMeter(),
    aggregate: aggregator(decoder),
    observer: {
      committed({ seconds, traces }) {
        commitSeconds.observe(seconds, traces[0]?.traceId);
        commits.inc();
        if (traces.length > 0) tracing.tracer.committed(traces, seconds);
      },
      damaged: (lane, { from, to }, problem) =>
        logLogger.error(
          { lane, firstOffset: from, lastOffset: to - 1, problem },
          'a part of the log is damaged: it is set aside and reported as lost, the rest is served',
        ),
      found: ({ file, problem, setAside }) =>
        logLogger.error({ file, problem, setAside }, 'a file of the log was damaged'),
      trouble: (problem) =>
        problem
          ? logLogger.error({ problem }, 'the card does not take writes: nothing is acknowledged')
          : logLogger.info('the card takes writes again'),
      clock: clockLogger(logger.child({ component: 'clock' })),
      renamed: renameLogger(logLogger),
    },
  });
  return { log, disk };
}

/** Events per second, from what the log has committed. */
function followRate(log: DurableLog, rate: RateMeter): void {
  let accepted = log.status().acceptedEvents;
  log.onCommit(() => {
    const now = log.acceptedEvents;
    rate.add(now - accepted);
    accepted = now;
  });
}

function makeApi(
  { config, logger, metrics }: Surroundings,
  parts: Parts,
  sources: StatusSources,
): Api {
  const { log, decoder, live } = parts;
  const encode = cloudEventEncoder({
    hubId: config.hub.id,
    logId: log.id,
    decode: decoder,
    content: 'payload',
  });
  const view: HubView = {
    // a restart mends none of these: whoever can ask has a process that works
    health: () => ({
      ok: true,
      reasons: [...problemsOf(sources), ...degradedOf(sources)],
      notes: notesOf(sources),
    }),
    ready: () => {
      const reasons = problemsOf(sources);
      return { ok: reasons.length === 0, reasons };
    },
    status: () => statusOf(sources),
    latest: (filter) => live.latest(filter),
    devices: () => live.devices(),
    history: (query, signal) => history(log, decoder, query, signal),
    events: async (query, signal) => (await findEvents(log, query, signal)).map(encode),
    replays: replayView(parts),
    operations: operationView(parts),
    commands: parts.commands,
    outages: outageView(parts.forwarders),
    deadLetters: deadLetterView({ ...parts, hubId: config.hub.id, logId: log.id }),
    ingest: ingestView(config, parts),
    metricsText: (format) => metrics.text(format),
    subscribe: (listener) => live.subscribe(listener),
  };
  return createApi({
    view,
    hubId: config.hub.id,
    host: config.http.host,
    port: config.http.port,
    token: config.http.token?.reveal(),
    consoleDir: join(packageRoot(), 'dist', 'console'),
    logger: logger.child({ component: 'api' }),
  });
}

function bridgeSpecOf({ type }: BridgeConfig): BridgeSpec {
  const spec = BRIDGES.find((candidate) => candidate.type === type);
  if (!spec) throw new HubError('INTERNAL', `no bridge of type ${type}`);
  return spec as BridgeSpec; // its options were validated with its own schema
}

/** One that fails does not keep the others from being waited for. */
async function allOf(work: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') throw failed.reason;
}

async function stopInTime(stopPart: () => Promise<void>): Promise<void> {
  if (await endsWithin(STOP_TIMEOUT_MS, stopPart())) return;
  throw new Error(`not done after ${STOP_TIMEOUT_MS} ms`);
}
