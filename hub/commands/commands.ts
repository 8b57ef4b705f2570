/**
 * Commands to devices: to the bridge that owns the device, else over MQTT to `cmd/<device>/<name>`.
 *
 * Invariants:
 * - nobody is told `accepted` before the command is durable, and nothing is sent before that;
 * - a command is sent at most once: what a restart finds under way has failed;
 * - a bridge carries out one command at a time, in the order in which they were accepted;
 * - everything ends: by its time to live at the latest, measured on the monotonic clock. A Pi
 *   without a battery learns the time while it runs, and its wall clock jumps by days then.
 */

import { isUtf8 } from 'node:buffer';
import { createHash, randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock } from '../core/clock.ts';
import type {
  Command,
  CommandAnswer,
  CommandOutcome,
  CommandRequest,
  CommandTaker,
} from '../core/command.ts';
import { describeError } from '../core/errors.ts';
import type { Actor } from '../core/operation.ts';
import { type BookLog, CommandBook } from './command-book.ts';
import { type CommandFact, type CommandRecord, commandOf } from './command-record.ts';
import { type CommandBroker, MqttCommands } from './mqtt-commands.ts';

/** A device that takes a command a second is behind by a quarter of a minute then. */
const WAITING_PER_TARGET_MAX = 16;
/** Shown at once; the rest is in the events. */
const LISTED_MAX = 100;
/** What a device has to say to a command; it is kept in memory with the command. */
const ANSWER_CHARACTERS_MAX = 2_048;
const DETAIL_CHARACTERS_MAX = 500;
const TOO_LATE = 'its turn did not come in time';
const NOT_SENT = 'the hub was stopped before it was sent';
const UNDER_WAY = 'the hub stopped while it was under way: whether the device has it is not known';

/** How often at most the end of a time to live is looked for, also of one that is slow to end. */
const EXPIRY_CHECK_MS = 20;

/** A bridge that takes commands. */
export interface CommandTarget {
  readonly id: string;
  readonly taker: CommandTaker;
  /** Why its hardware cannot be reached; undefined when it can. */
  problem(): string | undefined;
}

export interface CommandsOptions {
  readonly log: BookLog;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly targets: readonly CommandTarget[];
  readonly broker: CommandBroker;
  /** Whether anything has come from `device`. */
  knows(device: string): boolean;
  /** How many ended ones are kept; default 1,000. */
  readonly keptMax?: number;
}

interface Waiting {
  readonly id: string;
  readonly payload: Buffer;
}

interface Queue {
  readonly target: CommandTarget;
  readonly waiting: Waiting[];
  running: Promise<void> | undefined;
}

export class Commands {
  readonly #options: CommandsOptions;
  readonly #book: CommandBook;
  readonly #queues: readonly Queue[];
  readonly #mqtt: MqttCommands;
  readonly #stop = new AbortController();
  /** First writes under way, so that a repeated request waits for the same one. */
  readonly #accepting = new Map<string, Promise<void>>();
  /** When the time to live of each open command is over, in ms of the monotonic clock. */
  readonly #deadlines = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #state: 'idle' | 'working' = 'idle';

  constructor(options: CommandsOptions) {
    this.#options = options;
    this.#book = new CommandBook(options.log, options.keptMax);
    this.#queues = options.targets.map((target) => ({ target, waiting: [], running: undefined }));
    this.#mqtt = new MqttCommands(options.broker, {
      sent: (id) => this.#change(id, { state: 'sent', sentMs: this.#nowMs() }),
      ended: (id, outcome) => this.#end(id, outcome),
      unanswered: (id) => this.#unanswered(id),
    });
  }

  /** Reads what there is. Errors: those of the storage. */
  async load(): Promise<void> {
    await this.#book.load();
  }

  /** Takes commands from now on: the broker and the bridges work. Goes on after a restart. */
  start(): void {
    this.#state = 'working';
    for (const record of [...this.#book.all()]) {
      if (record.endedMs !== null) continue;
      this.#deadlines.set(
        record.id,
        this.#monotonicMs() + leftAfterRestartMs(record, this.#nowMs()),
      );
      if (record.state === 'sent' && record.via === 'mqtt') this.#mqtt.await(record);
      else void this.#end(record.id, { state: 'failed', detail: UNDER_WAY });
    }
    this.#watchTime();
  }

  /** Nothing is sent any more; what is under way has ended when it resolves. */
  async stop(): Promise<void> {
    this.#state = 'idle';
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.#mqtt.close();
    const unsent = this.#queues.flatMap(({ waiting }) => waiting.splice(0));
    await Promise.all(unsent.map(({ id }) => this.#end(id, { state: 'failed', detail: NOT_SENT })));
    await Promise.all(this.#queues.map(({ running }) => running));
    this.#book.close();
  }

  get(device: string, id: string): Command | undefined {
    const record = this.#book.get(id);
    return record?.device === device ? commandOf(record) : undefined;
  }

  /** The newest first. */
  list(device: string): readonly Command[] {
    const own = [...this.#book.all()].filter((record) => record.device === device);
    return own.slice(-LISTED_MAX).reverse().map(commandOf);
  }

  /** Resolves when the command is durable. Errors: those of a log that cannot be written. */
  async give(request: CommandRequest, actor: Actor): Promise<CommandAnswer> {
    if (this.#state === 'idle') return { kind: 'not_ready' };
    const known = this.#sameKey(request);
    if (known) return await this.#repeated(known, fingerprintOf(request));
    const { device } = request;
    const queue = this.#queueOf(device);
    if (queue === 'unknown') return { kind: 'not_ready' };
    if (!queue && !this.#options.knows(device)) return { kind: 'no_device' };
    const detail = queue?.target.problem();
    if (queue && detail !== undefined)
      return { kind: 'bridge_down', bridge: queue.target.id, detail };
    const via = queue ? `bridge:${queue.target.id}` : 'mqtt';
    const waiting = this.#waitingFor(via, device);
    if (waiting >= WAITING_PER_TARGET_MAX) return { kind: 'too_many', waiting };
    const record = this.#recordOf(request, actor, via);
    this.#deadlines.set(record.id, this.#monotonicMs() + request.ttlMs);
    const accepting = this.#book.save(record, this.#factOf(record, request.payload));
    this.#accepting.set(record.id, accepting);
    try {
      await accepting;
    } catch (error) {
      this.#deadlines.delete(record.id);
      throw error;
    } finally {
      this.#accepting.delete(record.id);
    }
    this.#options.logger.info(
      { command: record.id, device, name: record.name, via, actor },
      'command',
    );
    const order = { id: record.id, device, name: record.name, payload: request.payload };
    if (this.#stop.signal.aborted)
      await this.#end(record.id, { state: 'failed', detail: NOT_SENT });
    else if (this.#leftMs(record.id) === 0) await this.#expired(record.id);
    else if (queue) this.#enqueue(queue, order);
    else this.#mqtt.send(order, record).catch((error) => this.#failed(record.id, error));
    this.#watchTime();
    const unsent = this.#book.get(record.id);
    const shown = unsent?.state === 'failed' || unsent?.state === 'expired' ? unsent : record;
    return { kind: 'command', command: commandOf(shown), repeated: false };
  }

  /** Of which bridge the device is; undefined: of none. */
  #queueOf(device: string): Queue | 'unknown' | undefined {
    let isSure = true;
    for (const queue of this.#queues) {
      const owns = queue.target.taker.owns(device, queue.target.id);
      if (owns === true) return queue;
      isSure &&= owns === false;
    }
    return isSure ? undefined : 'unknown';
  }

  #sameKey({ device, idempotencyKey }: CommandRequest): CommandRecord | undefined {
    if (idempotencyKey === undefined) return undefined;
    for (const record of this.#book.all())
      if (record.idempotencyKey === idempotencyKey && record.device === device) return record;
    return undefined;
  }

  async #repeated({ id, fingerprint }: CommandRecord, wanted: string): Promise<CommandAnswer> {
    if (fingerprint !== wanted) return { kind: 'key_reused', id };
    await this.#accepting.get(id);
    const record = this.#book.get(id);
    return record
      ? { kind: 'command', command: commandOf(record), repeated: true }
      : { kind: 'no_device' };
  }

  /** Not sent yet; over MQTT each device is a target of its own. */
  #waitingFor(via: string, device: string): number {
    let waiting = 0;
    for (const record of this.#book.all()) {
      if (record.endedMs !== null || record.state !== 'accepted' || record.via !== via) continue;
      if (via !== 'mqtt' || record.device === device) waiting++;
    }
    return waiting;
  }

  #recordOf(request: CommandRequest, actor: Actor, via: string): CommandRecord {
    const { device, name, ttlMs, idempotencyKey } = request;
    const acceptedMs = this.#nowMs();
    return {
      id: randomUUID(),
      ...{ device, name, state: 'accepted', via, actor, acceptedMs },
      expiresMs: acceptedMs + ttlMs,
      sentMs: null,
      endedMs: null,
      number: this.#book.nextNumber(),
      ...(idempotencyKey !== undefined && { idempotencyKey }),
      fingerprint: fingerprintOf(request),
      untold: [],
    };
  }

  #factOf(record: CommandRecord, payload?: Buffer): CommandFact {
    const { id: command, device, name, state, via, actor, detail, answer } = record;
    const time = new Date(this.#nowMs()).toISOString();
    const data = payload && payload.length > 0 ? dataOf(payload) : {};
    const more = {
      ...(detail !== undefined && { detail }),
      ...(answer !== undefined && { answer }),
    };
    return { command, device, name, state, via, actor, time, ...data, ...more };
  }

  #enqueue(queue: Queue, waiting: Waiting): void {
    queue.waiting.push(waiting);
    queue.running ??= this.#work(queue).finally(() => {
      queue.running = undefined;
    });
  }

  async #work(queue: Queue): Promise<void> {
    for (let next = queue.waiting.shift(); next; next = queue.waiting.shift()) {
      const { id } = next;
      await this.#carryOut(queue, next).catch((error) => this.#failed(id, error));
    }
  }

  async #carryOut({ target }: Queue, { id, payload }: Waiting): Promise<void> {
    const record = this.#book.get(id);
    if (!record || record.endedMs !== null) return;
    if (this.#leftMs(id) === 0) return await this.#expired(id);
    const { device, name } = record;
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), this.#leftMs(id));
    timer.unref();
    const signal = AbortSignal.any([over.signal, this.#stop.signal]);
    try {
      const sent = () => this.#sent(id);
      const outcome = await target.taker.carryOut({ id, device, name, payload }, sent, signal);
      if (outcome.state !== 'failed') await this.#end(id, outcome);
      else if (this.#stop.signal.aborted) await this.#end(id, { ...outcome, detail: UNDER_WAY });
      else await this.#end(id, over.signal.aborted ? { ...outcome, state: 'expired' } : outcome);
    } finally {
      clearTimeout(timer);
    }
  }

  /** It is on its way, and an answer is waited for: worth knowing, and no end. */
  #sent(id: string): void {
    const record = this.#book.get(id);
    if (record && record.state === 'accepted')
      this.#book.note({ ...record, state: 'sent', sentMs: this.#nowMs() });
  }

  /** Nobody answered, and nobody had to. */
  #unanswered(id: string): void {
    const record = this.#book.get(id);
    if (record?.endedMs !== null) return;
    this.#deadlines.delete(id);
    this.#book.note({ ...record, endedMs: this.#nowMs() });
  }

  async #failed(id: string, error: unknown): Promise<void> {
    await this.#end(id, { state: 'failed', detail: describeError(error) });
  }

  async #end(id: string, outcome: Ended): Promise<void> {
    const record = this.#book.get(id);
    if (!record || record.endedMs !== null) return;
    this.#deadlines.delete(id);
    const nowMs = this.#nowMs();
    const answer = 'answer' in outcome ? outcome.answer : undefined;
    await this.#change(id, {
      state: outcome.state,
      sentMs: record.sentMs ?? (outcome.state === 'sent' ? nowMs : null),
      endedMs: nowMs,
      ...('detail' in outcome && { detail: outcome.detail.slice(0, DETAIL_CHARACTERS_MAX) }),
      ...(answer && { answer: answer.toString().slice(0, ANSWER_CHARACTERS_MAX) }),
    });
  }

  /** A change that is a fact of its own. A log that cannot take it is closing. */
  async #change(id: string, change: Partial<CommandRecord>): Promise<void> {
    const record = this.#book.get(id);
    if (!record) return;
    const changed = { ...record, ...change };
    try {
      await this.#book.save(changed, this.#factOf(changed));
    } catch (error) {
      const { logger } = this.#options;
      logger.warn({ command: id, error: describeError(error) }, 'the end of a command is not kept');
    }
  }

  /** Ends what waits for longer than it may. */
  #watchTime(): void {
    clearTimeout(this.#timer);
    if (this.#stop.signal.aborted) return;
    const nextMs = Math.min(...this.#deadlines.values());
    if (nextMs === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.max(EXPIRY_CHECK_MS, nextMs - this.#monotonicMs());
    this.#timer = setTimeout(() => this.#expire(), delayMs);
    this.#timer.unref();
  }

  #expire(): void {
    for (const id of [...this.#deadlines.keys()]) {
      const record = this.#book.get(id);
      if (!record || this.#leftMs(id) > 0) continue;
      if (record.via === 'mqtt' && record.state === 'sent') {
        this.#mqtt.forget(record.id);
        this.#unanswered(record.id);
        continue;
      }
      const queue = this.#queues.find(({ waiting }) => waiting.some(({ id }) => id === record.id));
      if (!queue) continue; // it is being carried out, and ends by itself
      queue.waiting.splice(
        queue.waiting.findIndex(({ id }) => id === record.id),
        1,
      );
      void this.#expired(record.id);
    }
    this.#watchTime();
  }

  async #expired(id: string): Promise<void> {
    await this.#end(id, { state: 'expired', detail: TOO_LATE });
  }

  #leftMs(id: string): number {
    return Math.max(0, (this.#deadlines.get(id) ?? 0) - this.#monotonicMs());
  }

  #monotonicMs(): number {
    return this.#options.clock.monotonicMs();
  }

  #nowMs(): number {
    return this.#options.clock.wallMs();
  }
}

type Ended = CommandOutcome | { readonly state: 'expired'; readonly detail: string };

/** No more than it had at first, however the wall clock was put meanwhile. */
function leftAfterRestartMs({ acceptedMs, expiresMs }: CommandRecord, nowMs: number): number {
  return Math.min(expiresMs - acceptedMs, expiresMs - nowMs);
}

function fingerprintOf({ name, payload, ttlMs }: CommandRequest): string {
  return createHash('sha256').update(`${name}\0${ttlMs}\0`).update(payload).digest('base64url');
}

function dataOf(payload: Buffer): Pick<CommandFact, 'data' | 'data_base64'> {
  if (isUtf8(payload)) return { data: payload.toString() };
  return { data_base64: payload.toString('base64') };
}
