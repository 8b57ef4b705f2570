/**
 * One slave on the line. Invariants:
 * - on a line whose answers carry no number (RTU), after a request that was not answered in time
 *   nothing the slave says is believed until it has answered a question that only it can be the
 *   answer to: a diagnostic echo with a random number, or, where a slave ignores that, a read whose
 *   answer is thrown away, with silence after it;
 * - a write is sent once. When its answer is missing nobody knows whether it was carried out, and
 *   the command says so.
 * All methods are called within a turn.
 */
import type { Logger } from 'pino';
import type { Clock } from '../../hub/core/clock.ts';
import { HubError } from '../../hub/core/errors.ts';
import { type SourceGap, SourceHealth } from '../sampling/source-health.ts';
import type { Answer, ModbusClient } from './client.ts';
import { exceptionText, isGatewaySilence } from './exception.ts';
import type { SlaveFields } from './fields.ts';
import { type Read, type ReadLimits, splitRead } from './read-plan.ts';
import type { RegisterEntry } from './register-map.ts';
import { type Encoded, type Value, valuesOf } from './value.ts';
import type { Wire } from './wire.ts';

const NONCES = 0x1_0000;
const COIL_BYTES = 1;
const REGISTER_BYTES = 2;

/** What a read gave: values by metric, or nothing while the slave does not answer. */
export type ReadResult =
  | { readonly kind: 'values'; readonly values: readonly (readonly [string, Value])[] }
  /** It refused this read; others may be answered. `instead`: what to ask from now on. */
  | { readonly kind: 'refused'; readonly text: string; readonly instead: Read[] | undefined }
  | { readonly kind: 'failed' };

export type WriteResult =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly detail: string };

/** Nobody waits for the write any more, and it has not gone out. */
export const TIME_OVER: WriteResult = {
  kind: 'failed',
  detail: 'its time was over; nothing was written',
};

/** What a link is given with every line that was opened. */
export interface LinkLine {
  readonly wire: Wire;
  readonly client: ModbusClient;
}

export interface LinkParts {
  readonly slave: SlaveFields;
  readonly timeoutMs: number;
  /** The shortest time between two readings of it. */
  readonly intervalMs: number;
  readonly limits: ReadLimits;
  /** What the slave is asked to see whether it is there. */
  readonly proof: Read;
}

export interface LinkSurroundings {
  readonly clock: Clock;
  random(): number;
  readonly logger: Logger;
  /** Something came that could not be used. */
  garbled(): void;
}

export class SlaveLink {
  readonly unit: number;
  readonly device: string;
  readonly health: SourceHealth;
  readonly #parts: LinkParts;
  readonly #around: LinkSurroundings;
  #line: LinkLine | undefined;
  #inDoubt = false;
  #echo: 'unknown' | 'answers' | 'ignores' = 'unknown';
  #useSettle = false;
  #gap: SourceGap | undefined;

  constructor(parts: LinkParts, around: LinkSurroundings) {
    this.#parts = parts;
    this.#around = around;
    this.unit = parts.slave.unit;
    this.device = parts.slave.device;
    this.health = new SourceHealth(parts.timeoutMs);
  }

  /** The line is open from here on; on a new one nothing of before is still to come. */
  attach(line: LinkLine): void {
    this.#line = line;
    this.#inDoubt = line.wire.confusable && this.#inDoubt;
  }

  get attached(): boolean {
    return this.#line !== undefined;
  }

  detach(why: string): void {
    this.#line = undefined;
    this.health.wayLost(this.#now(), why);
  }

  /** Asks a slave that failed whether it is back. */
  async retry(): Promise<boolean> {
    const { wire, client } = this.#open();
    const { proof, timeoutMs } = this.#parts;
    const answer = wire.confusable
      ? await this.#proveItself(client)
      : await client.read(this.unit, proof.kind, proof.address, proof.length, timeoutMs);
    this.#note(answer);
    return this.health.state.is === 'answering';
  }

  /** The gap that has ended since the last call, if any. */
  takeGap(): SourceGap | undefined {
    const gap = this.#gap;
    this.#gap = undefined;
    return gap;
  }

  async read(read: Read): Promise<ReadResult> {
    const { client } = this.#open();
    const { timeoutMs } = this.#parts;
    const ask = () => client.read(this.unit, read.kind, read.address, read.length, timeoutMs);
    if (this.#inDoubt && (await this.#failsToProve(client))) return { kind: 'failed' };
    let answer = await ask();
    if (answer.kind === 'garbled') {
      this.#note(answer);
      if (this.#inDoubt && (await this.#failsToProve(client))) return { kind: 'failed' };
      answer = await ask();
    }
    this.#note(answer);
    if (answer.kind === 'value') return { kind: 'values', values: slices(read, answer.value) };
    if (answer.kind !== 'exception' || isGatewaySilence(answer.code)) return { kind: 'failed' };
    return this.#refused(read, answer.code);
  }

  /** Writes once; see above. Calls `sent` before it goes out; after the abort it does not. */
  async write(
    entry: RegisterEntry,
    value: Encoded & { ok: true },
    sent: () => void,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    if (signal.aborted) return TIME_OVER;
    const { client } = this.#open();
    const { slave, timeoutMs } = this.#parts;
    if (this.#inDoubt && (await this.#failsToProve(client)))
      return { kind: 'failed', detail: `${this.name} does not answer; nothing was written` };
    if (signal.aborted) return TIME_OVER;
    sent();
    const multiple = slave.write_with === 'multiple';
    const answer = await client.write(this.unit, entry.address, value, multiple, timeoutMs);
    this.#note(answer);
    if (answer.kind === 'value') return { kind: 'done' };
    if (answer.kind === 'exception')
      return { kind: 'failed', detail: `${this.#place(entry)}: ${exceptionText(answer.code)}` };
    const why = answer.kind === 'garbled' ? answer.detail : `no answer in ${timeoutMs} ms`;
    return this.unanswered(entry, why);
  }

  /** What is known of a write that has gone out. */
  unanswered(entry: RegisterEntry, why = 'no answer before its time was over'): WriteResult {
    const unknown = 'so it may have been written or not';
    return { kind: 'failed', detail: `${this.#place(entry)}: ${why}, ${unknown}` };
  }

  #place(entry: RegisterEntry): string {
    return `${this.name}, \`${entry.metric}\` at ${entry.kind} ${entry.address}`;
  }

  /** How a gap of it is told. */
  get identity(): { readonly device: string; readonly unit: number } {
    return { device: this.device, unit: this.unit };
  }

  get name(): string {
    return `${this.device} (unit ${this.unit})`;
  }

  #open(): LinkLine {
    if (this.#line === undefined)
      throw new HubError('BRIDGE_LOST', `${this.name}: the line is not open`);
    return this.#line;
  }

  #now(): number {
    return this.#around.clock.monotonicMs();
  }

  async #failsToProve(client: ModbusClient): Promise<boolean> {
    const answer = await this.#proveItself(client);
    if (answer.kind === 'value') return false;
    this.#note(answer);
    return true;
  }

  async #proveItself(client: ModbusClient): Promise<Answer<true>> {
    const { proof, timeoutMs } = this.#parts;
    const { kind, address, length } = proof;
    const settles = this.#echo === 'ignores' || (this.#useSettle && this.#echo === 'unknown');
    const answer = settles
      ? await client.settle(this.unit, kind, address, length, timeoutMs)
      : await client.echo(this.unit, Math.floor(this.#around.random() * NONCES), timeoutMs);
    // A slave that is away answers neither: which one it knows is learned when it is back.
    if (answer.kind !== 'value') this.#useSettle = !this.#useSettle;
    else {
      if (this.#echo === 'unknown') this.#echo = settles ? 'ignores' : 'answers';
      this.#inDoubt = false;
    }
    return answer;
  }

  /** Keeps the books of one answer. */
  #note(answer: Answer<unknown>): void {
    if (answer.kind === 'garbled') this.#around.garbled();
    const isThere =
      answer.kind === 'value' || (answer.kind === 'exception' && !isGatewaySilence(answer.code));
    if (isThere) {
      const gap = this.health.answered(this.#now());
      if (gap) this.#gapEnded(gap);
      return;
    }
    if (answer.kind !== 'exception') this.#inDoubt = this.#line?.wire.confusable ?? false;
    const wasSilent = this.health.silent;
    const why = this.#whyOf(answer);
    this.health.failed(this.#now(), why);
    if (!wasSilent && this.health.silent)
      this.#around.logger.warn({ device: this.device, unit: this.unit, why }, 'a slave is silent');
  }

  #gapEnded(gap: SourceGap): void {
    // many devices close an idle connection: when nothing was to be read meanwhile, none is missing
    if (gap.lengthMs < this.#parts.intervalMs) return;
    this.#gap = gap;
    const { device, unit } = this;
    this.#around.logger.info({ device, unit, ...gap }, 'a slave answers again');
  }

  #whyOf(answer: Answer<unknown>): string {
    const { timeoutMs } = this.#parts;
    if (answer.kind === 'exception') return exceptionText(answer.code);
    if (answer.kind === 'garbled') return answer.detail;
    return `no answer in ${timeoutMs} ms: check its power, wiring, unit id, or raise \`timeout\``;
  }

  #refused(read: Read, code: number): ReadResult {
    const { limits } = this.#parts;
    const last = read.length === 1 ? '' : ` to ${read.address + read.length - 1}`;
    const span = `${read.kind} ${read.address}${last}`;
    const text = `${span}: ${exceptionText(code)}`;
    const isAddress = code === 2 || code === 3;
    const instead = isAddress ? splitRead(read, limits) : undefined;
    const { device, unit } = this;
    if (instead)
      this.#around.logger.warn(
        { device, unit, refused: span, reads: instead.length },
        'a slave refuses a read across several registers, which are now read apart; `holes` saves this',
      );
    return { kind: 'refused', text, instead };
  }
}

/** The values of all entries in the bytes of their read. */
function slices(read: Read, bytes: Buffer): (readonly [string, Value])[] {
  const isCoil = read.kind === 'coil' || read.kind === 'discrete';
  const width = isCoil ? COIL_BYTES : REGISTER_BYTES;
  return read.entries.flatMap((entry) => {
    const start = (entry.address - read.address) * width;
    const own = bytes.subarray(start, start + entry.length * width);
    return isCoil ? [[entry.metric, own[0] === 1] as const] : valuesOf(entry, own);
  });
}
