/**
 * The set of tables, found without a MANIFEST. LevelDB's own repair puts all tables into level 0,
 * where the table with the greater number wins: an old value may come before a newer one, and with
 * more than twelve tables nothing can be written until all of them are compacted.
 *
 * Here only first and last keys are read, and the keys that are written again and again (cursors,
 * positions; a few MiB). Of those the newest versions go into one new table on top of all others.
 * Keys that are written once (blocks) need no order: tables are put into levels in which they do
 * not overlap, older ones below newer ones as far as the sequences of their ends tell. A block
 * whose deletion was above it may come back; it lies below the head, and nobody reads it.
 */
import { join } from 'node:path';
import { replaceFile } from './files.ts';
import { tableName, temporaryName } from './names.ts';
import type { Version } from './operations.ts';
import { compareVersions, sequenceOf, userKey } from './table-block.ts';
import { openTable, type TableReader } from './table-reader.ts';
import { type WrittenTable, writeTable } from './table-writer.ts';
import { COMPARATOR_NAME, LEVELS, type TableFacts, type VersionState } from './version-edit.ts';

/**
 * New writes must be newer than everything that is there. Not every key is read, so this is added
 * to the greatest sequence seen; of 2^56 it may be added some million times.
 */
const SEQUENCE_MARGIN = 2 ** 32;

export interface Remains {
  readonly folder: string;
  /** Sound tables, of unknown level. */
  readonly tables: ReadonlyMap<number, TableFacts>;
  readonly names: ReadonlyMap<number, string>;
  readonly numberMax: number;
  /** The greatest sequence known from elsewhere. */
  readonly sequenceMax: number;
  readonly rewrittenFrom: Buffer;
}

/** Two sorted sources become one; of each key only the newest version. */
async function* newestOf(sources: AsyncIterator<Version>[]): AsyncGenerator<Version> {
  const heads = new Map<AsyncIterator<Version>, Version>();
  const advance = async (source: AsyncIterator<Version>) => {
    const next = await source.next();
    if (next.done) heads.delete(source);
    else heads.set(source, next.value);
  };
  for (const source of sources) await advance(source);
  let lastKey: Buffer | undefined;
  while (heads.size > 0) {
    let least: { source: AsyncIterator<Version>; version: Version } | undefined;
    for (const [source, version] of heads) {
      if (!least || compareVersions(version, least.version) < 0) least = { source, version };
    }
    if (!least) return;
    if (!lastKey?.equals(least.version.key)) yield least.version;
    lastKey = least.version.key;
    await advance(least.source);
  }
}

/** Greater is newer: a table has what was written in one stretch, or what was merged from such. */
function age({ smallest, largest }: TableFacts): number {
  return Math.max(sequenceOf(smallest), sequenceOf(largest));
}

/** Above everything that it overlaps and that is older, as far down as that allows. */
function levelled(tables: Iterable<TableFacts>): TableFacts[] {
  const placed: TableFacts[] = [];
  for (const table of [...tables].sort((a, b) => age(a) - age(b))) {
    let level = LEVELS - 1;
    for (const below of placed) {
      if (overlap(table, below)) level = Math.min(level, Math.max(0, below.level - 1));
    }
    placed.push({ ...table, level });
  }
  return placed;
}

function overlap(a: TableFacts, b: TableFacts): boolean {
  const before = (one: TableFacts, other: TableFacts) =>
    Buffer.compare(userKey(one.largest), userKey(other.smallest)) < 0;
  return !before(a, b) && !before(b, a);
}

/** `logNumber` is left at 0. Errors: those of the file system. */
export async function rebuildState(remains: Remains): Promise<VersionState> {
  const { tables, rewrittenFrom } = remains;
  let sequenceMax = remains.sequenceMax;
  const see = (sequence: number) => {
    sequenceMax = Math.max(sequenceMax, sequence);
  };
  const top = remains.numberMax + 1;
  const holding = [...tables.values()].filter(
    ({ largest }) => Buffer.compare(userKey(largest), rewrittenFrom) >= 0,
  );
  const written = holding.length > 0 ? await writeTop(remains, holding, top, see) : undefined;
  const all = new Map(levelled(tables.values()).map((table) => [table.number, table]));
  if (written) all.set(top, { number: top, level: 0, ...written });
  const lastSequence = sequenceMax + SEQUENCE_MARGIN;
  return {
    comparator: COMPARATOR_NAME,
    logNumber: 0,
    nextFile: top + 1,
    lastSequence,
    tables: all,
  };
}

/** The newest versions of the keys that are written again and again, as one table. */
async function writeTop(
  { folder, names, rewrittenFrom }: Remains,
  holding: readonly TableFacts[],
  number: number,
  see: (sequence: number) => void,
): Promise<WrittenTable | undefined> {
  const readers: TableReader[] = [];
  try {
    for (const table of holding) {
      const name = names.get(table.number) ?? tableName(table.number);
      readers.push(await openTable(join(folder, name)));
    }
    const newest = newestOf(readers.map((reader) => reader.versions({ gte: rewrittenFrom })));
    const seen = async function* () {
      for await (const version of newest) {
        see(version.sequence);
        yield version;
      }
    };
    let written: WrittenTable | undefined;
    const path = join(folder, tableName(number));
    await replaceFile(path, join(folder, temporaryName(number)), async (file) => {
      written = await writeTable(file, seen());
    });
    return written;
  } finally {
    for (const reader of readers) await reader.close();
  }
}
