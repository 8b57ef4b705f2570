import { statfs } from 'node:fs/promises';
import type { Clock } from './core/clock.ts';
import type { RateMeter } from './core/rate.ts';
import type { Status } from './core/status.ts';
import type { Forwarder } from './forward/forwarder.ts';
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
    const { bavail, blocks, bsize } = await statfs(this.#folder);
    this.freeBytes = bavail * bsize;
    this.totalBytes = blocks * bsize;
    return this.freeBytes;
  }
}

export interface StatusSources {
  readonly id: string;
  readonly version: string;
  readonly startedMs: number;
  readonly clock: Clock;
  readonly log: DurableLog;
  readonly disk: Disk;
  readonly broker: Broker;
  readonly bridges: readonly BridgeRunner[];
  readonly forwarders: readonly Forwarder[];
  readonly ingestRate: RateMeter;
  /** Whether everything has been started and nothing is being stopped. */
  serving(): boolean;
}

/** What is wrong, in the user's words; empty when all is well. */
export function problemsOf({ log, serving }: StatusSources): string[] {
  const problems: string[] = [];
  if (!serving()) problems.push('the hub is starting or stopping');
  if (log.problem) problems.push(log.problem);
  const { full, whenFull } = log.status();
  if (full && whenFull === 'block') problems.push('the log is full: publishers wait');
  if (full && whenFull !== 'block') problems.push(`the log is full: ${whenFull}`);
  return problems;
}

export function statusOf(sources: StatusSources): Status {
  const { id, version, startedMs, clock, log, disk, broker, bridges, forwarders } = sources;
  const problems = problemsOf(sources);
  return {
    hub: { id, version, startedMs, ready: problems.length === 0, problems },
    inputs: {
      eventsPerSecond: sources.ingestRate.perSecond(),
      mqttClients: broker.clients,
      mqttListeners: broker.addresses,
      bridges: bridges.map((bridge) => bridge.status()),
    },
    log: log.status(),
    sinks: forwarders.map((forwarder) => forwarder.status()),
    clock: { synced: clock.synced() },
    disk: { freeBytes: disk.freeBytes, totalBytes: disk.totalBytes },
  };
}
