/**
 * Holds LevelDB's lock on a folder without opening it, while its files are being mended: Node.js
 * has no file locks, LevelDB has. A small LevelDB of its own, whose LOCK is a link to the real one.
 * (Locks are the process's: whoever opens and closes LOCK by other means gives the lock away.)
 */
import { mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Level } from 'level';
import { describeError, HubError } from '../../../core/errors.ts';

/** More than an empty LevelDB writes. */
const PROBE_BYTES = 16 * 1024;

const PROBE_PREFIX = '.holdfast-lock-';
/** Mending takes seconds: an older one was left behind by a process that was killed meanwhile. */
const LEFT_BEHIND_MS = 600_000;

/** Folders that this process has open: a lock that it holds itself would not stop it. */
const OPEN = new Set<string>();

export function lockedError(folder: string, cause?: unknown): HubError {
  return new HubError('LOG_LOCKED', `${folder} is in use by another hub`, { cause });
}

/** Notes that this process has the folder open. Errors: LOG_LOCKED when it has it already. */
export function claim(folder: string): void {
  const path = resolve(folder);
  if (OPEN.has(path)) throw lockedError(folder);
  OPEN.add(path);
}

export function unclaim(folder: string): void {
  OPEN.delete(resolve(folder));
}

/** Runs `work` while no other process can open the folder. Errors: LOG_LOCKED; those of `work`. */
export async function whileLocked<Result>(
  folder: string,
  work: () => Promise<Result>,
): Promise<Result> {
  // without the file nobody holds it: LevelDB makes it before it looks at anything else
  const isThere = await stat(join(folder, 'LOCK')).catch(() => undefined);
  if (!isThere) return await work();
  const probe = await makeProbe(folder);
  const holder = new Level(probe);
  try {
    await holder.open().catch((error: unknown) => {
      if (describeError(error).includes('LEVEL_LOCKED')) throw lockedError(folder, error);
      throw error;
    });
    await removeLeftBehind(dirname(probe));
    return await work();
  } finally {
    await holder.close().catch(() => undefined);
    await rm(probe, { recursive: true, force: true });
  }
}

async function removeLeftBehind(parent: string): Promise<void> {
  for (const name of await readdir(parent).catch(() => [])) {
    if (!name.startsWith(PROBE_PREFIX)) continue;
    const path = join(parent, name);
    const madeMs = (await stat(path).catch(() => undefined))?.mtimeMs ?? Number.POSITIVE_INFINITY;
    const left = Date.now() - madeMs > LEFT_BEHIND_MS;
    if (left) await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** A folder whose LOCK is the one of `folder`. A volume may be full, or a card have no links. */
async function makeProbe(folder: string): Promise<string> {
  let problem: unknown;
  for (const parent of [dirname(resolve(folder)), tmpdir()]) {
    let probe: string | undefined;
    try {
      probe = await mkdtemp(join(parent, PROBE_PREFIX));
      await symlink(resolve(folder, 'LOCK'), join(probe, 'LOCK'));
      await writeFile(join(probe, 'space'), Buffer.alloc(PROBE_BYTES));
      return probe;
    } catch (error) {
      problem ??= error;
      if (probe) await rm(probe, { recursive: true, force: true }).catch(() => undefined);
    }
  }
  throw problem;
}
