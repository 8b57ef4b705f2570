/**
 * The seam under the log: an ordered key-value store. The log talks to nothing else, so that a test
 * can put faults between the two (a failed write, a lost tail, a wrong byte).
 */
export type WriteOperation =
  | { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: Buffer };

export interface KeyRange {
  readonly gte: Buffer;
  /** Exclusive. */
  readonly lt: Buffer;
}

export type Entry = readonly [key: Buffer, value: Buffer];

export interface Storage {
  /** Errors: LOG_LOCKED when another process holds it, LOG_NOT_OPEN for everything else. */
  open(): Promise<void>;
  /** Waits for what is under way. Afterwards `open` may be called again. */
  close(): Promise<void>;
  get(key: Buffer): Promise<Buffer | undefined>;
  /** The entry with the greatest key in the range. */
  last(range: KeyRange): Promise<Entry | undefined>;
  /** Entries in ascending order; the consumer may stop at any time. */
  entries(range: KeyRange): AsyncIterable<Entry>;
  /** All or nothing, also across a crash. With `sync` it resolves after the fsync. */
  write(operations: readonly WriteOperation[], options: { sync: boolean }): Promise<void>;
  /** Gives the space of deleted keys back. */
  compact(range: KeyRange): Promise<void>;
}
