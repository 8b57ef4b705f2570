import type { Clock } from '../core/clock.ts';
import type { HubEvent } from '../core/event.ts';
import type { DurableLog } from '../log/durable-log.ts';
import type { Block } from '../log/log.ts';

type TimedLog = Pick<DurableLog, 'boots'>;

/**
 * Whether sinks wait for the clock to be synchronised: for a while after the start, where something
 * keeps time or the clock shows what cannot be. Not where nothing tells, as in a container.
 */
export class ClockWait {
  readonly #log: TimedLog;
  readonly #clock: Clock;
  readonly #endMs: number;

  /** `waitMaxMs` from now on; 0 does not wait. */
  constructor(log: TimedLog, clock: Clock, waitMaxMs: number) {
    this.#log = log;
    this.#clock = clock;
    this.#endMs = clock.monotonicMs() + waitMaxMs;
  }

  get waiting(): boolean {
    return this.#clock.monotonicMs() < this.#endMs && this.#log.boots.facts.state === 'unsynced';
  }
}

/** One sink's view of it: holds back what has no sure time yet, and mends what had none. */
export class ClockGate {
  readonly #log: TimedLog;
  readonly #wait: ClockWait;
  #holding = false;
  #corrections: number;

  constructor(log: TimedLog, wait: ClockWait) {
    this.#log = log;
    this.#wait = wait;
    this.#corrections = log.boots.corrections;
  }

  /** Whether the events of `block` have to wait, of every lane alike. */
  readonly holds = (block: Block): boolean => {
    this.#holding = this.#wait.waiting && this.#log.boots.isProvisional(block.eventAt(0));
    return this.#holding;
  };

  /** What the sink waits for, for people. */
  get detail(): string | undefined {
    return this.#holding && this.#wait.waiting ? 'waits for the clock' : undefined;
  }

  /** Whether times have become known since the last call of `corrected`. */
  get outdated(): boolean {
    return this.#corrections !== this.#log.boots.corrections;
  }

  /** What mends times that have become known since the last call; undefined when none have. */
  corrected(): ((event: HubEvent) => HubEvent) | undefined {
    const { boots } = this.#log;
    if (this.#corrections === boots.corrections) return undefined;
    this.#corrections = boots.corrections;
    return (event) => boots.retimed(event);
  }
}
