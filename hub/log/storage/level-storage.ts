/**
 * The log's storage on LevelDB. One process a folder.
 *
 * Invariants:
 * - LevelDB never sees a folder that was not looked at first (leveldb/mend.ts): what it would do
 *   about damage destroys data;
 * - a folder that LevelDB called damaged is checked whole at the next opening, also by the next
 *   process; if that finds nothing and LevelDB complains again, its MANIFEST is made anew; if that
 *   does not help, the folder is set aside whole;
 * - some damage makes LevelDB end the process (its assertions are on): a folder whose last two
 *   processes died before the log had been checked is checked whole before it is opened again;
 * - so opening fails only when another process has the folder, or when it cannot be written.
 */
import { mkdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { HubError } from '../../core/errors.ts';
import {
  compactRange,
  type Database,
  isCorruption,
  makeDatabase,
  openError,
  troubleOf,
} from './leveldb/database.ts';
import { syncFolder } from './leveldb/files.ts';
import { claim, unclaim, whileLocked } from './leveldb/guard.ts';
import { LostFolder } from './leveldb/lost-folder.ts';
import { LockNeeded, mend } from './leveldb/mend.ts';
import { salvage } from './leveldb/salvage.ts';
import { UncheckedStarts } from './leveldb/unchecked-starts.ts';
import type { Entry, Finding, KeyRange, Storage, WriteOperation } from './storage.ts';

/** Entries fetched from LevelDB at a time, and their bytes: about one forwarder batch. */
const FETCH_ENTRIES = 16;
const FETCH_BYTES = 1024 * 1024;
/** Blocks (`b`) are written once; every key behind them may be written again and again. */
const REWRITTEN_FROM = Buffer.from('c');

/** How closely a folder is looked at before LevelDB opens it. */
const CARE = ['quick', 'deep', 'rebuild'] as const;
type Care = (typeof CARE)[number];

export interface LevelStorageOptions {
  /** Where what is damaged is set aside. Default: beside the folder. */
  readonly lostFolder?: string;
}

export function levelStorage(folder: string, options: LevelStorageOptions = {}): Storage {
  return new LevelStorage(folder, options.lostFolder ?? `${folder}.lost+found`);
}

class LevelStorage implements Storage {
  readonly #folder: string;
  readonly #lost: LostFolder;
  readonly #unchecked: UncheckedStarts;
  #database: Database | undefined;
  /** At the next opening, and at the last one. */
  #care: Care = 'quick';
  #lastCare: Care = 'quick';

  constructor(folder: string, lostFolder: string) {
    this.#folder = folder;
    this.#lost = new LostFolder(lostFolder);
    this.#unchecked = new UncheckedStarts(folder);
  }

  async open(): Promise<readonly Finding[]> {
    claim(this.#folder);
    try {
      return await this.#openWhatever();
    } catch (error) {
      unclaim(this.#folder);
      throw openError(this.#folder, error);
    }
  }

  async startOver(reason: string): Promise<readonly Finding[]> {
    await this.close();
    const found = await whileLocked(this.#folder, () => this.#lost.move(this.#folder, reason));
    return [found, ...(await this.open())];
  }

  salvage(range: KeyRange): AsyncIterable<Entry> {
    return salvage(this.#lost, range);
  }

  async release(): Promise<void> {
    await this.#lost.release();
    if (this.#care === 'quick') await this.#unchecked.forget();
  }

  async close(): Promise<void> {
    const closing = this.#database;
    if (!closing) return;
    this.#database = undefined;
    try {
      await closing.close();
      if (this.#care === 'quick') await this.#unchecked.forget();
    } finally {
      unclaim(this.#folder);
    }
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    try {
      return await this.#opened().get(key);
    } catch (error) {
      throw await this.#readError(error);
    }
  }

  async last(range: KeyRange): Promise<Entry | undefined> {
    try {
      const iterator = this.#opened().iterator({ ...range, reverse: true, limit: 1 });
      for await (const entry of iterator) return entry;
      return undefined;
    } catch (error) {
      throw await this.#readError(error);
    }
  }

  async *entries(range: KeyRange): AsyncGenerator<Entry> {
    const iterator = this.#opened().iterator({ ...range, highWaterMarkBytes: FETCH_BYTES });
    try {
      for (;;) {
        const entries = await iterator.nextv(FETCH_ENTRIES).catch(async (error: unknown) => {
          throw await this.#readError(error);
        });
        if (entries.length === 0) return;
        yield* entries;
      }
    } finally {
      await iterator.close();
    }
  }

  async write(operations: readonly WriteOperation[], { sync }: { sync: boolean }): Promise<void> {
    try {
      await this.#opened().batch([...operations], { sync });
    } catch (error) {
      if (isCorruption(error)) await this.#suspect();
      throw error;
    }
  }

  async compact(range: KeyRange): Promise<void> {
    try {
      await compactRange(this.#opened(), range);
    } catch (error) {
      if (isCorruption(error)) await this.#suspect();
      throw error;
    }
  }

  #opened(): Database {
    if (this.#database) return this.#database;
    throw new HubError('LOG_NOT_OPEN', `the log in ${this.#folder} is not open`);
  }

  /** More care with every try; in the end with a new folder. */
  async #openWhatever(): Promise<Finding[]> {
    const findings: Finding[] = [];
    let care: Care =
      (await this.#unchecked.tooMany()) && this.#care === 'quick' ? 'deep' : this.#care;
    for (;;) {
      try {
        findings.push(...(await this.#mend(care)));
        await this.#unchecked.begin(care === 'quick');
        await this.#openDatabase();
        this.#lastCare = care;
        this.#care = 'quick';
        return findings;
      } catch (error) {
        if (troubleOf(error) !== 'contents') throw error;
        const next = CARE[CARE.indexOf(care) + 1];
        if (next === undefined) break;
        care = next;
      }
    }
    findings.push(await this.#startAnew());
    return findings;
  }

  /** Without a lock at first: most folders are sound. */
  async #mend(care: Care): Promise<Finding[]> {
    const options = {
      folder: this.#folder,
      lost: this.#lost,
      deep: care !== 'quick',
      rebuild: care === 'rebuild',
      rewrittenFrom: REWRITTEN_FROM,
    };
    try {
      return await mend({ ...options, locked: false });
    } catch (error) {
      if (!(error instanceof LockNeeded)) throw error;
    }
    return await whileLocked(this.#folder, () => mend({ ...options, locked: true }));
  }

  async #openDatabase(): Promise<void> {
    const opening = makeDatabase(this.#folder);
    try {
      await opening.open();
      await syncFolder(this.#folder);
    } catch (error) {
      await opening.close().catch(() => undefined); // a handle left open would lock us out
      throw error;
    }
    this.#database = opening;
  }

  /** LevelDB does not open it whatever we do: what can be read of it is put back from there. */
  async #startAnew(): Promise<Finding> {
    const problem = 'LevelDB does not open it';
    const finding = await whileLocked(this.#folder, () =>
      this.#lost.keepLog(this.#folder, problem),
    );
    await mkdir(this.#folder);
    await syncFolder(dirname(this.#folder));
    await this.#openDatabase();
    return finding;
  }

  /** LOG_CORRUPT when LevelDB has met damage. */
  async #readError(error: unknown): Promise<unknown> {
    if (!isCorruption(error)) return error;
    await this.#suspect();
    const text = `a table of ${basename(this.#folder)} is damaged`;
    return new HubError('LOG_CORRUPT', text, { cause: error });
  }

  /** The next opening looks closer, also in another process. */
  async #suspect(): Promise<void> {
    this.#care = this.#lastCare === 'quick' ? 'deep' : 'rebuild';
    await this.#unchecked.suspect();
  }
}
