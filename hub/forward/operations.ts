/**
 * Who did what: each operation of a sink becomes an event, in the write that makes it durable.
 *
 * Invariants:
 * - `record` resolves when the operation is durable; its event is in the same write;
 * - a log that takes no more events does not keep anybody from operating it: the event is then kept
 *   beside the log, durable with the operation, and appended when there is room again.
 */
import type { Logger } from 'pino';
import type { Clock } from '../core/clock.ts';
import type { HubError } from '../core/errors.ts';
import type { Lane, Message } from '../core/event.ts';
import {
  type Actor,
  OPERATION_TOPIC,
  type Operation,
  type OperationDetails,
  type OperationName,
} from '../core/operation.ts';
import type { DurableLog } from '../log/durable-log.ts';
import { metaKey } from '../log/keys.ts';
import { openRecord, sealRecord } from '../log/record.ts';
import type { WriteOperation } from '../log/storage/storage.ts';

/** Not thinned, not held up by a backlog, and with room of its own. */
const LANE: Lane = 'alarm';
/** Operations that wait for room: an afternoon of them. The log of the process has every one. */
const WAITING_MAX = 100;
const WAITING_KEY = metaKey('operations');

/** Who told which sink to do what. */
export interface Instruction {
  readonly operation: OperationName;
  readonly sink: string;
  readonly actor: Actor;
}

/** Writes what has been done together with the event that tells of it; resolves when durable. */
export type Recorder = (
  details: OperationDetails,
  writes: readonly WriteOperation[],
) => Promise<void>;

interface Waiting {
  readonly operations: readonly Operation[];
  /** There were more than are kept. */
  readonly left: number;
}

export interface OperationsOptions {
  readonly log: DurableLog;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Operations {
  readonly #options: OperationsOptions;
  #waiting: Waiting = { operations: [], left: 0 };
  #appending = false;
  #unsubscribe: (() => void) | undefined;

  constructor(options: OperationsOptions) {
    this.#options = options;
  }

  /** Goes on with what found no room before the restart. */
  async start(): Promise<void> {
    const { log } = this.#options;
    const range = { gte: WAITING_KEY, lt: metaKey('operations\0') };
    for await (const [, value] of log.entries(range)) {
      this.#waiting = openRecord<Waiting>(value) ?? this.#waiting;
    }
    this.#unsubscribe = log.onCommit(() => this.#appendWaiting());
    this.#appendWaiting();
  }

  stop(): void {
    this.#unsubscribe?.();
  }

  /** For whoever carries out an instruction. */
  recorder(instruction: Instruction): Recorder {
    return (details, writes) => this.record(instruction, details, writes);
  }

  /**
   * Makes `writes` durable, and that it was done. Errors: those of a log that cannot be written;
   * then neither is.
   */
  async record(
    { operation, sink, actor }: Instruction,
    details: OperationDetails,
    writes: readonly WriteOperation[],
  ): Promise<void> {
    const { log, clock, logger } = this.#options;
    const time = new Date(clock.wallMs()).toISOString();
    const done: Operation = { operation, sink, details, actor, time };
    if (log.mustWait(LANE)) await this.#keep(done, writes);
    else await written((end) => log.append(messageOf(done), LANE, end, writes));
    logger.info({ operation, sink, ...details, actor }, 'a sink was operated');
  }

  /** The event waits for room; what it tells of does not. */
  async #keep(operation: Operation, writes: readonly WriteOperation[]): Promise<void> {
    const { operations, left } = this.#waiting;
    const all = [...operations, operation];
    const kept = all.slice(-WAITING_MAX);
    this.#waiting = { operations: kept, left: left + all.length - kept.length };
    const { log } = this.#options;
    await written((end) => log.write([...writes, this.#waitingOperation()], end));
  }

  #appendWaiting(): void {
    const { log } = this.#options;
    const { operations, left } = this.#waiting;
    if (operations.length === 0 || this.#appending || log.mustWait(LANE)) return;
    this.#appending = true;
    this.#waiting = { operations: [], left: 0 };
    const forget = [this.#waitingOperation()];
    const last = operations.length - 1;
    operations.forEach((operation, index) => {
      const isLast = index === last;
      const told = isLast && left > 0 ? { ...operation, leftOutBefore: left } : operation;
      const end = (error?: HubError) => {
        if (isLast) this.#appending = false;
        if (error) this.#options.logger.warn({ operation }, 'an operation is in no event');
      };
      log.append(messageOf(told), LANE, end, isLast ? forget : undefined);
    });
  }

  #waitingOperation(): WriteOperation {
    if (this.#waiting.operations.length === 0) return { type: 'del', key: WAITING_KEY };
    return { type: 'put', key: WAITING_KEY, value: sealRecord(this.#waiting) };
  }
}

function messageOf(operation: Operation): Message {
  const payload = Buffer.from(JSON.stringify(operation));
  return { topic: OPERATION_TOPIC, payload, source: 'hub', kind: 'operation' };
}

function written(write: (end: (error?: HubError) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    write((error) => (error ? reject(error) : resolve()));
  });
}
