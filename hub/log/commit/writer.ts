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
 * - a handle that failed is kept while the volume has no room for a new one: it still reads;
 * - a write ends when it is done. Only while the log is closing it gives up, so that closing ends.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { describeError, HubError } from '../../core/errors.ts';
import type { Finding, Storage, WriteOperation } from '../storage/storage.ts';
import { isOutOfSpace } from './out-of-space.ts';

/** Between two tries to open the storage again when the first one did not help. */
const REOPEN_DELAY_MS = 500;
/**
 * Trouble that goes on is told again, but not with every try: a log file would grow by the hour.
 */
const TELL_AGAIN_MS = 60_000;

export interface WriterOptions {
  readonly storage: Storage;
  /** The storage failed, or works again (undefined). */
  trouble(problem: string | undefined): void;
  /** The volume is full: makes room if it can. False when there is none for another try. */
  outOfSpace?(): Promise<unknown>;
  /** Opening again found damage. */
  found?(findings: readonly Finding[]): void;
}

export class Writer {
  readonly #options: WriterOptions;
  readonly #closing = new AbortController();
  #turn: Promise<unknown> = Promise.resolve();
  #broken = false;
  /** When the trouble was told that goes on. */
  #toldMs: number | undefined;

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
    const { storage } = this.#options;
    if (operations.length === 0) return undefined;
    for (;;) {
      const reopened = this.#broken;
      try {
        if (reopened) {
          await storage.close();
          this.#options.found?.(await storage.open());
        }
        await storage.write(operations, { sync });
        this.#broken = false;
        this.#tell(undefined);
        return undefined;
      } catch (error) {
        this.#broken = true;
        const problem = `cannot write to the log: ${describeError(error)}`;
        this.#tell(problem);
        if (isOutOfSpace(error)) await this.#untilRoom();
        const { signal } = this.#closing;
        if (signal.aborted && reopened)
          return new HubError('LOG_NOT_OPEN', problem, { cause: error });
        // a new handle is tried at once; when that fails too, the card needs time
        if (reopened) await delay(REOPEN_DELAY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #untilRoom(): Promise<void> {
    const { signal } = this.#closing;
    while ((await this.#options.outOfSpace?.()) === false && !signal.aborted) {
      await delay(REOPEN_DELAY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  #tell(problem: string | undefined): void {
    const nowMs = performance.now();
    const told = this.#toldMs;
    if (problem === undefined ? told === undefined : told && nowMs - told < TELL_AGAIN_MS) return;
    this.#toldMs = problem === undefined ? undefined : nowMs;
    this.#options.trouble(problem);
  }
}
