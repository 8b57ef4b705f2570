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

/** Something that was not as it should be when the storage was opened, and what became of it. */
export interface Finding {
  /** As the user finds it, relative to the data directory. */
  readonly file: string;
  readonly problem: string;
  /** Where it, or a copy of it, lies now. */
  readonly setAside?: string;
}

export interface Storage {
  /**
   * Opens whatever is there: what is damaged is set aside first. Errors: LOG_LOCKED when another
   * process holds it, LOG_NOT_OPEN when the folder cannot be written.
   */
  open(): Promise<readonly Finding[]>;
  /** Sets everything aside, because we cannot read it, and opens an empty storage instead. */
  startOver(reason: string): Promise<readonly Finding[]>;
  /**
   * Entries that can still be read from files that were set aside, or that nothing refers to any
   * more, in no order; the same key may come more than once.
   */
  salvage(range: KeyRange): AsyncIterable<Entry>;
  /** The log has been checked: what was kept only in case may go. */
  release(): Promise<void>;
  /** Waits for what is under way. Afterwards `open` may be called again. */
  close(): Promise<void>;
  /** Like `last` and `entries`: errors are LOG_CORRUPT for a place that cannot be read. */
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
