/**
 * The last commands, on stable storage.
 *
 * Invariants:
 * - a change is in one write with the event that tells of it; when the log has no room for the
 *   event, it is kept with the record and appended when there is room again;
 * - at most KEPT_MAX are kept; one that may still change is never forgotten.
 */
import { COMMAND_TOPIC } from '../core/command.ts';
import type { HubError } from '../core/errors.ts';
import type { Lane, Message } from '../core/event.ts';
import type { DurableLog } from '../log/durable-log.ts';
import { commandKey } from '../log/keys.ts';
import type { WriteOperation } from '../log/storage/storage.ts';
import {
  type CommandFact,
  type CommandRecord,
  loadCommands,
  putOperation,
} from './command-record.ts';

/** A day of a command a minute and more; with the longest answers 4 MiB. */
const KEPT_MAX = 1_000;
/** Not thinned, not held up by a backlog, and with room of its own. */
const LANE: Lane = 'alarm';

export type BookLog = Pick<
  DurableLog,
  'append' | 'write' | 'defer' | 'entries' | 'mustWait' | 'onCommit'
>;

export class CommandBook {
  readonly #log: BookLog;
  readonly #keptMax: number;
  readonly #byId = new Map<string, CommandRecord>();
  #lastNumber = 0;
  #telling = false;
  #unsubscribe: (() => void) | undefined;

  constructor(log: BookLog, keptMax = KEPT_MAX) {
    this.#log = log;
    this.#keptMax = keptMax;
  }

  async load(): Promise<void> {
    for (const record of await loadCommands(this.#log)) {
      this.#byId.set(record.id, record);
      this.#lastNumber = record.number;
    }
    this.#unsubscribe = this.#log.onCommit(() => this.#tellUntold());
  }

  close(): void {
    this.#unsubscribe?.();
  }

  /** The oldest first. */
  all(): IterableIterator<CommandRecord> {
    return this.#byId.values();
  }

  get(id: string): CommandRecord | undefined {
    return this.#byId.get(id);
  }

  nextNumber(): number {
    return ++this.#lastNumber;
  }

  /** Resolves when it is durable. Errors: those of a log that cannot be written. */
  save(record: CommandRecord, fact: CommandFact): Promise<void> {
    const isNew = !this.#byId.has(record.id);
    const log = this.#log;
    const forgotten = isNew ? this.#forgetOldest() : [];
    return new Promise((resolve, reject) => {
      const done = (error?: HubError) => {
        if (!error) return resolve();
        if (isNew) this.#byId.delete(record.id);
        reject(error);
      };
      const mustKeep = log.mustWait(LANE) || record.untold.length > 0;
      const kept = mustKeep ? { ...record, untold: [...record.untold, fact] } : record;
      this.#byId.set(record.id, kept);
      const operations = [...forgotten, putOperation(kept)];
      if (mustKeep) log.write(operations, done);
      else log.append(messageOf(fact), LANE, done, operations);
    });
  }

  /** A change that nobody has to hear of; written with the next commit. */
  note(record: CommandRecord): void {
    this.#byId.set(record.id, record);
    this.#log.defer([putOperation(record)]);
  }

  #forgetOldest(): WriteOperation[] {
    const operations: WriteOperation[] = [];
    for (const { id, number, endedMs, untold } of this.#byId.values()) {
      if (this.#byId.size < this.#keptMax) break;
      if (endedMs === null || untold.length > 0) continue;
      this.#byId.delete(id);
      operations.push({ type: 'del', key: commandKey(number) });
    }
    return operations;
  }

  #tellUntold(): void {
    if (this.#telling || this.#log.mustWait(LANE)) return;
    for (const record of this.#byId.values()) {
      const [fact, ...untold] = record.untold;
      if (!fact) continue;
      this.#telling = true;
      const told = { ...record, untold };
      this.#byId.set(record.id, told);
      const done = () => {
        this.#telling = false; // the commit of this one goes on with the next
      };
      this.#log.append(messageOf(fact), LANE, done, [putOperation(told)]);
      return;
    }
  }
}

function messageOf(fact: CommandFact): Message {
  const payload = Buffer.from(JSON.stringify(fact));
  return { topic: COMMAND_TOPIC, payload, source: 'hub', kind: 'command' };
}
