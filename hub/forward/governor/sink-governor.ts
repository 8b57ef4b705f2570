import type { Lane } from '../../core/event.ts';
import type { GovernorStatus, SinkStatus } from '../../core/status.ts';
import type { GovernorRecord } from '../../log/governor-record.ts';
import type { Governor } from './governor.ts';
import type { Route } from './route.ts';

/** How fast what was measured replaces what was believed, from one request to the next. */
const LEARNING = 0.3;

/** The budget of a sink, and where its counts are kept. */
export interface SinkBudget {
  readonly governor: Governor;
  /** The way to the far side; absent when it makes no difference. */
  readonly route?: Route;
  /** Kept with the next write, within about a second. */
  save(record: GovernorRecord): void;
  /** Resolves when it is durable. */
  saveNow(record: GovernorRecord): Promise<void>;
}

export interface SinkGovernorOptions {
  /** Undefined: nothing is ever held back. */
  readonly budget: SinkBudget | undefined;
  readonly sink: {
    sizeOf(encoded: unknown): number | undefined;
    wireBytes(): number | undefined;
  };
  /** Wakes whoever waits for what is held back. */
  wake(): void;
}

/** What is to be sent at once. */
export interface Request {
  readonly lane: Lane;
  readonly encoded: unknown;
  readonly events: number;
  /** Counts when the sink does not weigh what it sends. */
  readonly payloadBytes: number;
}

/** `cut`: half of it may go. */
export type Admission =
  | { readonly admitted: true; done(delivered: number): void }
  | { readonly admitted: false; readonly cut: boolean };

const FREE: Admission = { admitted: true, done: () => {} };

/** Stands between the forwarder and the governor: weighs requests, and tells what they took. */
export class SinkGovernor {
  readonly #options: SinkGovernorOptions;
  /** Of `wireBytes`, what the governor has been told. */
  #toldBytes = 0;
  #underWay = 0;
  /** What a request takes beyond what `sizeOf` says: a handshake now and then, a long answer. */
  #overheadBytes = 0;
  /** What the last connecting took. */
  #connectBytes = 0;
  /** What could not go as it was, by lane. */
  readonly #asked = new Map<Lane, number>();
  #moved = false;

  constructor(options: SinkGovernorOptions) {
    this.#options = options;
    const route = options.budget?.route;
    if (route)
      route.changed = () => {
        this.#moved = true;
        options.wake();
      };
  }

  /**
   * Before anything is sent. From here on a little is counted in advance: a hub that is killed
   * again and again before it can write does not begin anew each time.
   */
  async start(): Promise<void> {
    const { budget } = this.#options;
    await budget?.route?.look();
    this.#moved = false;
    await budget?.saveNow(budget.governor.record({ ahead: true }));
  }

  /** Nothing is sent any more. */
  stop(): void {
    const { budget } = this.#options;
    this.#underWay = 0; // what was cut off had its bytes, too
    this.#account();
    budget?.save(budget.governor.record({ ahead: false }));
  }

  /** How long `lane` has to wait, in ms; 0 when it may be tried. */
  waitMs(lane: Lane, nowMs: number): number {
    const governor = this.#options.budget?.governor;
    if (!governor) return 0;
    this.#account();
    const hold = governor.hold(lane, this.#asked.get(lane) ?? 1, true);
    return hold ? Math.max(1, hold.untilMs - nowMs) : 0;
  }

  /** Whether connecting and looking after the far side has to wait, as it costs something. */
  get mayNotConnect(): boolean {
    this.#account();
    return this.#connectBytes > 0 && this.#connectHold() !== undefined;
  }

  /** The way to the far side is another one: connections that are open go the old one. */
  get moved(): boolean {
    return this.#moved;
  }

  /** What was sent just now was for connecting. */
  connected(): void {
    this.#moved = false;
    if (this.#underWay === 0) this.#connectBytes = this.#account();
  }

  /** The far side was not reached: the way to it may be another one. */
  failed(): void {
    this.#account();
    this.#options.budget?.route?.failed();
  }

  /** Asks whether a request may go. Who is admitted has to call `done`, also after a failure. */
  admit({ lane, encoded, events, payloadBytes }: Request): Admission {
    const { budget, sink } = this.#options;
    if (!budget) return FREE;
    this.#account();
    const weight = sink.sizeOf(encoded) ?? payloadBytes;
    const bytes = weight === 0 ? 0 : Math.ceil(weight + Math.max(0, this.#overheadBytes));
    if (budget.governor.hold(lane, bytes, events === 1)) {
      const cut = events > 1 && budget.governor.remainingBytes(lane) > 0;
      this.#asked.set(lane, cut ? 1 : bytes);
      return { admitted: false, cut };
    }
    this.#asked.delete(lane);
    const release = budget.governor.reserve(bytes);
    this.#underWay++;
    return {
      admitted: true,
      done: (delivered) => {
        release();
        this.#underWay = Math.max(0, this.#underWay - 1);
        const measured = sink.wireBytes() !== undefined;
        const took = measured ? this.#take() : weight;
        this.#tell(lane, took, delivered);
        if (measured && delivered > 0 && this.#underWay === 0)
          this.#overheadBytes += (took - weight - this.#overheadBytes) * LEARNING;
      },
    };
  }

  /** What is held back and why, for people; undefined when nothing is. */
  get detail(): string | undefined {
    return this.#status()?.held[0]?.detail;
  }

  /** Its part of the status of the sink. */
  part(): Pick<SinkStatus, 'governor' | 'wireBytes'> {
    const wireBytes = this.#options.sink.wireBytes();
    const governor = this.#status();
    return {
      ...(wireBytes === undefined ? {} : { wireBytes }),
      ...(governor === undefined ? {} : { governor }),
    };
  }

  #status(): GovernorStatus | undefined {
    this.#account();
    return this.#options.budget?.governor.status();
  }

  #connectHold() {
    return this.#options.budget?.governor.holdConnecting(this.#connectBytes);
  }

  /** Counts what went over the wire besides requests; answers how much that was. */
  #account(): number {
    if (this.#underWay > 0) return 0; // it is theirs, and reserved
    const bytes = this.#take();
    if (bytes > 0) this.#tell(undefined, bytes, 0);
    return bytes;
  }

  #take(): number {
    const total = this.#options.sink.wireBytes() ?? 0;
    const bytes = Math.max(0, total - this.#toldBytes);
    this.#toldBytes = total;
    return bytes;
  }

  #tell(lane: Lane | undefined, bytes: number, events: number): void {
    const { budget } = this.#options;
    if (!budget) return;
    budget.governor.sent(lane, bytes, events);
    budget.save(budget.governor.record({ ahead: true }));
  }
}
