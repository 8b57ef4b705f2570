import { statfs } from 'node:fs/promises';
import type { Clock } from './core/clock.ts';
import type { RateMeter } from './core/rate.ts';
import type { Status } from './core/status.ts';
import type { ClockWait } from './forward/clock-gate.ts';
import type { Forwarder } from './forward/forwarder.ts';
import { pauseText } from './forward/pause.ts';
import type { BridgeRunner } from './intake/bridges.ts';
import type { Broker } from './intake/broker/broker.ts';
import type { DurableLog } from './log/durable-log.ts';

/** The volume of the data directory, as it was last looked at. */
export class Disk {
  readonly #folder: string;
  freeBytes = 0;
  totalBytes = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Looks at it, and answers the free bytes for us (without what is reserved for root). */
  async measure(): Promise<number> {
    try {
      const { bavail, blocks, bsize } = await statfs(this.#folder);
      this.freeBytes = bavail * bsize;
      this.totalBytes = blocks * bsize;
    } catch {
      // a volume that is gone shows itself with the next write; until then what was known counts
    }
    return this.freeBytes;
  }
}

export interface StatusSources {
  readonly id: string;
  readonly version: string;
  /** On the monotonic clock. */
  readonly startedMs: number;
  readonly clock: Clock;
  readonly clockWait: ClockWait;
  readonly log: DurableLog;
  readonly disk: Disk;
  readonly broker: Broker;
  readonly bridges: readonly BridgeRunner[];
  readonly forwarders: readonly Forwarder[];
  readonly ingestRate: RateMeter;
  /** Whether everything has been started and nothing is being stopped. */
  serving(): boolean;
}

/** Why the hub does not accept and store events now, in the user's words; empty when it does. */
export function problemsOf({ log, serving }: StatusSources): string[] {
  const problems: string[] = [];
  if (!serving()) problems.push('the hub is starting or stopping');
  if (log.problem) problems.push(log.problem);
  const { fullReason, whenFull } = log.status();
  if (fullReason !== null && whenFull.normal === 'block') {
    problems.push(`the log is full, publishers wait: ${fullReason}`);
  }
  return problems;
}

/** What a person should look at although events are accepted and stored. */
export function degradedOf({ log, forwarders, clockWait }: StatusSources): string[] {
  const degraded: string[] = [];
  if (clockWait.waiting && forwarders.length > 0) {
    degraded.push('the clock is not synchronised: sinks wait for it, see clock.wait_for_sync_max');
  } else if (log.boots.facts.state === 'unsynced') {
    degraded.push('the clock is not synchronised: times may be corrected later');
  }
  const { fullReason, whenFull } = log.status();
  if (fullReason !== null && whenFull.normal !== 'block') {
    degraded.push(`the log is full (${whenFull.normal}): ${fullReason}`);
  }
  for (const { id, state, detail } of forwarders.map((forwarder) => forwarder.status())) {
    if (state === 'halted') degraded.push(`sink ${id} is halted: ${detail ?? 'refused'}`);
  }
  return degraded;
}

/** What people have done that would look like a fault: it is none. */
export function notesOf({ forwarders }: Pick<StatusSources, 'forwarders'>): string[] {
  return forwarders.flatMap(({ id, operating: { paused } }) =>
    paused ? `sink ${id} is ${pauseText(paused)}` : [],
  );
}

export function statusOf(sources: StatusSources): Status {
  const { id, version, startedMs, clock, log, disk, broker, bridges, forwarders } = sources;
  const notReady = problemsOf(sources);
  const problems = [...notReady, ...degradedOf(sources)];
  const { facts } = log.boots;
  // the wall clock may have been put right since
  const startedWallMs = Math.round(clock.wallMs() - clock.monotonicMs() + startedMs);
  return {
    hub: { id, version, startedMs: startedWallMs, ready: notReady.length === 0, problems },
    inputs: {
      eventsPerSecond: sources.ingestRate.perSecond(),
      mqttClients: broker.clients,
      mqttClientsWaiting: broker.waitingClients,
      mqttListeners: broker.addresses,
      bridges: bridges.map((bridge) => bridge.status()),
    },
    log: log.status(),
    sinks: forwarders.map((forwarder) => forwarder.status()),
    clock: { ...facts, synced: facts.state === 'synced', waiting: sources.clockWait.waiting },
    disk: { freeBytes: disk.freeBytes, totalBytes: disk.totalBytes },
  };
}
