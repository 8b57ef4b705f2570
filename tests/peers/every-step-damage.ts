import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What can befall the files of a log. `folder`: the data directory. */
export type Damage = (folder: string) => Promise<void>;

async function largest(folder: string, ending: RegExp): Promise<string> {
  let found = { path: '', bytes: -1 };
  for (const name of await readdir(join(folder, 'log'))) {
    const path = join(folder, 'log', name);
    const { size: bytes } = await stat(path);
    if (ending.test(name) && bytes > found.bytes) found = { path, bytes };
  }
  if (found.bytes < 0) throw new Error(`no ${ending} in ${folder}`);
  return found.path;
}

async function flip(path: string, share: number): Promise<void> {
  const bytes = await readFile(path);
  const at = Math.floor(bytes.length * share);
  bytes[at] = (bytes[at] ?? 0) ^ 0x40;
  await writeFile(path, bytes);
}

/** Makes the next opening look at every block of every table. */
async function lookClosely(folder: string): Promise<void> {
  await writeFile(join(folder, 'log', 'UNCHECKED'), '2');
}

const MANIFEST = /^MANIFEST-/;
const TABLE = /\.ldb$/;
const LOG = /\.log$/;

export const DAMAGES: Readonly<Record<string, Damage>> = {
  'MANIFEST is gone': async (folder) => rm(await largest(folder, MANIFEST)),
  'MANIFEST has a wrong bit': async (folder) => flip(await largest(folder, MANIFEST), 0.5),
  'CURRENT is gone': async (folder) => rm(join(folder, 'log', 'CURRENT')),
  'CURRENT is empty': async (folder) => writeFile(join(folder, 'log', 'CURRENT'), ''),
  'a table is gone': async (folder) => rm(await largest(folder, TABLE)),
  'a table has a wrong bit': async (folder) => {
    await flip(await largest(folder, TABLE), 0.5);
    await lookClosely(folder);
  },
  'a table is empty': async (folder) => writeFile(await largest(folder, TABLE), ''),
  'the write-ahead log has a wrong bit': async (folder) => flip(await largest(folder, LOG), 0.4),
  'the write-ahead log is gone': async (folder) => rm(await largest(folder, LOG)),
  'everything but the mark is gone': async (folder) =>
    rm(join(folder, 'log'), { recursive: true, force: true }),
  'the mark has two wrong bits': async (folder) => {
    await flip(join(folder, 'log.mark'), 0.02);
    await flip(join(folder, 'log.mark'), 0.52);
  },
};
