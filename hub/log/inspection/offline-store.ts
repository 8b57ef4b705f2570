/**
 * The key space of a log, read from LevelDB's files without LevelDB: opening it would change them.
 *
 * Invariants:
 * - nothing is written;
 * - what is handed out has good checksums of LevelDB's; of each key the newest version, whatever a
 *   MANIFEST says about which tables count;
 * - in memory: the write-ahead logs (some 8 MiB), and of each table that is being read one block.
 */
import { join } from 'node:path';
import { FormatError } from '../storage/leveldb/bytes.ts';
import { readWhole } from '../storage/leveldb/files.ts';
import { readFramed } from '../storage/leveldb/framing.ts';
import { listStore, type StoreFiles } from '../storage/leveldb/inspect.ts';
import { readWrite, type Version } from '../storage/leveldb/operations.ts';
import { compareVersions } from '../storage/leveldb/table-block.ts';
import { openTable } from '../storage/leveldb/table-reader.ts';
import type { Entry, KeyRange } from '../storage/storage.ts';
import { mergedVersions, type VersionSource } from './merged-versions.ts';

interface TableFile {
  readonly path: string;
  readonly smallest: Buffer | undefined;
  readonly largest: Buffer | undefined;
}

export class OfflineStore {
  readonly files: StoreFiles | undefined;
  readonly #tables: readonly TableFile[];
  /** Of all write-ahead logs, in the order of a table. */
  readonly #logged: readonly Version[];

  /** Use `openOffline`. */
  constructor(files: StoreFiles | undefined, tables: TableFile[], logged: Version[]) {
    this.files = files;
    this.#tables = tables;
    this.#logged = logged.sort(compareVersions);
  }

  /** The value of a key. */
  async get(key: Buffer): Promise<Buffer | undefined> {
    const lt = Buffer.concat([key, Buffer.alloc(1)]);
    for await (const [, value] of this.entries({ gte: key, lt })) return value;
    return undefined;
  }

  /** Entries in ascending order of keys. */
  async *entries(range: KeyRange): AsyncGenerator<Entry> {
    for await (const versions of this.versions(range)) {
      const newest = versions[0];
      if (newest?.value) yield [newest.key, newest.value];
    }
  }

  /** The versions of each key, the newest first. */
  async *versions({ gte, lt }: KeyRange): AsyncGenerator<readonly Version[]> {
    const within = ({ smallest, largest }: TableFile) =>
      (!smallest || smallest.compare(lt) < 0) && (!largest || largest.compare(gte) >= 0);
    const sources: VersionSource[] = this.#tables.filter(within).map(({ path, smallest }) => ({
      smallest: smallest && smallest.compare(gte) > 0 ? smallest : gte,
      read: () => versionsOfTable(path, { gte, lt }),
    }));
    const logged = this.#logged;
    sources.push({
      smallest: gte,
      async *read() {
        for (const version of logged) {
          if (version.key.compare(gte) >= 0 && version.key.compare(lt) < 0) yield version;
        }
      },
    });
    let same: Version[] = [];
    for await (const version of mergedVersions(sources)) {
      if (same[0] && !same[0].key.equals(version.key)) {
        yield same;
        same = [];
      }
      same.push(version);
    }
    if (same.length > 0) yield same;
  }
}

/** A table found without its index may be out of order where it is damaged: that is left out. */
async function* versionsOfTable(path: string, bounds: KeyRange): AsyncGenerator<Version> {
  const table = await openTable(path);
  let last: Version | undefined;
  try {
    for await (const version of table.versions(bounds)) {
      if (last && compareVersions(last, version) >= 0) continue;
      last = version;
      yield version;
    }
  } finally {
    await table.close();
  }
}

/** The writes of a write-ahead log that can be read. */
export async function readLog(path: string): Promise<Version[]> {
  const { records } = readFramed((await readWhole(path)) ?? Buffer.alloc(0));
  return records.flatMap(({ data }) => {
    try {
      return readWrite(data);
    } catch (error) {
      if (error instanceof FormatError) return [];
      throw error;
    }
  });
}

/** Opens tables and logs in the list, and those of `folder`. Errors: those of the file system. */
export async function openOffline(
  folder: string,
  more: readonly { readonly path: string; readonly kind: 'table' | 'log' }[] = [],
): Promise<OfflineStore> {
  const files = await listStore(folder);
  const paths = (of: ReadonlyMap<number, { readonly name: string }> | undefined) =>
    [...(of?.values() ?? [])].map(({ name }) => join(folder, name));
  const moreOf = (kind: 'table' | 'log') =>
    more.filter((file) => file.kind === kind).map(({ path }) => path);
  const tables: TableFile[] = [];
  for (const path of [...paths(files?.tables), ...moreOf('table')]) {
    const table = await openTable(path);
    try {
      const ends = await table.ends();
      tables.push({ path, smallest: ends?.first.key, largest: ends?.last.key });
    } finally {
      await table.close();
    }
  }
  const logged: Version[] = [];
  for (const path of [...paths(files?.logs), ...moreOf('log')]) {
    for (const version of await readLog(path)) logged.push(version);
  }
  return new OfflineStore(files, tables, logged);
}
