import type { Clock } from '../../../hub/core/clock.ts';
import type { Holder } from '../backend.ts';
import type { OutputFields } from '../fields.ts';
import { lost } from '../messages.ts';
import type { LevelReader } from './level-reader.ts';

/** An output as commands see it. It outlives a run, so that a line that is back is as it was. */
export class Output {
  readonly fields: OutputFields;
  readonly #reader: LevelReader;
  readonly #clock: Clock;
  #active: boolean;
  #isPulsing = false;
  #holder: Holder | undefined;

  constructor(fields: OutputFields, reader: LevelReader, clock: Clock) {
    this.fields = fields;
    this.#reader = reader;
    this.#clock = clock;
    this.#active = fields.initial;
  }

  /** What it is to be when it is held again. */
  get wanted(): boolean {
    return this.#active;
  }

  /** What it is now. */
  get active(): boolean {
    return this.#active || this.#isPulsing;
  }

  attach(holder: Holder): void {
    this.#holder = holder;
  }

  detach(): void {
    this.#holder = undefined;
    this.#isPulsing = false;
  }

  /** Throws BRIDGE_LOST when it could not be set; it then comes back as it was before. */
  async set(active: boolean): Promise<void> {
    await this.#held().set(active);
    this.#is(active, false);
  }

  async pulse(durationMs: number): Promise<void> {
    await this.#held().pulse(durationMs);
    this.#is(false, true);
  }

  pulseEnded(): void {
    if (this.#isPulsing) this.#is(false, false);
  }

  #held(): Holder {
    if (this.#holder === undefined) throw lost('the line is not held by the hub now');
    return this.#holder;
  }

  #is(active: boolean, isPulsing: boolean): void {
    this.#active = active;
    this.#isPulsing = isPulsing;
    this.#reader.edge(this.active, this.#clock.monotonicMs());
    this.#reader.settled();
  }
}
