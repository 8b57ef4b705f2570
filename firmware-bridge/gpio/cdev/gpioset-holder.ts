/**
 * Holds one output by a gpioset. Debian builds it without its interactive mode, and a line has one
 * holder: to set it is to end one gpioset and to start the next. Between the two the line is free,
 * and its level is that before or that after: a change of one line has no third.
 */

import { HubError } from '../../../hub/core/errors.ts';
import type { Program, ProgramEnd } from '../../child/program.ts';
import type { Holder, HoldRequest } from '../backend.ts';
import { lost } from '../messages.ts';
import { isBanner } from './gpiod-output.ts';

const STOP_MS = 200;
/** A machine that swaps takes seconds to start a program. */
const START_MS_MAX = 5_000;

export interface GpiosetStarter {
  start(extra: readonly string[], active: boolean): Promise<Program>;
  /** Why it ended. */
  explain(end: ProgramEnd): Promise<HubError>;
}

/** `released`: by us. `idle`: between two programs, or lost. */
type State =
  | { readonly is: 'idle' }
  | { readonly is: 'holding'; readonly active: boolean; readonly program: Program }
  | { readonly is: 'pulsing'; readonly program: Program }
  | { readonly is: 'released' };

export class GpiosetHolder implements Holder {
  readonly ended: Promise<HubError>;
  #end: (why: HubError) => void = () => {};
  readonly #starter: GpiosetStarter;
  readonly #request: HoldRequest;
  #state: State = { is: 'idle' };
  /** The change that was asked for last. */
  #turn: Promise<void> = Promise.resolve();

  constructor(starter: GpiosetStarter, request: HoldRequest) {
    this.#starter = starter;
    this.#request = request;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  set(active: boolean): Promise<void> {
    return this.#next(() => this.#hold(active));
  }

  pulse(durationMs: number): Promise<void> {
    return this.#next(() => this.#pulse(durationMs));
  }

  async release(active: boolean | 'keep'): Promise<void> {
    await this.#next(async () => {
      const { is } = this.#state;
      const isThere = this.#state.is === 'holding' && this.#state.active === active;
      await this.#drop();
      this.#state = { is: 'released' };
      if (active === 'keep' || isThere || is === 'released') return;
      // a period of 0: set, and end
      const program = await this.#starter.start(['-t', '0'], active);
      await program.ended;
      await program.stop(STOP_MS);
    }).catch(() => {}); // the line is gone: nobody can set it any more
  }

  #next(change: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(change);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #hold(active: boolean): Promise<void> {
    const state = this.#state;
    if (state.is === 'released' || (state.is === 'holding' && state.active === active)) return;
    await this.#drop();
    const program = await this.#start([], active);
    this.#state = { is: 'holding', active, program };
    this.#watch(program);
  }

  async #pulse(durationMs: number): Promise<void> {
    if (this.#state.is === 'released') return;
    await this.#drop();
    // gpioset itself ends the pulse: on time, whatever keeps the hub busy
    const program = await this.#start(['-t', `${durationMs}ms,0`], true);
    this.#state = { is: 'pulsing', program };
    this.#watch(program);
  }

  /** Resolves when the line is set. */
  async #start(extra: readonly string[], active: boolean): Promise<Program> {
    try {
      const program = await this.#starter.start(extra, active);
      const timer = setTimeout(() => program.stop(STOP_MS), START_MS_MAX);
      try {
        for await (const { lines } of program.batches())
          if (lines.some((line) => isBanner(line.toString('latin1')))) return program;
      } finally {
        clearTimeout(timer);
      }
      await program.stop(STOP_MS);
      throw await this.#starter.explain(await program.ended);
    } catch (error) {
      this.#end(error instanceof HubError ? error : lost('the output cannot be set', error));
      throw error;
    }
  }

  async #drop(): Promise<void> {
    const state = this.#state;
    if (state.is !== 'holding' && state.is !== 'pulsing') return;
    this.#state = { is: 'idle' };
    await state.program.stop(STOP_MS);
  }

  #watch(program: Program): void {
    void program.ended.then(async (end) => {
      const state = this.#state;
      if (!('program' in state) || state.program !== program) return;
      this.#state = { is: 'idle' };
      const isOver = state.is === 'pulsing' && end.code === 0;
      if (!isOver) return this.#end(await this.#starter.explain(end));
      await this.set(false).then(this.#request.pulseEnded, () => {});
    });
  }
}
