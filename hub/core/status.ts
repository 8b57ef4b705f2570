/**
 * What `/api/v1/status` answers and `holdfast status --json` prints. Times in ms, sizes in bytes.
 */
import type { BridgeState } from './bridge.ts';
import type { Lane } from './event.ts';
import type { LinkState } from './link.ts';

export interface Status {
  readonly hub: {
    readonly id: string;
    readonly version: string;
    readonly startedMs: number;
    readonly ready: boolean;
    /** Why it is not ready, or what is degraded. Empty when all is well. */
    readonly problems: readonly string[];
  };
  readonly inputs: {
    readonly eventsPerSecond: number;
    readonly mqttClients: number;
    readonly mqttListeners: readonly string[];
    readonly bridges: readonly BridgeStatus[];
  };
  readonly log: LogStatus;
  readonly sinks: readonly SinkStatus[];
  readonly clock: { readonly synced: boolean };
  readonly disk: { readonly freeBytes: number; readonly totalBytes: number };
}

export interface BridgeStatus {
  readonly id: string;
  readonly type: string;
  readonly state: BridgeState;
  readonly detail?: string;
}

export interface LogStatus {
  readonly id: string;
  readonly events: number;
  readonly bytes: number;
  readonly bytesMax: number;
  /** Age of the oldest event kept; null when the log is empty. */
  readonly oldestAgeMs: number | null;
  /** At the rate of the last minutes, with nothing delivered; null when it is not filling. */
  readonly secondsUntilFull: number | null;
  readonly durability: 'fsync' | 'interval';
  /** What a power cut may take although it was acknowledged: 0 with fsync. */
  readonly lossWindowMs: number;
  readonly whenFull: 'block' | 'drop_oldest' | 'drop_newest';
  /** True while publishers wait for room. */
  readonly full: boolean;
  readonly acceptedEvents: number;
  readonly lostEvents: number;
  readonly writtenBytes: number;
  readonly lanes: readonly LaneStatus[];
}

export interface LaneStatus {
  readonly lane: Lane;
  /** First offset still kept, and the next one to be given. */
  readonly head: number;
  readonly tail: number;
  readonly bytes: number;
}

export interface SinkStatus {
  readonly id: string;
  readonly type: string;
  readonly state: LinkState;
  /** What the state is about, for people: the last error, or why it is halted. */
  readonly detail?: string;
  /** When the next try starts, while in `backoff`. */
  readonly retryAtMs?: number;
  readonly lagEvents: number;
  /** Age of the oldest event not yet delivered; 0 when there is none. */
  readonly lagMs: number;
  readonly eventsPerSecond: number;
  /** Null when it is not draining. */
  readonly etaSeconds: number | null;
  readonly deliveredEvents: number;
  /** Passed over because the sink's `topics` do not match. */
  readonly filteredEvents: number;
  readonly deadLetters: number;
  readonly lostEvents: number;
}

/** The current value of one metric of one device: `/api/v1/latest`. */
export interface LatestValue {
  readonly device: string;
  readonly metric: string;
  readonly value: number | string | boolean;
  readonly unit?: string;
  readonly timeMs: number;
  readonly timeQuality: string;
  readonly receivedMs: number;
  readonly tags: Readonly<Record<string, string>>;
}

/** `/api/v1/history`: one point a bucket; buckets without readings are absent. */
export interface HistoryPoint {
  readonly timeMs: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly count: number;
}

export interface History {
  readonly device: string;
  readonly metric: string;
  readonly unit?: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly points: readonly HistoryPoint[];
  /** True when the range held more events than one query may read; the oldest part is missing. */
  readonly truncated: boolean;
}

/**
 * What `/api/v1/stream` sends: event `readings` with an array of these, event `status` with Status.
 */
export type StreamReadings = readonly LatestValue[];
