/**
 * The entries of the `boots` table, and the times that they give: see boots.ts for what they are,
 * and boot-times.ts for how times are found. What only reads (an export) needs no more than this.
 */
import { HubError } from '../../core/errors.ts';
import type { ArrivalQuality, HubEvent } from '../../core/event.ts';
import type { BlockHeader } from '../block/block-format.ts';
import { BOOT_RANGE, bootIdOfKey, bootKey } from '../keys.ts';
import { openRecord, sealRecord } from '../record.ts';
import type { Storage, WriteOperation } from '../storage/storage.ts';
import { type BootRecord, type BootTimes, type ClockPoint, resolveBoots } from './boot-times.ts';

/** What an event's time is, and how far it can be trusted. */
export interface EventTime {
  readonly receivedMs: number;
  readonly timeQuality: ArrivalQuality;
}

export type Arrival = Pick<HubEvent, 'bootId' | 'monotonicMs'>;
/** What the header of a block says about its time. */
export type BlockStamps = Pick<
  BlockHeader,
  'bootId' | 'firstMonotonicMs' | 'firstReceivedMs' | 'lastReceivedMs' | 'clockSynced'
>;
type StoredBoot = readonly [
  number: number,
  firstMonotonicMs: number,
  lastMonotonicMs: number,
  points: readonly (readonly [monotonicMs: number, offsetMs: number, sure: 0 | 1])[],
];

/** A boot while it is written to. */
export interface OpenBoot extends BootRecord {
  lastMonotonicMs: number;
  points: readonly ClockPoint[];
}

/** Reads the entries. What is damaged is as if it were not there: those boots are unknown. */
export async function readBoots(storage: Pick<Storage, 'entries'>): Promise<OpenBoot[]> {
  const records: OpenBoot[] = [];
  try {
    for await (const [key, value] of storage.entries(BOOT_RANGE)) {
      const stored = openRecord<StoredBoot>(value);
      if (stored) records.push(opened(bootIdOfKey(key), stored));
    }
  } catch (error) {
    if (!(error instanceof HubError) || error.code !== 'LOG_CORRUPT') throw error;
  }
  return records.sort((a, b) => a.number - b.number);
}

/** The write that keeps an entry. */
export function bootOperation(record: BootRecord): WriteOperation {
  return { type: 'put', key: bootKey(record.id), value: sealRecord(stored(record)) };
}

export class BootTable {
  /** Ascending by number. Whoever changes one says so with `relearn`. */
  protected readonly records: OpenBoot[];
  #resolved: ReadonlyMap<string, BootTimes> | undefined;

  constructor(records: OpenBoot[]) {
    this.records = records;
  }

  /** The time of an event that was stamped with `stampedMs`, `synced` or not. */
  timeOf({ bootId, monotonicMs }: Arrival, stampedMs: number, synced: boolean): EventTime {
    const times = this.timesOf(bootId);
    const unsyncedQuality = times?.sure ? 'corrected' : 'estimated';
    return {
      receivedMs: times?.at(monotonicMs) ?? stampedMs,
      timeQuality: synced ? 'synced' : unsyncedQuality,
    };
  }

  firstMs({ bootId, firstMonotonicMs, firstReceivedMs, clockSynced }: BlockStamps): number {
    const arrival = { bootId, monotonicMs: firstMonotonicMs };
    return this.timeOf(arrival, firstReceivedMs, clockSynced).receivedMs;
  }

  lastMs(header: BlockStamps): number {
    const { bootId, lastReceivedMs, clockSynced } = header;
    const arrival = { bootId, monotonicMs: lastMonotonicMsOf(header) };
    return this.timeOf(arrival, lastReceivedMs, clockSynced).receivedMs;
  }

  protected timesOf(bootId: string): BootTimes | undefined {
    this.#resolved ??= resolveBoots(this.records);
    return this.#resolved.get(bootId);
  }

  protected relearn(): void {
    this.#resolved = undefined;
  }
}

/** When the last event of a block came. */
export function lastMonotonicMsOf(header: BlockStamps): number {
  return header.firstMonotonicMs + header.lastReceivedMs - header.firstReceivedMs;
}

function opened(id: string, [number, first, last, points]: StoredBoot): OpenBoot {
  return {
    id,
    number,
    firstMonotonicMs: first,
    lastMonotonicMs: last,
    points: points.map(([monotonicMs, offsetMs, sure]) => ({
      monotonicMs,
      offsetMs,
      sure: sure === 1,
    })),
  };
}

function stored(record: BootRecord): StoredBoot {
  const points = record.points.map(
    ({ monotonicMs, offsetMs, sure }) => [monotonicMs, offsetMs, sure ? 1 : 0] as const,
  );
  return [record.number, record.firstMonotonicMs, record.lastMonotonicMs, points];
}
