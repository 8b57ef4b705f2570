import { type Actor, actorText } from '../core/operation.ts';
import type { DurableLog } from '../log/durable-log.ts';
import { pauseKey, pauseRange } from '../log/keys.ts';
import { openRecord, sealRecord } from '../log/record.ts';
import type { WriteOperation } from '../log/storage/storage.ts';

/** Who paused a sink, and when. Nothing is known of it when its record is damaged. */
export interface Pause {
  /** On the hub's wall clock, in ms since 1970. */
  readonly sinceMs?: number;
  readonly by?: Actor;
}

/**
 * Whether the sink is paused. One that is has a record, one that is not has none: so a record that
 * is damaged still says that nothing may be sent.
 */
export async function loadPause(log: DurableLog, sink: string): Promise<Pause | undefined> {
  for await (const [, value] of log.entries(pauseRange(sink))) {
    return openRecord<Pause>(value) ?? {};
  }
  return undefined;
}

/** The write after which the sink is paused, or no longer so. */
export function pauseOperation(sink: string, pause: Pause | undefined): WriteOperation {
  const key = pauseKey(sink);
  return pause ? { type: 'put', key, value: sealRecord(pause) } : { type: 'del', key };
}

/** For people. */
export function pauseText({ sinceMs, by }: Pause): string {
  const who = by ? ` by ${actorText(by)}` : '';
  return `paused${who}${sinceMs === undefined ? '' : ` at ${new Date(sinceMs).toISOString()}`}`;
}
