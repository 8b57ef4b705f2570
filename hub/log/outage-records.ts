import { HubError } from '../core/errors.ts';
import type { HubEvent, Lane } from '../core/event.ts';
import type { OutageError } from '../core/status.ts';
import type { DurableLog } from './durable-log.ts';
import { numberOfKey, outageKey, outageRange } from './keys.ts';
import { openRecord, sealRecord } from './record.ts';
import type { WriteOperation } from './storage/storage.ts';

/** When something happened, by both clocks: the wall clock may be corrected later. */
export interface Moment extends Pick<HubEvent, 'bootId' | 'monotonicMs'> {
  readonly wallMs: number;
}

/** An outage as it is kept; see `Outage` in hub/core/status.ts for what is not said here. */
export interface OutageRecord {
  readonly id: number;
  readonly start: Moment;
  readonly end: Moment | null;
  /** Set when it ends. */
  readonly lengthMs: number;
  readonly interruptions: number;
  readonly tries: number;
  readonly hubStarts: number;
  readonly reboots: number;
  /** The boot in which it was last seen. */
  readonly bootId: string;
  readonly firstError: OutageError;
  readonly lastError: OutageError;
  readonly backlogAtStart: number;
  readonly backlogAtEnd: number | null;
  /** Offsets that have to be settled until what waited at the end is drained. */
  readonly drainTo: Readonly<Record<Lane, number>> | null;
  readonly drainedAfterMs: number | null;
  /** An event said that it began, and none yet that it ended. */
  readonly announced: boolean;
}

/** The outages of one sink in the log's storage. What cannot be written is history, not data. */
export class OutageRecords {
  readonly #log: Pick<DurableLog, 'entries' | 'write' | 'defer' | 'boots'>;
  readonly #sink: string;

  constructor(log: Pick<DurableLog, 'entries' | 'write' | 'defer' | 'boots'>, sink: string) {
    this.#log = log;
    this.#sink = sink;
  }

  /** In the order of their numbers. A damaged one is forgotten. */
  async load(): Promise<OutageRecord[]> {
    const records: OutageRecord[] = [];
    try {
      for await (const [key, value] of this.#log.entries(outageRange(this.#sink))) {
        const record = openRecord<OutageRecord>(value);
        if (record) records.push(record);
        else this.#log.defer([{ type: 'del', key: outageKey(this.#sink, numberOfKey(key)) }]);
      }
    } catch (error) {
      // the rest cannot be read: forgotten too
      if (!(error instanceof HubError) || error.code !== 'LOG_CORRUPT') throw error;
    }
    return records;
  }

  /** `now`: with an fsync of its own, else with the next commit. */
  put(record: OutageRecord, when: 'now' | 'soon'): void {
    const key = outageKey(this.#sink, record.id);
    const operation: WriteOperation = { type: 'put', key, value: sealRecord(record) };
    if (when === 'now') this.#log.write([operation], () => {});
    else this.#log.defer([operation]);
  }

  delete(id: number): void {
    this.#log.defer([{ type: 'del', key: outageKey(this.#sink, id) }]);
  }

  /** In ms since 1970, as far as is known now. */
  timeMs(moment: Moment): number {
    return Math.round(this.#log.boots.timeOf(moment, moment.wallMs, false).receivedMs);
  }

  /** How long ago it was, at least. */
  ageMs(moment: Moment): number {
    return Math.max(0, Math.round(this.#log.boots.ageMs(moment)));
  }
}
