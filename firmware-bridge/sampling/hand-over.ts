import type { BridgeContext } from '../../hub/core/bridge.ts';
import type { BridgeMessage } from './messages.ts';
import { unlessStopped } from './timer.ts';

/**
 * One message at a time waits for the log, over all runs of a bridge: hardware that comes and goes
 * while the log is full must not leave a message in memory at each time.
 */
export class HandOver {
  #last: Promise<void> = Promise.resolve();

  /** Resolves when no message waits for the log, or the signal aborts. */
  async room(signal: AbortSignal): Promise<void> {
    for (let last: Promise<void> | undefined; last !== this.#last && !signal.aborted; ) {
      last = this.#last;
      await unlessStopped(last, signal);
    }
  }

  /**
   * Resolves once the message is durable, or as soon as the signal aborts: a full log can hold it
   * back for hours. After the abort no message is handed over. Throws what `accept` throws.
   */
  async give(
    accept: BridgeContext['accept'],
    message: BridgeMessage,
    signal: AbortSignal,
  ): Promise<void> {
    const work = this.#last.then(async () => {
      if (!signal.aborted) await accept(message);
    });
    this.#last = work.catch(() => {});
    await unlessStopped(work, signal);
  }
}
