import type { Logger } from 'pino';
import { endsWithin } from '../core/ends-within.ts';
import { describeError, HubError } from '../core/errors.ts';
import type { Batch } from '../core/event.ts';
import type { Connection, Delivery, Sink } from '../core/sink.ts';
import type { FarSideLink } from './recovery.ts';

/** How long a sink may take to notice that it is asked to stop, and to say goodbye. */
export const LET_GO_MS = 2_000;
/** Far beyond every sink's own time limit: a sink that has forgotten it must not hang for ever. */
const CONNECT_TIMEOUT_MS = 60_000;

export interface GuardedSinkOptions {
  readonly sink: Sink;
  /** Makes another one like it. */
  reopen(): Promise<Sink>;
  /** How long one delivery may take altogether. */
  readonly deadlineMs: number;
  /** Cuts what is stuck in a link that was gone; undefined for a local sink. */
  readonly farSide: FarSideLink | undefined;
  readonly logger: Logger;
}

/**
 * A sink behind deadlines of our own. One that hangs, or fails in a way that no far side explains,
 * is left behind and made anew before the next connect: whatever it holds on to ends with it.
 */
export class GuardedSink {
  readonly #options: GuardedSinkOptions;
  #sink: Sink;
  /** Why the present one is not trusted any more. */
  #distrust: string | undefined;
  /** `wireBytes` of the sinks before it. */
  #leftBytes = 0;

  constructor(options: GuardedSinkOptions) {
    this.#options = options;
    this.#sink = options.sink;
  }

  async connect(signal: AbortSignal): Promise<Connection> {
    if (this.#distrust !== undefined) await this.#replace(this.#distrust);
    return await this.#judged(
      this.#guarded('connecting', CONNECT_TIMEOUT_MS, signal, (inner) => this.#sink.connect(inner)),
    );
  }

  async encode(batch: Batch): Promise<unknown> {
    const never = new AbortController().signal; // computing is not interrupted, only given up
    return await this.#guarded('encoding', this.#options.deadlineMs, never, () =>
      this.#sink.encode(batch),
    );
  }

  async send(encoded: unknown, signal: AbortSignal): Promise<Delivery> {
    const { deadlineMs } = this.#options;
    return await this.#judged(
      this.#guarded('a delivery', deadlineMs, signal, (inner) => this.#sink.send(encoded, inner)),
    );
  }

  /** See `Sink`. */
  sizeOf(encoded: unknown): number | undefined {
    return this.#sink.sizeOf?.(encoded);
  }

  /** See `Sink`; of those that were left behind, too. */
  wireBytes(): number | undefined {
    const bytes = this.#sink.wireBytes?.();
    return bytes === undefined ? undefined : this.#leftBytes + bytes;
  }

  /** The sink has done what no sink may do. */
  distrust(why: string): void {
    this.#distrust ??= why;
  }

  async close(): Promise<void> {
    await this.#close(this.#sink);
  }

  async #replace(why: string): Promise<void> {
    this.#options.logger.warn({ why }, 'the sink is closed and made anew');
    const old = this.#sink;
    this.#sink = await this.#options.reopen();
    this.#leftBytes += old.wireBytes?.() ?? 0;
    this.#distrust = undefined;
    void this.#close(old);
  }

  async #close(sink: Sink): Promise<void> {
    const { logger } = this.#options;
    const closing = started(() => sink.close(AbortSignal.timeout(LET_GO_MS))).catch((error) => {
      logger.warn({ error: describeError(error) }, 'the sink did not close cleanly');
    });
    if (!(await endsWithin(LET_GO_MS, closing))) logger.warn('the sink does not close');
  }

  /** What no far side explains is a defect of the sink. One of its encoder concerns one event. */
  async #judged<Result>(work: Promise<Result>): Promise<Result> {
    try {
      return await work;
    } catch (error) {
      if (!(error instanceof HubError)) this.distrust(describeError(error));
      throw error;
    }
  }

  async #guarded<Result>(
    what: string,
    deadlineMs: number,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const inner = new AbortController();
    const stop = () => inner.abort(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop);
    const watch = this.#options.farSide?.watch((reason) => inner.abort(reason));
    const deadline = setTimeout(() => {
      const text = `${what} took longer than ${deadlineMs / 1000} s`;
      inner.abort(new HubError('SINK_TIMEOUT', text));
    }, deadlineMs);
    let patience: NodeJS.Timeout | undefined;
    const hangs = new Promise<never>((_resolve, reject) => {
      inner.signal.addEventListener('abort', () => {
        patience = setTimeout(() => {
          this.distrust(`${what} did not end when it was asked to`);
          reject(inner.signal.reason);
        }, LET_GO_MS);
      });
    });
    try {
      return await Promise.race([started(() => work(inner.signal)), hangs]);
    } catch (error) {
      if (inner.signal.aborted) throw inner.signal.reason; // the deadline says more than its echo
      throw error;
    } finally {
      clearTimeout(deadline);
      watch?.stop();
      clearTimeout(patience);
      signal.removeEventListener('abort', stop);
    }
  }
}

/** A failure before the first await is one like any other. */
async function started<Result>(work: () => Promise<Result>): Promise<Result> {
  return await work();
}
