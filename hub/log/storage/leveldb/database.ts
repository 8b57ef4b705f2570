/** LevelDB as we open it, and what its errors mean. */
import { Level } from 'level';
import { describeError, HubError } from '../../../core/errors.ts';
import type { KeyRange } from '../storage.ts';
import { lockedError } from './guard.ts';

/** Blocks are read once and in order: a small cache is enough and a Pi has little memory. */
const CACHE_BYTES = 4 * 1024 * 1024;
/**
 * LevelDB maps the tables that it has open into memory, 2 MiB each: with its default of a thousand,
 * reading a large backlog would look like a leak of 2 GiB. This is the least that it takes.
 */
const OPEN_FILES_MAX = 74;
/**
 * Size of LevelDB's write-ahead log before it becomes a table. Larger means fewer compactions (less
 * wear of the card) and a longer recovery after a crash: 8 MiB are read back in about 0.1 s.
 */
const WRITE_BUFFER_BYTES = 8 * 1024 * 1024;

export type Database = Level<Buffer, Buffer>;

/** Not open yet. Blocks are deflated already; uncompressed, damage stays within one value. */
export function makeDatabase(folder: string): Database {
  return new Level<Buffer, Buffer>(folder, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    cacheSize: CACHE_BYTES,
    writeBufferSize: WRITE_BUFFER_BYTES,
    compression: false,
    maxOpenFiles: OPEN_FILES_MAX,
  });
}

/** `level` is classic-level on Node.js, whose compactRange its types leave out. */
export async function compactRange(database: Database, { gte, lt }: KeyRange): Promise<void> {
  if ('compactRange' in database && typeof database.compactRange === 'function') {
    await database.compactRange(gte, lt);
  }
}

/** What strerror says when the volume or the process is at fault, not the contents of a file. */
const SURROUNDINGS = new RegExp(
  [
    'ENOSPC|EDQUOT|EIO|EACCES|EPERM|EROFS|EMFILE|ENFILE|ENOMEM|ENOTDIR|ELOOP|ENAMETOOLONG',
    'No space left|Disk quota|Input/output error|Permission denied|Operation not permitted',
    'Read-only file system|Too many open files|Cannot allocate memory|Not a directory',
  ].join('|'),
);

export type Trouble = 'locked' | 'surroundings' | 'contents';

/** Whose fault it is that the folder cannot be opened. */
export function troubleOf(error: unknown): Trouble {
  if (error instanceof HubError) return error.code === 'LOG_LOCKED' ? 'locked' : 'surroundings';
  const text = describeError(error);
  if (text.includes('LEVEL_LOCKED')) return 'locked';
  return SURROUNDINGS.test(text) ? 'surroundings' : 'contents';
}

/** LOG_LOCKED or LOG_NOT_OPEN. */
export function openError(folder: string, error: unknown): HubError {
  if (error instanceof HubError) return error;
  if (troubleOf(error) === 'locked') return lockedError(folder, error);
  const text = `cannot open the log in ${folder}: ${describeError(error)}`;
  return new HubError('LOG_NOT_OPEN', text, { cause: error });
}

/** Whether LevelDB has met damage in one of its files. */
export function isCorruption(error: unknown): boolean {
  const text = describeError(error);
  return text.includes('LEVEL_CORRUPTION') || text.includes('Corruption: ');
}
