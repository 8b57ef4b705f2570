import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UNCHECKED_NAME } from './names.ts';

/** One process may be killed, or lose power, for any reason. Two in a row say something. */
const STARTS_MAX = 2;

/**
 * Counts openings that were followed neither by a check of the whole log nor by closing it. Trouble
 * with the file is ignored: it only decides how closely the folder is looked at.
 */
export class UncheckedStarts {
  readonly #file: string;

  constructor(folder: string) {
    this.#file = join(folder, UNCHECKED_NAME);
  }

  async tooMany(): Promise<boolean> {
    return (await this.#count()) >= STARTS_MAX;
  }

  /** The folder is about to be opened; `counted` unless it has just been checked whole. */
  async begin(counted: boolean): Promise<void> {
    await this.#write(counted ? (await this.#count()) + 1 : 1);
  }

  /** LevelDB has met damage: the next opening is to look closer, whoever does it. */
  async suspect(): Promise<void> {
    await this.#write(STARTS_MAX);
  }

  async forget(): Promise<void> {
    await rm(this.#file, { force: true }).catch(() => undefined);
  }

  async #count(): Promise<number> {
    const text = await readFile(this.#file, 'utf8').catch(() => '');
    return Number.parseInt(text, 10) || 0;
  }

  async #write(count: number): Promise<void> {
    await writeFile(this.#file, String(count)).catch(() => undefined);
  }
}
