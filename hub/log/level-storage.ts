import { mkdir, open } from 'node:fs/promises';
import { Level } from 'level';
import { describeError, HubError } from '../core/errors.ts';
import type { Entry, KeyRange, Storage, WriteOperation } from './storage.ts';

/** Blocks are read once and in order: a small cache is enough and a Pi has little memory. */
const CACHE_BYTES = 4 * 1024 * 1024;
/**
 * Size of LevelDB's write-ahead log before it becomes a table. Larger means fewer compactions (less
 * wear of the card) and a longer recovery after a crash: 8 MiB are read back in about 0.1 s.
 */
const WRITE_BUFFER_BYTES = 8 * 1024 * 1024;
/** Entries fetched from LevelDB at a time, and their bytes: about one forwarder batch. */
const FETCH_ENTRIES = 16;
const FETCH_BYTES = 1024 * 1024;

type Database = Level<Buffer, Buffer>;

function openDatabase(folder: string): Database {
  return new Level<Buffer, Buffer>(folder, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    cacheSize: CACHE_BYTES,
    writeBufferSize: WRITE_BUFFER_BYTES,
  });
}

/** LevelDB does not fsync its folder after creating files in it; without that a power cut can. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function openError(folder: string, error: unknown): HubError {
  const text = describeError(error);
  if (text.includes('LEVEL_LOCKED')) {
    return new HubError('LOG_LOCKED', `${folder} is in use by another hub`, { cause: error });
  }
  return new HubError('LOG_NOT_OPEN', `cannot open the log in ${folder}: ${text}`, {
    cause: error,
  });
}

/** The log's storage on LevelDB. One process a folder. */
export function levelStorage(folder: string): Storage {
  let database: Database | undefined;
  const opened = (): Database => {
    if (!database) throw new HubError('LOG_NOT_OPEN', `the log in ${folder} is not open`);
    return database;
  };

  return {
    async open() {
      const opening = openDatabase(folder);
      try {
        await mkdir(folder, { recursive: true });
        await opening.open();
        await syncFolder(folder);
      } catch (error) {
        await opening.close().catch(() => undefined); // a handle left open would lock us out
        throw openError(folder, error);
      }
      database = opening;
    },
    async close() {
      const closing = database;
      database = undefined;
      await closing?.close();
    },
    get: (key) => opened().get(key),
    async last(range) {
      for await (const entry of opened().iterator({ ...range, reverse: true, limit: 1 })) {
        return entry;
      }
      return undefined;
    },
    async *entries(range: KeyRange): AsyncGenerator<Entry> {
      const iterator = opened().iterator({ ...range, highWaterMarkBytes: FETCH_BYTES });
      try {
        for (;;) {
          const entries = await iterator.nextv(FETCH_ENTRIES);
          if (entries.length === 0) return;
          yield* entries;
        }
      } finally {
        await iterator.close();
      }
    },
    async write(operations: readonly WriteOperation[], { sync }) {
      await opened().batch([...operations], { sync });
    },
    async compact({ gte, lt }) {
      // `level` is classic-level on Node.js, whose compactRange its types leave out
      const database = opened();
      if ('compactRange' in database && typeof database.compactRange === 'function') {
        await database.compactRange(gte, lt);
      }
    },
  };
}
