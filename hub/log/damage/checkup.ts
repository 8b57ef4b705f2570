import type { Writer } from '../commit/writer.ts';
import type { LaneState } from '../lane-state.ts';
import type { Blocks } from '../read/blocks.ts';
import type { LogReader } from '../read/reader.ts';
import type { Storage, WriteOperation } from '../storage/storage.ts';
import type { Damage } from './damage.ts';
import { removeLeftovers } from './leftovers.ts';
import { salvage } from './salvage.ts';
import { scrub } from './scrub.ts';

export interface CheckupOptions {
  readonly storage: Storage;
  readonly lanes: ReadonlyMap<unknown, LaneState>;
  readonly blocks: Blocks;
  readonly reader: LogReader;
  readonly damage: Damage;
  readonly writer: Writer;
  troubled(what: string, error: unknown): void;
}

/**
 * Looks at the whole log once after it was opened, in the background, and again when a file turned
 * out to be damaged while it was open. One round at a time.
 */
export class Checkup {
  readonly #options: CheckupOptions;
  readonly #stopping = new AbortController();
  #round: Promise<void> = Promise.resolve();

  constructor(options: CheckupOptions) {
    this.#options = options;
  }

  begin(): void {
    this.#round = this.#round.then(() => this.#check());
  }

  /** What a damaged file held is looked for among what was set aside. */
  beginWithSalvage(): void {
    this.#round = this.#round.then(() => this.#salvage()).then(() => this.#check());
  }

  /** Resolves when every block has been looked at once, and what was found has been set aside. */
  async done(): Promise<void> {
    await this.#round;
    await this.#options.damage.settled();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.done();
  }

  async #salvage(): Promise<void> {
    const { storage, blocks, lanes, writer, troubled } = this.#options;
    const write = (operations: readonly WriteOperation[]) =>
      writer.write(() => operations, { sync: true });
    try {
      await salvage(storage, blocks, lanes.values(), write);
    } catch (error) {
      troubled('cannot look for what was set aside', error);
    }
  }

  async #check(): Promise<void> {
    const { storage, blocks, lanes, reader, damage, writer, troubled } = this.#options;
    const { signal } = this.#stopping;
    const write = (operations: readonly WriteOperation[]) =>
      writer.write(() => operations, { sync: false });
    try {
      await removeLeftovers(lanes.values(), blocks, write);
      await scrub([...lanes.values()], reader, signal);
      await damage.settled();
      if (!signal.aborted) await storage.release();
    } catch (error) {
      troubled('cannot check the log', error);
    }
  }
}
