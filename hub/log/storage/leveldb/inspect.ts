/** A look at a folder of LevelDB's without opening it, and without changing anything in it. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError } from './bytes.ts';
import { errorCode, readWhole } from './files.ts';
import { readFramed, type Spot } from './framing.ts';
import { parseName, UNCHECKED_NAME } from './names.ts';
import { type VersionState, Versions } from './version-edit.ts';

export interface StoreFiles {
  readonly folder: string;
  readonly tables: ReadonlyMap<number, { readonly name: string; readonly bytes: number }>;
  readonly logs: ReadonlyMap<number, { readonly name: string; readonly bytes: number }>;
  /** Numbers, the newest first. */
  readonly manifests: readonly number[];
  readonly hasCurrent: boolean;
  readonly hasLock: boolean;
  /** Names that are not LevelDB's. */
  readonly foreign: readonly string[];
  /** The greatest number of any file. */
  readonly numberMax: number;
}

/** Undefined when there is no such folder. Errors: those of the file system, ENOTDIR too. */
export async function listStore(folder: string): Promise<StoreFiles | undefined> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const tables = new Map<number, { name: string; bytes: number }>();
  const logs = new Map<number, { name: string; bytes: number }>();
  const manifests: number[] = [];
  const foreign: string[] = [];
  let numberMax = 0;
  for (const name of names) {
    const file = parseName(name);
    if (name === UNCHECKED_NAME) continue;
    if (!file) foreign.push(name);
    else if ('number' in file) {
      numberMax = Math.max(numberMax, file.number);
      if (file.kind === 'manifest') manifests.push(file.number);
      if (file.kind !== 'table' && file.kind !== 'log') continue;
      const { size: bytes } = await stat(join(folder, name));
      (file.kind === 'table' ? tables : logs).set(file.number, { name, bytes });
    }
  }
  manifests.sort((a, b) => b - a);
  const hasLock = names.includes('LOCK');
  const hasCurrent = names.includes('CURRENT');
  return { folder, tables, logs, manifests, hasCurrent, hasLock, foreign, numberMax };
}

/** The number of the MANIFEST that CURRENT names; undefined when it names none. */
export async function readCurrent(folder: string): Promise<number | undefined> {
  const text = (await readWhole(join(folder, 'CURRENT')))?.toString('latin1');
  if (!text?.endsWith('\n')) return undefined;
  const file = parseName(text.slice(0, -1));
  return file?.kind === 'manifest' ? file.number : undefined;
}

export interface ManifestView {
  readonly name: string;
  readonly comparator: string | undefined;
  /** Undefined when it is damaged or incomplete: LevelDB would not open. */
  readonly state: VersionState | undefined;
  readonly damage: readonly Spot[];
  /** The greatest sequence that any readable record names. */
  readonly sequenceMax: number;
}

/** Undefined when there is no such file. */
export async function readManifest(
  folder: string,
  name: string,
): Promise<ManifestView | undefined> {
  const bytes = await readWhole(join(folder, name));
  if (!bytes) return undefined;
  const framed = readFramed(bytes);
  const damage = [...framed.damage];
  const versions = new Versions();
  let sequenceMax = 0;
  for (const { offset, data } of framed.records) {
    try {
      versions.apply(data);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      damage.push({ offset, bytes: data.length, problem: error.message });
    }
    sequenceMax = Math.max(sequenceMax, versions.lastSequence ?? 0);
  }
  const state = damage.length === 0 ? versions.state : undefined;
  return { name, comparator: versions.comparator, state, damage, sequenceMax };
}

/** Why what a MANIFEST names is not what is there; undefined when it fits. */
export function contradiction(state: VersionState, store: StoreFiles): string | undefined {
  for (const number of state.tables.keys()) {
    if (!store.tables.has(number)) return `table ${number} is missing`;
  }
  // LevelDB makes the log before the MANIFEST names it; our own MANIFEST may name none
  if (state.logNumber !== 0 && !store.logs.has(state.logNumber)) {
    return `write-ahead log ${state.logNumber} is missing`;
  }
  return undefined;
}

/** Tables that LevelDB would delete as obsolete. */
export function unnamedTables(state: VersionState, store: StoreFiles): string[] {
  const unnamed = [...store.tables].filter(([number]) => !state.tables.has(number));
  return unnamed.map(([, { name }]) => join(store.folder, name));
}
