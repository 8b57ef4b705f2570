/**
 * What `/api/v1/status` answers and `holdfast status --json` prints. Times in ms, sizes in bytes.
 */
import type { BridgeState } from './bridge.ts';
import type { ClockState } from './clock.ts';
import type { Lane } from './event.ts';
import type { LinkState } from './link.ts';
import type { LostCounts } from './lost-counts.ts';

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
    /** Of them, those whose publishes wait until the log can take them. */
    readonly mqttClientsWaiting: number;
    readonly mqttListeners: readonly string[];
    readonly bridges: readonly BridgeStatus[];
  };
  readonly log: LogStatus;
  readonly sinks: readonly SinkStatus[];
  readonly clock: ClockStatus;
  readonly disk: { readonly freeBytes: number; readonly totalBytes: number };
}

export interface ClockStatus {
  readonly synced: boolean;
  /** `unknown`: nothing here tells, as in a container. */
  readonly state: ClockState;
  /** What told: `systemd-timesyncd`, `chrony`, `ntpd`, `kernel`. */
  readonly source?: string;
  /** How far the wall clock was moved by the last correction; 0 when it was right. */
  readonly offsetMs: number;
  /** Whether sinks hold back what has no sure time yet. */
  readonly waiting: boolean;
}

export interface BridgeStatus {
  readonly id: string;
  readonly type: string;
  readonly state: BridgeState;
  readonly detail?: string;
  /** It is being read, and `detail` says what of it is not. */
  readonly degraded?: true;
}

/** What happens when there is no more room, see docs/log.md. */
export const WHEN_FULL = ['block', 'drop_oldest', 'drop_newest', 'thin'] as const;
export type WhenFull = (typeof WHEN_FULL)[number];

/** The ledger's incoming side. Per lane, received = the lane's tail + what was refused as full. */
export interface ReceivedStatus {
  readonly source: string;
  readonly lane: Lane;
  readonly events: number;
}

/** Events given up, of all sinks together: each is counted once. */
export interface LostStatus {
  readonly lane: string;
  readonly reason: string;
  readonly events: number;
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
  readonly whenFull: Readonly<Record<Lane, WhenFull>>;
  /** Why there is no room for normal events, in the user's words; null when there is. */
  readonly fullReason: string | null;
  readonly full: boolean;
  readonly acceptedEvents: number;
  readonly lostEvents: number;
  readonly received: readonly ReceivedStatus[];
  readonly lost: readonly LostStatus[];
  /** Sent to storage since the hub started; by the whole process when `writtenBytesMeasured`. */
  readonly writtenBytes: number;
  /** Counted by the kernel. Else it is what the log handed over, before LevelDB compacts. */
  readonly writtenBytesMeasured: boolean;
  /** `writtenBytes` for each payload byte accepted since the hub started; null before the first. */
  readonly writtenBytesPerPayloadByte: number | null;
  readonly commitsPerSecond: number;
  readonly lanes: readonly LaneStatus[];
}

export interface LaneStatus {
  readonly lane: Lane;
  /** First offset still kept, and the next one to be given. */
  readonly head: number;
  readonly tail: number;
  readonly bytes: number;
  /** Given up as full before they had an offset: received, and in no sink's ledger. */
  readonly refused: number;
  readonly thinned: LaneThinning;
}

/** What `thin` has made of a lane since the log was created. */
export interface LaneThinning {
  /** Events that became a part of aggregates, and how many aggregates those are. */
  readonly events: number;
  readonly aggregates: number;
  /** The interval at work; 0 as long as nothing was thinned. */
  readonly intervalMs: number;
}

/**
 * The ledger's outgoing side: `settled = delivered + filtered + thinned + deadLettered + the sum of
 * lost`, and the lane's tail = `start + settled + queued`.
 */
export interface SinkLaneStatus {
  readonly lane: Lane;
  /** The offset the sink began at. */
  readonly start: number;
  readonly settled: number;
  readonly delivered: number;
  readonly filtered: number;
  readonly thinned: number;
  readonly deadLettered: number;
  readonly lost: LostCounts;
  readonly queued: number;
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
  readonly lanes: readonly SinkLaneStatus[];
  readonly pace: SinkPaceStatus;
  readonly replay: SinkReplayStatus;
  /** The outage that goes on; null when the far side took the last that was sent. */
  readonly outage: Outage | null;
  /** Absent without a `budget`. */
  readonly governor?: GovernorStatus;
  /** What went through its connections in both directions since the start, if it counts that. */
  readonly wireBytes?: number;
}

/** What went wrong, in a few words of the far side or the system. */
export interface OutageError {
  /** Of ERRORS: `SINK_DISCONNECTED`. */
  readonly code: string;
  readonly text: string;
}

/**
 * A time in which a far side took nothing: `/api/v1/outages`. Interruptions that are less than 10 s
 * apart are one outage.
 */
export interface Outage {
  readonly sink: string;
  /** Counts up per sink, from 1. */
  readonly id: number;
  /** In ms since 1970, corrected by what is known of the hub's clock now. */
  readonly startedMs: number;
  /** Null while it goes on. */
  readonly endedMs: number | null;
  /**
   * By the monotonic clock; so far, while it goes on. Across reboots the least it can have been.
   */
  readonly lengthMs: number;
  /** How often the link went down in it; at least 1. */
  readonly interruptions: number;
  /** Tries that failed. */
  readonly tries: number;
  /** How often the hub was started in it, and how many of those were reboots of the machine. */
  readonly hubStarts: number;
  readonly reboots: number;
  readonly firstError: OutageError;
  readonly lastError: OutageError;
  /** Events that waited when it began, and behind the first delivery when it ended. */
  readonly backlogAtStart: number;
  readonly backlogAtEnd: number | null;
  /** From the end until what waited then was settled; null when that is not known (yet). */
  readonly drainedAfterMs: number | null;
}

/** Why something is held back by a budget. */
export const HOLD_REASONS = ['budget_day', 'budget_month', 'window', 'rate'] as const;
export type HoldReason = (typeof HOLD_REASONS)[number];

/** What the user lets a sink send, and what is held back: see docs/budget.md. */
export interface GovernorStatus {
  /** `default`, or the pattern of `networks` that counts now. */
  readonly profile: string;
  /** The network interface that the route to the far side uses; null while it is not known. */
  readonly interface: string | null;
  readonly unlimited: boolean;
  readonly day: BudgetUse;
  readonly month: BudgetUse;
  /** Null when it is always open. */
  readonly window: {
    readonly text: string;
    readonly open: boolean;
    /** Null when it never is otherwise. */
    readonly changesAtMs: number | null;
  } | null;
  readonly exempt: readonly Lane[];
  readonly held: readonly HeldStatus[];
}

export interface BudgetUse {
  readonly usedBytes: number;
  /** Null when there is none. */
  readonly limitBytes: number | null;
  readonly resetsAtMs: number;
}

export interface HeldStatus {
  readonly lane: Lane;
  readonly reason: HoldReason;
  readonly untilMs: number;
  /** For people. */
  readonly detail: string;
}

/** How much is sent at once, as found out from the far side's answers. */
export interface SinkPaceStatus {
  /** Requests side by side. */
  readonly requests: number;
  /** Events in one of them at most. */
  readonly eventsMax: number;
  /** After the far side asked for less; null: as fast as it goes. */
  readonly eventsPerSecondMax: number | null;
}

/** What happens beside the sink's own cursor: nothing of it is in the ledger. */
export interface SinkReplayStatus {
  readonly running: ReplayJob | null;
  readonly queued: number;
  /** Events the far side took again, of all replays since the start of the process. */
  readonly replayedEvents: number;
}

/** `failed`: the far side would not take it; `detail` says why. */
export const REPLAY_STATES = ['queued', 'running', 'finished', 'cancelled', 'failed'] as const;
export type ReplayState = (typeof REPLAY_STATES)[number];

export function replayEnded(state: ReplayState): boolean {
  return state !== 'queued' && state !== 'running';
}

/**
 * A past range that is sent to one sink again: `/api/v1/sinks/{id}/replay`.
 * `doneEvents = replayed + refused + missing + thinned + filtered`.
 */
export interface ReplayJob {
  /** Counts up per sink. */
  readonly id: number;
  readonly sink: string;
  readonly state: ReplayState;
  readonly detail?: string;
  /** Arrival, in ms since 1970: from `fromMs`, before `toMs`. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly requestedMs: number;
  /** Null until it has ended. */
  readonly endedMs: number | null;
  /** Events in the blocks of the range, and how many of them have been looked at. */
  readonly totalEvents: number;
  readonly doneEvents: number;
  /** Taken by the far side. */
  readonly replayedEvents: number;
  /** Refused by the far side: counted here only, they are no dead letters. */
  readonly refusedEvents: number;
  /** In the log no more, or damaged. */
  readonly missingEvents: number;
  /** Only aggregates of them are left, which were sent instead. */
  readonly thinnedEvents: number;
  /** Of other topics, or in a block of the range but outside of it. */
  readonly filteredEvents: number;
  readonly eventsPerSecond: number;
  /** Null when it is not known. */
  readonly etaSeconds: number | null;
}

/**
 * An event that a far side will not take, in a list: `/api/v1/sinks/{id}/dead-letters`. Times in ms
 * since 1970.
 */
export interface DeadLetterSummary {
  /** Counts up per sink; none is used twice. */
  readonly number: number;
  /** The id of the event on the wire, which it keeps when it is sent again. */
  readonly eventId: string;
  readonly kind: string;
  readonly source: string;
  readonly lane: Lane;
  readonly offset: number;
  readonly topic: string;
  readonly receivedMs: number;
  readonly timeQuality: string;
  readonly reason: string;
  /** What the far side said, shortened; null when it said nothing. */
  readonly response: string | null;
  /** How often the far side was asked about this event. */
  readonly attempts: number;
  readonly rejectedMs: number;
  /** When it was sent again last; null when it never was. */
  readonly retriedMs: number | null;
  /** Whether it waits to be sent again. */
  readonly retrying: boolean;
  readonly payloadBytes: number;
  /** The beginning of the payload, fit to be shown. */
  readonly excerpt: string;
}

/** One dead letter with all of its payload. */
export interface DeadLetterDetail extends DeadLetterSummary {
  /** As JSON or text where that says exactly what was published. */
  readonly payload:
    | { readonly json: unknown }
    | { readonly text: string }
    | { readonly base64: string };
}

/** What has become of letters that were sent again, since `sinceMs`: the start of the hub. */
export interface DeadLetterRetryCounts {
  readonly waiting: number;
  readonly taken: number;
  readonly refused: number;
  readonly sinceMs: number;
}

export interface DeadLetterPage {
  readonly sink: string;
  readonly total: number;
  readonly retries: DeadLetterRetryCounts;
  readonly letters: readonly DeadLetterSummary[];
  /** The `after` of the next page; null when this is the last. */
  readonly next: number | null;
}

/** `retried`: letters that will be sent again. `retries`: as it was before. */
export interface DeadLetterRetry {
  readonly sink: string;
  readonly retried: number;
  readonly retries: DeadLetterRetryCounts;
}

/** Given up for good: they are in the ledger as lost, reason `poison`. */
export interface DeadLetterDiscard {
  readonly sink: string;
  readonly discarded: number;
  /** Left alone because the far side has them in its hands right now. */
  readonly underWay: number;
  readonly left: number;
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
  /**
   * True when the range held more events than one query reads: blocks spread evenly over it were
   * read instead, the newest ones all. `min`, `max`, `mean` and `count` are those of what was read.
   */
  readonly sampled: boolean;
  /** Events that were looked at, and how many there are in the blocks of the range. */
  readonly readEvents: number;
  readonly totalEvents: number;
}

/**
 * What `/api/v1/stream` sends: event `readings` with an array of these, event `status` with Status.
 */
export type StreamReadings = readonly LatestValue[];
