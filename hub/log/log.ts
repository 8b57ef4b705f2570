import type { HubError } from '../core/errors.ts';
import type { HubEvent, Lane, Message } from '../core/event.ts';
import type { LogStatus } from '../core/status.ts';

/** The events of one group commit in one lane, as read back: checked, and decoded on demand. */
export interface Block {
  readonly lane: Lane;
  readonly firstOffset: number;
  readonly count: number;
  /** Offsets it covers: `count`, and more when there are aggregates among its events. */
  readonly span: number;
  /** The topics that occur in this block; `topicIndexAt` points into it. */
  readonly topics: readonly string[];
  /** Arrival of the first and the last event, in ms since 1970, as far as is known now. */
  readonly firstReceivedMs: number;
  readonly lastReceivedMs: number;
  /** Bytes it takes in the log. */
  readonly storedBytes: number;
  /** The index of the first event at or after `offset`; `count` when there is none. */
  indexFrom(offset: number): number;
  /**
   * `index` counts from 0. An aggregate has the offset of the last event that it stands for:
   * whoever goes on from any place gets all that stands for what is ahead of it.
   */
  offsetAt(index: number): number;
  topicIndexAt(index: number): number;
  payloadBytesAt(index: number): number;
  eventAt(index: number): HubEvent;
}

/** The first offset kept and the next to be given: `[head, tail)`. */
export interface LaneRange {
  readonly head: number;
  readonly tail: number;
}

/** What readers and writers of the log may rely on. */
export interface EventLog {
  /** Random per log, so that a new card never reuses an event id. */
  readonly id: string;
  /**
   * Accepts a message. `done` is called once, in the order of the calls: without an error when the
   * event is on stable storage, with one (LOG_CLOSED, LOG_NOT_OPEN) when it is not and never will
   * be.
   */
  append(message: Message, lane: Lane, done: (error?: HubError) => void): void;
  range(lane: Lane): LaneRange;
  /**
   * Reads whole blocks from the one that holds `offset` on, at least one and up to about `bytesMax`
   * payload bytes. Empty at the tail. An `offset` before the head starts at the head.
   */
  read(lane: Lane, offset: number, bytesMax: number): Promise<readonly Block[]>;
  /**
   * The offset of the first event of the block in which `receivedMs` falls; the tail when
   * later.
   */
  seek(lane: Lane, receivedMs: number): Promise<number>;
  /** Counts up when events that were read before may have other times by now. */
  readonly corrections: number;
  /** Calls `listener` after every commit, until the returned function is called. */
  onCommit(listener: () => void): () => void;
  status(): LogStatus;
}
