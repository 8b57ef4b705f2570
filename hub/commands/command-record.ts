import type { Command, CommandState } from '../core/command.ts';
import { HubError } from '../core/errors.ts';
import type { DurableLog } from '../log/durable-log.ts';
import { COMMAND_RANGE, commandKey } from '../log/keys.ts';
import { openRecord, sealRecord } from '../log/record.ts';
import type { WriteOperation } from '../log/storage/storage.ts';

/** What became of a command at one time: the payload of an event. */
export interface CommandFact {
  readonly command: string;
  readonly device: string;
  readonly name: string;
  readonly state: CommandState;
  readonly via: string;
  readonly actor: Command['actor'];
  /** ISO 8601, on the hub's clock as it was. */
  readonly time: string;
  /** What was to be sent, in the fact that it was accepted: text, or bytes in base64. */
  readonly data?: string;
  readonly data_base64?: string;
  readonly detail?: string;
  readonly answer?: string;
}

/**
 * A command as it is kept. What is sent is not: after a restart nothing is sent by itself, because
 * a pump that starts an hour late is worse than one that does not start.
 */
export interface CommandRecord extends Command {
  /** Counts up; the key. */
  readonly number: number;
  readonly idempotencyKey?: string | undefined;
  /** Tells whether another request with the same key is the same. */
  readonly fingerprint: string;
  /** Facts that found no room in the log yet. */
  readonly untold: readonly CommandFact[];
}

export function putOperation(record: CommandRecord): WriteOperation {
  return { type: 'put', key: commandKey(record.number), value: sealRecord(record) };
}

/** In the order of their numbers. A damaged one is forgotten. */
export async function loadCommands(log: Pick<DurableLog, 'entries'>): Promise<CommandRecord[]> {
  const records: CommandRecord[] = [];
  try {
    for await (const [, value] of log.entries(COMMAND_RANGE)) {
      const record = openRecord<CommandRecord>(value);
      if (record) records.push(record);
    }
  } catch (error) {
    // the rest cannot be read: forgotten too
    if (!(error instanceof HubError) || error.code !== 'LOG_CORRUPT') throw error;
  }
  return records;
}

/** As it is shown. */
export function commandOf(record: CommandRecord): Command {
  const { number, idempotencyKey, fingerprint, untold, ...command } = record;
  return command;
}
