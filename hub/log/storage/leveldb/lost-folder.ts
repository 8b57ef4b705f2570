/**
 * `lost+found`: what could not be read is kept beside the log, with a report, for somebody who
 * wants to look, but not without end.
 *
 *   <n>-<name>           a damaged file, or a whole log, as it was found
 *   <n>-report.json      when, what, why; n counts up, so the names are in order of age
 *   kept-<n>/            files of the log that are sound but may hold what is missing elsewhere;
 *                        they go when the log has been checked whole
 */
import { constants } from 'node:fs';
import { copyFile, cp, link, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import type { Finding } from '../storage.ts';
import { errorCode, syncFolder } from './files.ts';

/** Enough to understand what happened to a card, and less than one log's worth of space. */
const FILES_MAX = 32;
const FILES_BYTES_MAX = 256 * 1024 * 1024;
/** A whole log is set aside for another format or when nothing else helps; each may be 2 GiB. */
const LOGS_MAX = 2;
/** Reports are a few hundred bytes: the history of a bad card. */
const REPORTS_MAX = 128;
const KEPT = /^kept-(\d{1,9})$/;
const NUMBERED = /^(\d{1,9})-(.+)$/;

interface Item {
  readonly name: string;
  readonly number: number;
  readonly kind: 'report' | 'file' | 'log' | 'kept';
}

export class LostFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Moves a file or folder in here. */
  async move(path: string, problem: string): Promise<Finding> {
    const number = await this.#nextNumber();
    const file = this.#shown(path);
    const setAside = join(this.path, `${number}-${basename(path)}`);
    const bytes = await sizeOf(path);
    await this.#report(number, { file, problem, bytes, setAside });
    try {
      await rename(path, setAside);
    } catch (error) {
      if (errorCode(error) !== 'EXDEV') throw error;
      await cp(path, setAside, { recursive: true });
      await rm(path, { recursive: true, force: true });
    }
    await this.#bound();
    return { file, problem, setAside };
  }

  /** Keeps the file as it is now; the original stays where it is and is replaced, not changed. */
  async keep(path: string, problem: string): Promise<Finding> {
    const number = await this.#nextNumber();
    const file = this.#shown(path);
    const setAside = join(this.path, `${number}-${basename(path)}`);
    await this.#report(number, { file, problem, bytes: await sizeOf(path), setAside });
    await linkOrCopy(path, setAside);
    await this.#bound();
    return { file, problem, setAside };
  }

  /** Something is missing: there is only the report. */
  async note(path: string, problem: string): Promise<Finding> {
    const file = this.#shown(path);
    await this.#report(await this.#nextNumber(), { file, problem, bytes: 0 });
    await this.#bound();
    return { file, problem };
  }

  /** Keeps sound files, which LevelDB is about to delete, until `release`. */
  async keepInCase(paths: readonly string[]): Promise<void> {
    if (paths.length === 0) return;
    const folder = join(this.path, `kept-${await this.#nextNumber()}`);
    await mkdir(folder, { recursive: true });
    for (const path of paths) await linkOrCopy(path, join(folder, basename(path)));
    await syncFolder(folder);
    await this.#bound();
  }

  /** Moves a whole log in here in which LevelDB finds nothing, though we may: `sources` has it. */
  async keepLog(path: string, problem: string): Promise<Finding> {
    const { file, setAside = this.path } = await this.move(path, problem);
    const kept = join(this.path, `kept-${await this.#nextNumber()}`);
    await rename(setAside, kept);
    return { file, problem, setAside: kept };
  }

  /** Folders with tables and logs that may hold what the log is missing. */
  async sources(): Promise<string[]> {
    const items = await this.#items();
    return items.filter(({ kind }) => kind === 'kept').map(({ name }) => join(this.path, name));
  }

  /** The log has been checked whole. */
  async release(): Promise<void> {
    for (const folder of await this.sources()) await rm(folder, { recursive: true, force: true });
  }

  /** As the user finds it: from the folder that lost+found is in. */
  #shown(path: string): string {
    return relative(dirname(this.path), path);
  }

  async #report(number: number, facts: Finding & { readonly bytes: number }): Promise<void> {
    await mkdir(this.path, { recursive: true });
    const report = { time: new Date().toISOString(), ...facts };
    const text = `${JSON.stringify(report, undefined, 2)}\n`;
    const path = join(this.path, `${number}-report.json`);
    await writeFile(path, text).catch((error: unknown) => {
      if (errorCode(error) !== 'ENOSPC') throw error; // a full card keeps no report, but its log
    });
  }

  async #nextNumber(): Promise<number> {
    return 1 + Math.max(0, ...(await this.#items()).map(({ number }) => number));
  }

  /** In order of age. */
  async #items(): Promise<Item[]> {
    const entries = await readdir(this.path, { withFileTypes: true }).catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return [];
      throw error;
    });
    const items: Item[] = [];
    for (const entry of entries) {
      const { name } = entry;
      const kept = KEPT.exec(name);
      const numbered = NUMBERED.exec(name);
      if (kept) items.push({ name, number: Number(kept[1]), kind: 'kept' });
      if (!numbered) continue;
      const file = numbered[2] === 'report.json' ? 'report' : 'file';
      items.push({ name, number: Number(numbered[1]), kind: entry.isDirectory() ? 'log' : file });
    }
    return items.sort((a, b) => a.number - b.number);
  }

  /** The oldest go first. */
  async #bound(): Promise<void> {
    const items = await this.#items();
    const of = (kind: Item['kind']) => items.filter((item) => item.kind === kind);
    const tooMany = [
      ...of('report').slice(0, -REPORTS_MAX),
      ...of('log').slice(0, -LOGS_MAX),
      ...of('kept').slice(0, -LOGS_MAX),
    ];
    let bytes = 0;
    for (const [index, item] of of('file').reverse().entries()) {
      bytes += await sizeOf(join(this.path, item.name));
      // the newest stays whatever its size: it is what the report of today is about
      if (index > 0 && (index >= FILES_MAX || bytes > FILES_BYTES_MAX)) tooMany.push(item);
    }
    for (const { name } of tooMany) {
      await rm(join(this.path, name), { recursive: true, force: true });
    }
    await syncFolder(this.path);
  }
}

async function sizeOf(path: string): Promise<number> {
  const facts = await stat(path);
  if (!facts.isDirectory()) return facts.size;
  let bytes = 0;
  for (const name of await readdir(path)) bytes += (await stat(join(path, name))).size;
  return bytes;
}

/** A link costs no space until the original goes; not every file system has them. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return;
    await copyFile(from, to, constants.COPYFILE_EXCL);
  }
}
