/** Checking and mending single tables. */
import { unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Finding } from '../storage.ts';
import { replaceFile, syncFolder } from './files.ts';
import type { LostFolder } from './lost-folder.ts';
import { parseName, temporaryName } from './names.ts';
import type { Version } from './operations.ts';
import { compareVersions, internalKey } from './table-block.ts';
import { openTable, type TableReader } from './table-reader.ts';
import { type WrittenTable, writeTable } from './table-writer.ts';

/** What is wrong with a table; undefined when nothing is. `deep` reads all of it. */
export async function tableProblem(
  path: string,
  bytes: number,
  deep: boolean,
): Promise<string | undefined> {
  const table = await openTable(path);
  try {
    if (table.problem !== undefined) return table.problem;
    if (deep) {
      const blocks = await damagedBlocks(table);
      if (blocks > 0) return `${blocks} of its blocks are damaged`;
    }
    return table.bytes === bytes ? undefined : `it has ${table.bytes} bytes instead of ${bytes}`;
  } finally {
    await table.close();
  }
}

async function damagedBlocks(table: TableReader): Promise<number> {
  let damaged = 0;
  for await (const part of table.parts()) if (part.kind === 'damage') damaged++;
  return damaged;
}

async function readEnds(table: TableReader): Promise<WrittenTable | undefined> {
  const ends = await table.ends();
  if (!ends) return undefined;
  const [smallest, largest] = [internalKey(ends.first), internalKey(ends.last)];
  return { bytes: table.bytes, smallest, largest };
}

/** Size and keys of a sound table; undefined when its first or last block is damaged. */
export async function tableFacts(path: string): Promise<WrittenTable | undefined> {
  const table = await openTable(path);
  try {
    return await readEnds(table);
  } finally {
    await table.close();
  }
}

export interface MendedTable {
  /** Undefined when nothing of it could be read: it is gone. */
  readonly table: WrittenTable | undefined;
  /** Undefined when nothing was wrong with it but what was known of it. */
  readonly finding: Finding | undefined;
}

/** Writes the table anew, under its name, from its good blocks; the old one is in lost+found. */
export async function mendTable(
  path: string,
  lost: LostFolder,
  problem: string,
): Promise<MendedTable> {
  const table = await openTable(path);
  try {
    if (table.problem === undefined && (await damagedBlocks(table)) === 0) {
      return { table: await readEnds(table), finding: undefined };
    }
    const finding = await lost.keep(path, problem);
    let written: WrittenTable | undefined;
    const folder = dirname(path);
    const file = parseName(path.slice(folder.length + 1));
    const number = file && 'number' in file ? file.number : 0;
    await replaceFile(path, join(folder, temporaryName(number)), async (temporary) => {
      written = await writeTable(temporary, ascending(table));
    });
    if (!written) {
      await unlink(path);
      await syncFolder(folder);
    }
    return { table: written, finding };
  } finally {
    await table.close();
  }
}

/** Blocks that were found without an index might be out of order: LevelDB relies on it. */
async function* ascending(table: TableReader): AsyncGenerator<Version> {
  let last: Version | undefined;
  for await (const version of table.versions()) {
    if (last && compareVersions(last, version) >= 0) continue;
    last = version;
    yield version;
  }
}
