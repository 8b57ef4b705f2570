/**
 * Makes a folder such that LevelDB opens it and loses nothing that can still be read.
 *
 * LevelDB checks little, and what it does about damage destroys: without CURRENT it makes a new
 * database over the old one and deletes the old files as obsolete; a MANIFEST that was cut between
 * two records opens as an older state, and newer tables are deleted; a flipped bit in the
 * write-ahead log costs the rest of its 32 KiB page in silence; its own repair believes damaged
 * checksums and puts older values before newer ones. So nothing of that is left to it.
 *
 * Invariants:
 * - nothing is changed in a sound folder, and nothing before the folder is locked;
 * - every file is replaced whole (another name, fsync, rename, fsync of the folder), and what was
 *   there before is in lost+found first: after a crash at any step the next start finds either the
 *   old damage or the mended file;
 * - a damaged table keeps its number and level: of two versions of a key the newer one stays first;
 * - what is lost is what the damage covers: a block of a table, a record of the write-ahead log.
 */
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Finding } from '../storage.ts';
import { FormatError } from './bytes.ts';
import { errorCode, readWhole, removeIfThere, replaceFile, syncFolder } from './files.ts';
import { type FramedFile, readFramed, writeFramed } from './framing.ts';
import {
  contradiction,
  listStore,
  type ManifestView,
  readCurrent,
  readManifest,
  type StoreFiles,
  unnamedTables,
} from './inspect.ts';
import type { LostFolder } from './lost-folder.ts';
import { logName, manifestName, tableName, temporaryName } from './names.ts';
import { readWrite } from './operations.ts';
import { rebuildState } from './rebuild.ts';
import { mendTable, tableFacts, tableProblem } from './tables.ts';
import { COMPARATOR_NAME, type TableFacts, type VersionState, writeState } from './version-edit.ts';

/**
 * Tables looked at together: the card answers one after another anyway, the system calls do not.
 */
const TABLES_AT_ONCE = 8;

/** Something has to be changed, and the folder is not locked yet. */
export class LockNeeded extends Error {}

export interface MendOptions {
  readonly folder: string;
  readonly lost: LostFolder;
  /** Other processes cannot open the folder meanwhile. Without it LockNeeded is thrown. */
  readonly locked: boolean;
  /** Every block of every table is checked; else that tables are there and their index is good. */
  readonly deep: boolean;
  /** LevelDB does not open it, whatever it looks like: the MANIFEST is made anew. */
  readonly rebuild: boolean;
  /** Keys from here on are written again and again; those before it are written once. */
  readonly rewrittenFrom: Buffer;
}

/**
 * Answers what was found. Errors: LockNeeded; those of the file system when the folder cannot be
 * read or written.
 */
export async function mend(options: MendOptions): Promise<Finding[]> {
  return await new Mending(options).run();
}

class Mending {
  readonly #options: MendOptions;
  readonly #findings: Finding[] = [];

  constructor(options: MendOptions) {
    this.#options = options;
  }

  async run(): Promise<Finding[]> {
    const { folder, lost } = this.#options;
    await this.#makeFolder();
    const store = await listStore(folder);
    if (!store) throw new Error(`${folder} went away`);
    if (isNothing(store)) return this.#findings;
    if (await isBlank(store)) {
      await this.#clear(store);
      return this.#findings;
    }
    if (store.tables.size + store.logs.size + store.manifests.length === 0) {
      await this.#replaceWhole('there is no log in it');
      return this.#findings;
    }
    const manifest = await this.#chooseManifest(store);
    if (manifest === 'not ours') return this.#findings;
    const damagedLogs = await this.#mendLogs(store, manifest?.state?.logNumber ?? 0);
    if (manifest?.state) {
      // what a damaged log has lost may be in a table that was finished and not yet named
      if (damagedLogs) await lost.keepInCase(unnamedTables(manifest.state, store));
      await this.#mendTables(store, manifest.state);
    } else await this.#rebuild(store, manifest);
    return this.#findings;
  }

  #changing(): void {
    if (!this.#options.locked) throw new LockNeeded();
  }

  async #makeFolder(): Promise<void> {
    const { folder } = this.#options;
    const facts = await stat(folder).catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (facts?.isDirectory()) return;
    if (facts) {
      this.#changing();
      this.#findings.push(await this.#options.lost.move(folder, 'it is not a folder'));
    }
    await mkdir(folder, { recursive: true });
    await syncFolder(dirname(folder));
  }

  async #replaceWhole(problem: string): Promise<void> {
    const { folder, lost } = this.#options;
    this.#changing();
    this.#findings.push(await lost.move(folder, problem));
    await mkdir(folder, { recursive: true });
    await syncFolder(dirname(folder));
  }

  /** The first creation was cut short: nothing was ever acknowledged. */
  async #clear(store: StoreFiles): Promise<void> {
    this.#changing();
    const manifests = store.manifests.map(manifestName);
    const logs = [...store.logs.values()].map(({ name }) => name);
    // CURRENT goes last: without it LevelDB would begin anew over what is still there
    for (const name of [...logs, ...manifests, 'CURRENT']) {
      await removeIfThere(join(store.folder, name));
    }
  }

  /**
   * The MANIFEST that fits what is there, and CURRENT naming it. One without a state, or none,
   * when it has to be made anew.
   */
  async #chooseManifest(store: StoreFiles): Promise<ManifestView | undefined | 'not ours'> {
    const { folder, lost, rebuild } = this.#options;
    const named = await readCurrent(folder);
    const view = named === undefined ? undefined : await readManifest(folder, manifestName(named));
    const comparator = view?.damage.length === 0 ? view.comparator : undefined;
    if (comparator !== undefined && comparator !== COMPARATOR_NAME) {
      await this.#replaceWhole(`its keys are ordered by ${comparator}, not by bytes`);
      return 'not ours';
    }
    if (rebuild) return view && { ...view, state: undefined };
    const problem = view ? manifestProblem(view, store) : undefined;
    if (view && !problem) return view;
    if (view && problem) {
      const { state } = view;
      this.#changing();
      if (state && unnamedTables(state, store).length === 0) return view; // nothing newer is there
      this.#findings.push(await lost.keep(join(folder, view.name), problem));
      return { ...view, state: undefined };
    }
    this.#changing();
    for (const number of store.manifests) {
      const other = await readManifest(folder, manifestName(number));
      if (!other || other.comparator !== COMPARATOR_NAME || manifestProblem(other, store)) continue;
      await this.#noteCurrent(named, store);
      await this.#writeCurrent(number);
      return other;
    }
    await this.#noteCurrent(named, store);
    return undefined;
  }

  async #noteCurrent(named: number | undefined, store: StoreFiles): Promise<void> {
    const { folder, lost } = this.#options;
    if (named !== undefined) {
      this.#findings.push(await lost.note(join(folder, manifestName(named)), 'it is missing'));
    } else if (store.hasCurrent) {
      this.#findings.push(await lost.keep(join(folder, 'CURRENT'), 'it names no MANIFEST'));
    } else this.#findings.push(await lost.note(join(folder, 'CURRENT'), 'it is missing'));
  }

  async #writeCurrent(number: number): Promise<void> {
    const { folder } = this.#options;
    const text = `${manifestName(number)}\n`;
    const temporary = join(folder, temporaryName(number));
    await replaceFile(join(folder, 'CURRENT'), temporary, (file) => file.writeFile(text));
  }

  /** Puts clean logs in the place of damaged ones. Answers whether there were any. */
  async #mendLogs(store: StoreFiles, from: number): Promise<boolean> {
    const { folder, lost } = this.#options;
    let damaged = false;
    for (const [number, { name }] of [...store.logs].sort(([a], [b]) => a - b)) {
      if (number < from) continue; // its writes are in tables; LevelDB deletes it
      const path = join(folder, name);
      const framed = checkedLog(readFramed((await readWhole(path)) ?? Buffer.alloc(0)));
      if (framed.damage.length === 0) continue;
      this.#changing();
      damaged = true;
      this.#findings.push(await lost.keep(path, describeDamage(framed)));
      const clean = writeFramed(framed.records.map(({ data }) => data));
      const temporary = join(folder, temporaryName(store.numberMax + 1));
      await replaceFile(path, temporary, (file) => file.writeFile(clean));
    }
    return damaged;
  }

  async #mendTables(store: StoreFiles, state: VersionState): Promise<void> {
    const { folder, lost } = this.#options;
    const tables = new Map(state.tables);
    for (const [number, problem] of await this.#tableProblems(store, state)) {
      this.#changing();
      const facts = state.tables.get(number);
      const name = store.tables.get(number)?.name;
      if (name === undefined) {
        this.#findings.push(await lost.note(join(folder, tableName(number)), problem));
        tables.delete(number);
      } else await this.#mendTable(join(folder, name), number, facts?.level ?? 0, problem, tables);
    }
    const { logNumber } = state;
    const logMissing = logNumber !== 0 && !store.logs.has(logNumber);
    if (logMissing) {
      this.#changing();
      this.#findings.push(await lost.note(join(folder, logName(logNumber)), 'it is missing'));
      await (await open(join(folder, logName(logNumber)), 'w', 0o644)).close();
      await syncFolder(folder);
    }
    if (!sameTables(tables, state.tables)) {
      await this.#writeManifest({ ...state, tables }, store);
    }
  }

  async #mendTable(
    path: string,
    number: number,
    level: number,
    problem: string,
    tables: Map<number, TableFacts>,
  ): Promise<void> {
    const { lost } = this.#options;
    const written = await mendTable(path, lost, problem);
    if (written.finding) this.#findings.push(written.finding);
    if (written.table) tables.set(number, { number, level, ...written.table });
    else tables.delete(number);
  }

  /** By number; of those that are named and have one. */
  async #tableProblems(store: StoreFiles, state: VersionState): Promise<Map<number, string>> {
    const { folder, deep } = this.#options;
    const problems = new Map<number, string>();
    const waiting = [...state.tables.values()];
    const check = async () => {
      for (let facts = waiting.pop(); facts; facts = waiting.pop()) {
        const file = store.tables.get(facts.number);
        const problem = file
          ? await tableProblem(join(folder, file.name), facts.bytes, deep)
          : 'it is missing';
        if (problem !== undefined) problems.set(facts.number, problem);
      }
    };
    await Promise.all(Array.from({ length: TABLES_AT_ONCE }, check));
    return problems;
  }

  /** No MANIFEST can be believed: the tables themselves say what there is. */
  async #rebuild(store: StoreFiles, manifest: ManifestView | undefined): Promise<void> {
    const { folder, lost, deep, rewrittenFrom } = this.#options;
    this.#changing();
    const tables = new Map<number, TableFacts>();
    const names = new Map<number, string>();
    for (const [number, { name, bytes }] of store.tables) {
      names.set(number, name);
      const path = join(folder, name);
      const problem = await tableProblem(path, bytes, deep);
      const facts = problem === undefined ? await tableFacts(path) : undefined;
      if (facts) tables.set(number, { number, level: 0, ...facts });
      else await this.#mendTable(path, number, 0, problem ?? 'it is damaged', tables);
    }
    let sequenceMax = manifest?.sequenceMax ?? 0;
    for (const number of store.manifests) {
      const view = await readManifest(folder, manifestName(number));
      sequenceMax = Math.max(sequenceMax, view?.sequenceMax ?? 0);
    }
    const { numberMax } = store;
    const state = await rebuildState({
      folder,
      tables,
      names,
      numberMax,
      sequenceMax,
      rewrittenFrom,
    });
    if (this.#findings.length === 0) {
      this.#findings.push(await lost.note(folder, 'LevelDB did not open it as it was'));
    }
    const logs = [...store.logs.keys()];
    await this.#writeManifest({ ...state, logNumber: logs.length ? Math.min(...logs) : 0 }, store);
  }

  async #writeManifest(state: VersionState, store: StoreFiles): Promise<void> {
    const { folder } = this.#options;
    const number = Math.max(store.numberMax, state.nextFile) + 1;
    const bytes = writeFramed([writeState({ ...state, nextFile: number + 1 })]);
    const temporary = join(folder, temporaryName(number));
    await replaceFile(join(folder, manifestName(number)), temporary, (f) => f.writeFile(bytes));
    await this.#writeCurrent(number);
  }
}

function isNothing(store: StoreFiles): boolean {
  const { tables, logs, manifests, hasCurrent, foreign } = store;
  const files = tables.size + logs.size + manifests.length + foreign.length;
  return files === 0 && !hasCurrent;
}

/** Whether no write was ever finished in it: no tables, and no log with anything in it. */
async function isBlank(store: StoreFiles): Promise<boolean> {
  if (store.tables.size > 0) return false;
  if (store.manifests.length + store.logs.size === 0 && !store.hasCurrent) return false;
  for (const { name, bytes } of store.logs.values()) {
    if (bytes === 0) continue;
    const log = readFramed((await readWhole(join(store.folder, name))) ?? Buffer.alloc(0));
    if (log.records.length + log.damage.length > 0) return false;
  }
  const named = await readCurrent(store.folder);
  if (named === undefined) return true;
  const view = await readManifest(store.folder, manifestName(named));
  // one with a state is sound and empty, or names tables that are gone
  return !view || (!view.state && view.damage.length === 0);
}

function manifestProblem(view: ManifestView, store: StoreFiles): string | undefined {
  const [spot] = view.damage;
  if (spot) return `${spot.problem} at byte ${spot.offset}`;
  if (!view.state) return 'it is incomplete';
  return contradiction(view.state, store);
}

/** Records whose checksum is good but which are no writes are damage too. */
function checkedLog(framed: FramedFile): FramedFile {
  const damage = [...framed.damage];
  const records = framed.records.filter(({ offset, data }) => {
    try {
      readWrite(data);
      return true;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      damage.push({ offset, bytes: data.length, problem: error.message });
      return false;
    }
  });
  return { ...framed, records, damage };
}

function describeDamage({ damage }: FramedFile): string {
  const bytes = damage.reduce((sum, spot) => sum + spot.bytes, 0);
  const at = damage[0]?.offset ?? 0;
  const places = damage.length === 1 ? '1 place' : `${damage.length} places`;
  return `damaged in ${places}, ${bytes} bytes, the first at byte ${at}`;
}

function sameTables(
  a: ReadonlyMap<number, TableFacts>,
  b: ReadonlyMap<number, TableFacts>,
): boolean {
  return a.size === b.size && [...a].every(([number, facts]) => b.get(number) === facts);
}
