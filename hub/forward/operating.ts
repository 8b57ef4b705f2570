/**
 * What people tell one sink while it runs: pause, resume, skip.
 *
 * Invariants:
 * - one instruction at a time is carried out, in the order in which they came;
 * - what changes the sink is done between deliveries, never during one: a delivery under way may
 *   end for a while, then it is aborted, and what the far side said by then has been settled;
 * - an instruction is answered when it is durable, together with the event that tells of it.
 */
import type { Clock } from '../core/clock.ts';
import { HubError } from '../core/errors.ts';
import type { Actor, SkippedLane } from '../core/operation.ts';
import type { Recorder } from './operations.ts';
import { loadPause, type Pause, pauseOperation } from './pause.ts';
import { Skipper, type SkipperOptions, type SkipTarget } from './skipper.ts';

/** A delivery that ends by itself within this time need not be sent again. */
const GRACE_MS = 2_000;
/** Whoever asked waits so long for the sink to let go: it has half of that, see GuardedSink. */
const PATIENCE_MS = 10_000;
/** People do not queue: this is a program that has gone wrong. */
const WAITING_MAX = 16;

/** The forwarder, as far as instructions concern it. */
export interface Operated extends SkipperOptions {
  readonly clock: Clock;
  /** Whether a delivery is under way, which deserves to end by itself. */
  sending(): boolean;
  /** Looks up from whatever it waits for. */
  wake(): void;
  /** `again`: connects at once when it waits for another try. */
  step(input: 'pause' | 'resume' | 'again'): void;
  /** Nothing that was read counts any more. */
  forget(): void;
}

/** Work for between two deliveries. Given up: whoever asked has been told that it is not done. */
interface Interlude {
  readonly work: () => Promise<void>;
  readonly refuse: (error: HubError) => void;
  state: 'waiting' | 'begun' | 'given up';
}

export class Operating {
  readonly #operated: Operated;
  readonly #skipper: Skipper;
  #pause: Pause | undefined;
  #interludes: Interlude[] = [];
  #waiting = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #cease = new AbortController();
  #closed = false;
  /** Thrown by what is under way when it is interrupted: no failure of the far side. */
  readonly #reason = new HubError('SINK_DISCONNECTED', 'interrupted by an instruction');

  constructor(operated: Operated) {
    this.#operated = operated;
    this.#skipper = new Skipper(operated);
  }

  /** Before the first delivery: a sink that was paused stays so. */
  async load(): Promise<void> {
    const { log, sink, step } = this.#operated;
    this.#pause = await loadPause(log, sink);
    if (this.#pause) step('pause');
  }

  /** Aborts when what is under way must end, for an instruction or for good. */
  get signal(): AbortSignal {
    return this.#cease.signal;
  }

  get paused(): Pause | undefined {
    return this.#pause;
  }

  /** Whether `error` is only the echo of an instruction. */
  interrupts(error: unknown): boolean {
    return error === this.#reason && !this.#closed;
  }

  /** Whether somebody waits for what is under way to end. */
  get asked(): boolean {
    return this.#interludes.length > 0 || this.#cease.signal.aborted;
  }

  /** Ends what is under way, for good. */
  close(reason: HubError): void {
    this.#closed = true;
    for (const { refuse } of this.#interludes.splice(0)) refuse(reason);
    this.#cease.abort(reason);
  }

  /** Does what was told; for the forwarder, whenever nothing is on its way. */
  async carryOut(): Promise<void> {
    if (this.#closed || (this.#interludes.length === 0 && !this.#cease.signal.aborted)) return;
    for (let next = this.#interludes.shift(); next; next = this.#interludes.shift()) {
      if (next.state === 'waiting') await next.work();
    }
    if (!this.#closed) this.#cease = new AbortController();
  }

  /** While it is paused. Ends with the next instruction. */
  async idle(): Promise<void> {
    const { signal } = this.#cease;
    if (signal.aborted || this.#interludes.length > 0) return;
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  /**
   * `busy`: what is under way does not end. Errors: those of a log that cannot be written;
   * LOG_CLOSED. Nothing to do is no error.
   */
  pause(by: Actor, record: Recorder): Promise<'done' | 'busy'> {
    return this.#inTurn(async () => {
      if (this.#pause) return 'done';
      const { log: _log, sink, clock, step, forget } = this.#operated;
      const pause: Pause = { sinceMs: clock.wallMs(), by };
      const done = await this.#between(async () => {
        this.#pause = pause;
        step('pause');
        forget();
      });
      if (done === 'busy') return done;
      try {
        await record({}, [pauseOperation(sink, pause)]);
        return 'done';
      } catch (error) {
        this.#goOn(); // it would not be paused after a restart: so it is not now
        throw error;
      }
    });
  }

  /** Connects at once. Errors and nothing to do: as for `pause`. */
  resume(record: Recorder): Promise<void> {
    return this.#inTurn(async () => {
      const pause = this.#pause;
      if (!pause) return;
      const { sink, clock } = this.#operated;
      const pausedMs = pause.sinceMs === undefined ? null : clock.wallMs() - pause.sinceMs;
      await record({ pausedMs }, [pauseOperation(sink, undefined)]);
      this.#goOn();
    });
  }

  /** Has the sink leave events out. `busy`: what is under way does not end. */
  skip(target: SkipTarget, details: object, record: Recorder): Promise<SkippedLane[] | 'busy'> {
    return this.#inTurn(async () => {
      const { step, forget } = this.#operated;
      const lanes = await this.#between(async () => {
        const skipped = await this.#skipper.skip(target);
        forget();
        step('again');
        return skipped;
      });
      if (lanes === 'busy' || lanes.length === 0) return lanes;
      const skippedEvents = lanes.reduce((sum, lane) => sum + lane.skippedEvents, 0);
      await record({ ...details, skippedEvents, lanes }, this.#skipper.operations(lanes));
      return lanes;
    });
  }

  #goOn(): void {
    this.#pause = undefined;
    this.#operated.step('resume');
    this.#interrupt();
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#closed) throw stopping();
    if (this.#waiting >= WAITING_MAX) {
      throw new HubError('LOG_FULL', 'too many instructions of this sink wait already');
    }
    this.#waiting++;
    const turn = this.#turn.then(work).finally(() => {
      this.#waiting--;
    });
    this.#turn = turn.catch(() => undefined); // whoever asked is told
    return await turn;
  }

  /** Has the forwarder do `work` when nothing is on its way; `busy` when that takes too long. */
  #between<Result>(work: () => Promise<Result>): Promise<Result | 'busy'> {
    if (this.#closed) return Promise.reject(stopping());
    return new Promise((resolve, reject) => {
      const interlude: Interlude = {
        state: 'waiting',
        work: () => {
          interlude.state = 'begun';
          done();
          return work().then(resolve, reject);
        },
        refuse: (error) => {
          done();
          reject(error);
        },
      };
      const patience = setTimeout(() => {
        interlude.state = 'given up';
        resolve('busy');
      }, PATIENCE_MS);
      const grace = setTimeout(() => this.#interrupt(), this.#operated.sending() ? GRACE_MS : 0);
      const done = () => {
        clearTimeout(patience);
        clearTimeout(grace);
      };
      this.#interludes.push(interlude);
      this.#operated.wake();
    });
  }

  #interrupt(): void {
    this.#cease.abort(this.#reason);
    this.#operated.wake();
  }
}

function stopping(): HubError {
  return new HubError('LOG_CLOSED', 'the hub is stopping');
}
