/**
 * A bridge that somebody else has written, in a process of its own.
 *
 * Invariants:
 * - whatever the plugin does, `run` ends with a HubError BRIDGE_LOST that names its file and, where
 *   there is one, its line; or with the error of `accept`;
 * - its process has ended when `run` has, and each run has a new one;
 * - a message is acknowledged to the plugin when it is durable; it may have only so many under way.
 */
import {
  BAD_FRAME_REASONS,
  type BadFrameReason,
  type Bridge,
  type BridgeContext,
} from '../../hub/core/bridge.ts';
import { describeError, HubError } from '../../hub/core/errors.ts';
import { printable } from '../../hub/core/printable.ts';
import type { ProgramEnd } from '../child/program.ts';
import { RestartDelay } from '../child/restart-delay.ts';
import { describeFailure } from './failure.ts';
import { LineBudget } from './line-budget.ts';
import { PluginOrders } from './orders.ts';
import { type Patience, type PluginOptions, PluginProcess } from './plugin-process.ts';
import type { Failed, FromPlugin, LogLevel, Publish } from './protocol.ts';

const LINE_CHARACTERS_MAX = 500;

export class PluginBridge implements Bridge {
  readonly commands = new PluginOrders();
  readonly #options: PluginOptions;
  readonly #restartDelay = new RestartDelay();
  readonly #patience: Patience | undefined;

  /** `patience` is for tests, which have less. */
  constructor(options: PluginOptions, patience?: Patience) {
    this.#options = options;
    this.#patience = patience;
  }

  async run(context: BridgeContext, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { clock } = context;
    const startMs = clock.monotonicMs();
    const run = new PluginRun(this.#options, this.commands, context, this.#patience);
    try {
      await run.untilItEnds(signal);
    } catch (error) {
      if (!(error instanceof HubError) || error.code !== 'BRIDGE_LOST') throw error;
      const retryAfterMs = this.#restartDelay.next(clock.monotonicMs() - startMs, context.random());
      throw new HubError('BRIDGE_LOST', error.message, { cause: error.cause, retryAfterMs });
    } finally {
      this.commands.settle();
    }
  }
}

class PluginRun {
  readonly #options: PluginOptions;
  readonly #orders: PluginOrders;
  readonly #context: BridgeContext;
  readonly #budget: LineBudget;
  readonly #patience: Patience | undefined;
  #process: PluginProcess | undefined;
  #isConnected = false;
  #failed: Failed | undefined;
  #returned = false;
  #hasEnded = false;
  #refuse: (error: unknown) => void = () => {};

  constructor(
    options: PluginOptions,
    orders: PluginOrders,
    context: BridgeContext,
    patience: Patience | undefined,
  ) {
    this.#options = options;
    this.#patience = patience;
    this.#orders = orders;
    this.#context = context;
    this.#budget = new LineBudget(() => context.clock.monotonicMs());
  }

  /** Resolves with the abort. */
  async untilItEnds(signal: AbortSignal): Promise<void> {
    const refused = new Promise<never>((_, reject) => {
      this.#refuse = reject;
    });
    refused.catch(() => {}); // when nobody waits for it any more
    const events = {
      hear: (message: FromPlugin) => this.#hear(message),
      line: (text: string) => this.#log('info', text),
    };
    const { id } = this.#context;
    const child = await PluginProcess.start(id, 'run', this.#options, events, this.#patience);
    this.#process = child;
    let stop = () => {};
    const aborted = new Promise<undefined>((resolve) => {
      stop = () => resolve(undefined);
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
    });
    try {
      this.#orders.goTo((message) => child.send(message));
      const end = await Promise.race([child.ended, aborted, child.stuck, refused]);
      if (signal.aborted || end === undefined) return;
      throw new HubError('BRIDGE_LOST', this.#describe(end, child.hints));
    } finally {
      this.#hasEnded = true;
      signal.removeEventListener('abort', stop);
      this.#orders.goTo(undefined);
      await child.stop();
    }
  }

  #describe(end: ProgramEnd, hints: readonly string[]): string {
    const { file, heap_max } = this.#options;
    const [failed, returned] = [this.#failed, this.#returned];
    return describeFailure({ file, failed, returned, end, hints, heapBytesMax: heap_max });
  }

  #hear(message: FromPlugin): void {
    if (this.#hasEnded) return;
    const context = this.#context;
    this.#orders.hear(message);
    switch (message.is) {
      case 'publish':
        this.#connected();
        this.#publish(message).catch(this.#refuse);
        break;
      case 'load':
        this.#load(message.seq, message.prefix).catch(this.#refuse);
        break;
      case 'connected':
        this.#connected();
        break;
      case 'describe':
        context.describe(message.text && printable(message.text, LINE_CHARACTERS_MAX));
        break;
      case 'bad':
        if (isBadReason(message.reason) && Number.isSafeInteger(message.count) && message.count > 0)
          context.badFrames(message.reason, message.count);
        break;
      case 'log':
        this.#log(message.level, message.text);
        break;
      case 'returned':
        this.#returned = true;
        break;
      case 'failed':
        this.#failed = message;
        break;
      case 'loaded':
      case 'checked':
      case 'commands':
      case 'sent':
      case 'done':
      case 'refused':
      case 'pong':
        break;
    }
  }

  #connected(): void {
    if (this.#isConnected) return;
    this.#isConnected = true;
    this.#orders.settle();
    this.#context.connected();
  }

  async #publish({ seq, topic, payload, state }: Publish): Promise<void> {
    try {
      await this.#context.accept(
        { topic, payload: Buffer.from(payload) },
        state.map(([key, value]) => ({ key, value })),
      );
      this.#process?.send({ is: 'accepted', seq });
    } catch (error) {
      if (error instanceof HubError) throw error;
      // such as a state that is too large: its own defect, which it hears of at its own line
      this.#process?.send({ is: 'accepted', seq, error: describeError(error) });
    }
  }

  async #load(seq: number, prefix: string): Promise<void> {
    const entries = [...(await this.#context.loadState(prefix))];
    this.#process?.send({ is: 'state', seq, entries });
  }

  #log(level: LogLevel, text: string): void {
    const heldBack = this.#budget.take();
    if (heldBack === undefined) return;
    const fields = heldBack > 0 ? { heldBack } : {};
    const says = printable(text, LINE_CHARACTERS_MAX);
    this.#context.logger[level]({ says, ...fields }, 'the plugin says');
  }
}

function isBadReason(reason: string): reason is BadFrameReason {
  return BAD_FRAME_REASONS.some((known) => known === reason);
}
