import type { Clock } from '../core/clock.ts';
import type { Lane } from '../core/event.ts';
import type { WhenFull } from '../core/status.ts';
import type { TraceContext } from '../core/trace.ts';
import type { CommitProfile } from './commit/gathering.ts';
import type { Durability } from './commit/group-commit.ts';
import type { Cursors } from './cursors.ts';
import type { DamagedRange } from './damage/damage.ts';
import type { LaneState } from './lane-state.ts';
import type { Losses } from './ledger/losses.ts';
import type { Received } from './ledger/received.ts';
import type { HighWaterMark } from './mark.ts';
import type { Blocks } from './read/blocks.ts';
import type { ReplayRecords } from './replay-records.ts';
import type { Reserve } from './room/reserve.ts';
import type { WhenFullByLane } from './room/room.ts';
import type { Aggregate } from './room/thinner.ts';
import type { Rename, SinkPlace } from './sink-places.ts';
import type { Finding, Storage, WriteOperation } from './storage/storage.ts';
import type { Boots, ClockChange } from './time/boots.ts';

export interface LogOptions {
  readonly storage: Storage;
  /** The high-water mark, kept apart from the storage. */
  readonly mark: HighWaterMark;
  readonly reserve: Reserve;
  readonly clock: Clock;
  readonly durability: Durability;
  readonly profile: CommitProfile;
  readonly bytesMax: number;
  /** Below this many free bytes on the volume the log counts as full. */
  readonly freeBytesMin: number;
  readonly whenFull: WhenFull | WhenFullByLane;
  readonly ageMaxMs: number;
  /** The sinks whose cursors hold the log, and where a new one begins. */
  readonly sinks: readonly SinkPlace[];
  /** Free bytes on the volume of the data directory. */
  freeBytes(): Promise<number>;
  /**
   * Bytes this process has sent to storage, as the kernel counts them; undefined if it does not.
   */
  writtenBytes?(): number | undefined;
  readonly observer?: LogObserver;
  /** What `thin` makes of events; without it nothing is thinned. */
  readonly aggregate?: Aggregate;
}

/** What metrics and logging want to know. */
export interface LogObserver {
  committed?(facts: {
    readonly seconds: number;
    readonly bytes: number;
    readonly blocks: number;
    /** Of events that are followed. */
    readonly traces: readonly TraceContext[];
  }): void;
  damaged?(lane: Lane, range: DamagedRange, problem: string): void;
  /** A file of the storage was not as it should be. */
  found?(finding: Finding): void;
  trouble?(problem: string | undefined): void;
  clock?(change: ClockChange): void;
  /** A sink has, or should have, the place of another name. */
  renamed?(rename: Rename): void;
}

/** What a log consists of when it has been loaded. */
export interface LoadedLog {
  readonly id: string;
  readonly lanes: ReadonlyMap<Lane, LaneState>;
  readonly blocks: Blocks;
  readonly boots: Boots;
  readonly cursors: Cursors;
  readonly losses: Losses;
  readonly received: Received;
  readonly replays: ReplayRecords;
  /** Where the blocks that can be read end, by lane: the rest up to the tail is lost. */
  readonly readableEnds: ReadonlyMap<Lane, number>;
  /** To be written with the first commit. */
  readonly deferred: readonly WriteOperation[];
}
