/**
 * The only one who writes to the storage.
 *
 * Invariants:
 * - one write at a time, in the order of the calls; its operations are asked for when its turn has
 *   come, so that of two writes with the same key the later one has the newer value;
 * - a failed write is never retried on the same handle (the kernel may have dropped the pages, and
 *   LevelDB's log may end in half a record): the storage is closed and opened again, then the same
 *   keys and values are written once more. That is harmless when the first write did reach the
 *   card;
 * - a write ends when it is done. Only while the log is closing it gives up, so that closing ends.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { describeError, HubError } from '../core/errors.ts';
import type { Storage, WriteOperation } from './storage.ts';

/** Between two tries to open the storage again when the first one did not help. */
const REOPEN_DELAY_MS = 500;

export interface WriterOptions {
  readonly storage: Storage;
  /** The storage failed, or works again (undefined). */
  trouble(problem: string | undefined): void;
}

export class Writer {
  readonly #options: WriterOptions;
  readonly #closing = new AbortController();
  #turn: Promise<unknown> = Promise.resolve();
  #broken = false;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /**
   * Resolves when it is written; with LOG_NOT_OPEN when the log is closing and the card
   * refuses.
   */
  write(
    operations: () => readonly WriteOperation[],
    { sync }: { readonly sync: boolean },
  ): Promise<HubError | undefined> {
    const written = this.#turn.then(() => this.#writeUntilDone(operations(), sync));
    this.#turn = written.catch(() => undefined); // its caller has the error
    return written;
  }

  /** From now on a card that refuses is asked once more, on a new handle, and no more. */
  closing(): void {
    this.#closing.abort();
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#turn;
  }

  async #writeUntilDone(
    operations: readonly WriteOperation[],
    sync: boolean,
  ): Promise<HubError | undefined> {
    const { storage, trouble } = this.#options;
    if (operations.length === 0) return undefined;
    for (;;) {
      const reopened = this.#broken;
      try {
        if (reopened) {
          await storage.close();
          await storage.open();
        }
        await storage.write(operations, { sync });
        this.#broken = false;
        if (reopened) trouble(undefined);
        return undefined;
      } catch (error) {
        this.#broken = true;
        const problem = `cannot write to the log: ${describeError(error)}`;
        trouble(problem);
        const { signal } = this.#closing;
        if (signal.aborted && reopened)
          return new HubError('LOG_NOT_OPEN', problem, { cause: error });
        // a new handle is tried at once; when that fails too, the card needs time
        if (reopened) await delay(REOPEN_DELAY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }
}
