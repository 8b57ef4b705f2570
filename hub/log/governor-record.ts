import { HubError } from '../core/errors.ts';
import { governorKey } from './keys.ts';
import { openRecord, sealRecord } from './record.ts';
import type { Entry, KeyRange, WriteOperation } from './storage/storage.ts';

/** What was sent in a day or a month, as it is kept. */
export interface PeriodRecord {
  /** When it began by the calendar, in ms since 1970; 0 when no calendar was known. */
  readonly startMs: number;
  readonly usedBytes: number;
  /** Time that is known to have passed in it. */
  readonly elapsedMs: number;
  /** Whether something that is not exempt was delivered in it. */
  readonly delivered: boolean;
}

/** What one sink has sent, by the profile it was sent under. */
export interface GovernorRecord {
  /** When it was written: monotonic times compare within one boot only. */
  readonly bootId: string;
  readonly monotonicMs: number;
  readonly profiles: Readonly<
    Record<string, { readonly day: PeriodRecord; readonly month: PeriodRecord }>
  >;
}

interface Entries {
  entries(range: KeyRange): AsyncIterable<Entry>;
}

/** Undefined when there is none, or it is damaged: counting begins anew. */
export async function loadGovernorRecord(
  log: Entries,
  sink: string,
): Promise<GovernorRecord | undefined> {
  const key = governorKey(sink);
  const range = { gte: key, lt: Buffer.concat([key, Buffer.from([0])]) };
  try {
    for await (const [, value] of log.entries(range)) return openRecord<GovernorRecord>(value);
  } catch (error) {
    if (!(error instanceof HubError) || error.code !== 'LOG_CORRUPT') throw error;
  }
  return undefined;
}

export function governorOperation(sink: string, record: GovernorRecord): WriteOperation {
  return { type: 'put', key: governorKey(sink), value: sealRecord(record) };
}
