/**
 * A total of pulses.
 *
 * Invariants:
 * - the number of pulses only grows, and each pulse is added once, whether or not the log has room;
 * - the number that is remembered is the one in the message of the same write: after a power cut
 *   both are there or neither.
 */
import type { StateChange } from '../../../hub/core/bridge.ts';
import type { CounterFields } from '../fields.ts';
import { HandOver } from './hand-over.ts';
import type { KernelQuestion, LinePort, LineReader, Values } from './line-reader.ts';
import { LossCount } from './loss-count.ts';
import { beats, rounded } from './pulse-reader.ts';
import { PulseTally } from './pulse-tally.ts';
import { PulseTimer } from './pulse-timer.ts';

/** What the totals are remembered under begins with it. */
export const COUNT_PREFIX = 'n/';
const PER_SECONDS = { s: 1, min: 60, h: 3_600 } as const;
/** 1234.567, not 1234.5670000000002: a double holds 15 digits. */
const DIGITS = 15;

export class CounterReader implements LineReader {
  readonly #fields: CounterFields;
  readonly #key: string;
  readonly #timer = new PulseTimer();
  readonly #loss: LossCount;
  readonly #handOver = new HandOver();
  /** Of all watches before this one. */
  #before: number;
  #tally = new PulseTally(undefined);
  #kernel: KernelQuestion | undefined;
  /** The number that was handed over last. */
  #given: number;
  #isWatched = false;

  /** `remembered`: the pulses of before, as they were found under `countKey`. */
  constructor(fields: CounterFields, remembered: unknown) {
    this.#fields = fields;
    this.#key = countKey(fields);
    this.#loss = new LossCount(fields.edge);
    this.#before = isCount(remembered) ? remembered : 0;
    this.#given = this.#before;
  }

  get pulses(): number {
    return this.#before + this.#tally.total;
  }

  began(active: boolean, _atMs: number, kernel?: KernelQuestion): void {
    this.#before = this.pulses;
    this.#tally = new PulseTally(kernel?.first);
    this.#kernel = kernel;
    this.#loss.began(active, kernel !== undefined);
    this.#timer.forget();
    this.#isWatched = true;
  }

  edge(active: boolean, atMs: number): void {
    this.#tally.edge(atMs);
    this.#timer.pulse(atMs);
    this.#loss.edge(active, atMs);
  }

  broke(): void {
    this.#isWatched = false;
    this.#kernel = undefined;
  }

  settled(): void {}

  async run(port: LinePort, signal: AbortSignal): Promise<void> {
    for await (const nowMs of beats(this.#fields.interval, port, signal)) {
      await this.#askKernel();
      const loss = this.#loss.take();
      if (loss && !(await this.#handOver.give(() => port.tellLoss(loss), signal))) return;
      if (!this.#isWatched && this.#given === this.pulses) continue;
      if (!(await this.#handOver.give(() => this.#tell(port, nowMs), signal))) return;
    }
  }

  lastWords(): { values: Values; state: readonly StateChange[] } | undefined {
    if (this.#given === this.pulses) return undefined;
    return { values: this.#total(), state: this.#state() };
  }

  /** Edges that found no room in its queue are in its own count. */
  async #askKernel(): Promise<void> {
    const kernel = this.#kernel;
    const count = await kernel?.ask();
    // an answer that is late can have pulses in it that the next watch has counted
    if (count && kernel === this.#kernel) this.#tally.asked(count);
  }

  #tell(port: LinePort, nowMs: number): Promise<void> {
    // both are of this moment: nothing may come between them
    const values = { ...this.#total(), ...this.#rate(nowMs) };
    const state = this.#state();
    this.#given = this.pulses;
    return port.tell(values, nowMs, state);
  }

  #state(): readonly StateChange[] {
    return [{ key: this.#key, value: this.pulses }];
  }

  #total(): Values {
    const { metric, start, per_pulse } = this.#fields;
    const total = start + this.pulses * per_pulse;
    return { [metric]: Number(total.toPrecision(DIGITS)) };
  }

  #rate(nowMs: number): Values {
    const { rate, per_pulse } = this.#fields;
    if (rate === undefined || !this.#isWatched) return {};
    const pace = this.#timer.take(nowMs);
    if (pace.is === 'unknown') return {};
    const hz = pace.is === 'pulses' ? pace.hz : 0;
    return { [rate.metric]: rounded(hz * per_pulse * PER_SECONDS[rate.per] * rate.scale) };
  }
}

/** By its name, not by its line: a meter keeps its total when it is wired to another pin. */
export function countKey({ device, metric }: CounterFields): string {
  return `${COUNT_PREFIX}${device}/${metric}`;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
