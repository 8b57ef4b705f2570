import {
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

const MODE_FOLDER = 0o040755;
const MODE_PROGRAM = 0o100755;
const MODE_LINK = 0o120777;
const ALIGNMENT = 4;

/**
 * The form in which Linux takes its first file system: cpio "newc". Everything is root's, and every
 * file may be run. The parent of a file has to come before it.
 */
export class Archive {
  readonly #file: number;
  readonly #folders = new Set<string>();
  #entries = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'w');
  }

  folder(name: string): void {
    if (name === '' || name === '.' || this.#folders.has(name)) return;
    this.folder(name.split('/').slice(0, -1).join('/'));
    this.#folders.add(name);
    this.#entry(name, MODE_FOLDER, Buffer.alloc(0));
  }

  file(name: string, contents: Buffer | string): void {
    this.folder(name.split('/').slice(0, -1).join('/'));
    this.#entry(name, MODE_PROGRAM, Buffer.from(contents));
  }

  link(name: string, target: string): void {
    this.#entry(name, MODE_LINK, Buffer.from(target));
  }

  /** Everything in the folder `from` that `wanted` has, under the name `name`. */
  tree(from: string, name: string, wanted: (path: string) => boolean = () => true): void {
    for (const entry of readdirSync(from).sort()) {
      const path = join(from, entry);
      const inside = name === '' ? entry : `${name}/${entry}`;
      if (!wanted(path)) continue;
      const stat = lstatSync(path);
      if (stat.isDirectory()) this.tree(path, inside, wanted);
      else if (stat.isSymbolicLink()) {
        this.folder(name);
        this.link(inside, readlinkSync(path));
      } else if (stat.isFile()) this.file(inside, readFileSync(path));
    }
  }

  close(): void {
    this.#entry('TRAILER!!!', 0, Buffer.alloc(0));
    closeSync(this.#file);
  }

  #entry(name: string, mode: number, contents: Buffer): void {
    this.#entries += 1;
    const bytes = Buffer.from(`${name}\0`);
    const links = mode === MODE_FOLDER ? 2 : 1;
    // inode, mode, owner, group, links, time, size, device (2), special device (2); then name, sum
    const fields = [this.#entries, mode, 0, 0, links, 0, contents.length, 0, 0, 0, 0];
    const header = [...fields, bytes.length, 0].map((field) => field.toString(16).padStart(8, '0'));
    this.#write(Buffer.concat([Buffer.from(`070701${header.join('')}`), bytes]));
    this.#write(contents);
  }

  #write(bytes: Buffer): void {
    writeSync(this.#file, bytes);
    const rest = bytes.length % ALIGNMENT;
    if (rest > 0) writeSync(this.#file, Buffer.alloc(ALIGNMENT - rest));
  }
}
