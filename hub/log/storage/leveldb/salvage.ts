import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Entry, KeyRange } from '../storage.ts';
import { FormatError } from './bytes.ts';
import { readWhole } from './files.ts';
import { readFramed } from './framing.ts';
import type { LostFolder } from './lost-folder.ts';
import { parseName } from './names.ts';
import { readWrite, type Version } from './operations.ts';
import { openTable } from './table-reader.ts';

/** Versions in one file, tables in their order. What is damaged is left out. */
export async function* versionsIn(path: string, kind: 'table' | 'log'): AsyncGenerator<Version> {
  if (kind === 'table') {
    const table = await openTable(path);
    try {
      yield* table.versions();
    } finally {
      await table.close();
    }
    return;
  }
  const { records } = readFramed((await readWhole(path)) ?? Buffer.alloc(0));
  for (const { data } of records) {
    try {
      yield* readWrite(data);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
  }
}

/**
 * Entries of `range` in the tables and logs that were kept, in no order, the same key also twice.
 */
export async function* salvage(lost: LostFolder, { gte, lt }: KeyRange): AsyncGenerator<Entry> {
  for (const folder of await lost.sources()) {
    for (const name of await readdir(folder)) {
      const kind = parseName(name)?.kind;
      if (kind !== 'table' && kind !== 'log') continue;
      for await (const { key, value } of versionsIn(join(folder, name), kind)) {
        const inside = Buffer.compare(key, gte) >= 0 && Buffer.compare(key, lt) < 0;
        if (value && inside) yield [key, value];
      }
    }
  }
}
