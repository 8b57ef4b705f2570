import type { Command, CommandAnswer, CommandRequest } from '../core/command.ts';
import type {
  Actor,
  OperationDetails,
  OperationName,
  SkipRequest,
  SkipResult,
} from '../core/operation.ts';
import type {
  DeadLetterDetail,
  DeadLetterDiscard,
  DeadLetterPage,
  DeadLetterRetry,
  History,
  LatestValue,
  Outage,
  ReplayJob,
  SinkStatus,
  Status,
  StreamReadings,
} from '../core/status.ts';
import type { IncomingTrace } from '../core/trace.ts';

/** Whether all is well, and if not, why: phrases for people, without secrets. */
export interface Condition {
  readonly ok: boolean;
  readonly reasons: readonly string[];
  /** What is as people wanted it, although it may not look like it. */
  readonly notes?: readonly string[];
}

export interface LatestFilter {
  readonly device?: string | undefined;
  readonly metric?: string | undefined;
}

/** Times in ms since 1970; `fromMs < toMs`. */
export interface HistoryQuery {
  readonly device: string;
  readonly metric: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly points: number;
}

export interface EventQuery {
  readonly fromMs: number;
  readonly toMs: number;
  /** An MQTT topic filter; undefined takes all. */
  readonly topic?: string | undefined;
  readonly limit: number;
}

export interface DeviceSummary {
  readonly device: string;
  readonly metrics: readonly string[];
  readonly lastReceivedMs: number;
}

/** Instructions to a sink; undefined from all of them when there is no such sink. */
export interface OperationView {
  /**
   * Nothing is sent any more. Resolves when it will be so after a restart too; `busy`: what is
   * under way does not end, and nothing was done.
   */
  pause(sink: string, actor: Actor): Promise<SinkStatus | 'busy' | undefined>;
  resume(sink: string, actor: Actor): Promise<SinkStatus | undefined>;
  /** Has the sink leave events out. Resolves when that is durable; `busy` as for `pause`. */
  skip(sink: string, request: SkipRequest, actor: Actor): Promise<SkipResult | 'busy' | undefined>;
  /** Writes down what was done to a sink that exists: it becomes an event of the log. */
  note(
    sink: string,
    operation: OperationName,
    details: OperationDetails,
    actor: Actor,
  ): Promise<void>;
}

/** Replays of a sink; undefined from all of them when there is no such sink. */
export interface ReplayView {
  /** Resolves when it is durable. Undefined too when too many wait already. */
  request(
    sink: string,
    range: { readonly fromMs: number; readonly toMs: number },
    actor: Actor,
  ): Promise<ReplayJob | undefined>;
  /** Those that run or wait, and the last that have ended. */
  list(sink: string): readonly ReplayJob[] | undefined;
  /** Undefined too when there is no such replay. */
  cancel(sink: string, id: number, actor: Actor): Promise<ReplayJob | undefined>;
}

/** A message to be stored. */
export interface IngestMessage {
  readonly topic: string;
  readonly payload: Buffer;
  readonly trace: IncomingTrace | undefined;
}

/** The way in for messages over HTTP. */
export interface IngestView {
  /** Whether what is stored is on stable storage when it is acknowledged. */
  readonly durable: boolean;
  /** The most that topic and payload of one message may have together. */
  readonly messageBytesMax: number;
  /** What is wrong with a topic to publish to; undefined when nothing is. */
  topicProblem(topic: string): string | undefined;
  /**
   * Waits for room for some seconds. `full`: there is none, and nothing was stored. `unsure`: the
   * log is closing or cannot be written; a part may have been stored. `gone`: the signal aborted
   * while it waited.
   */
  accept(
    messages: readonly IngestMessage[],
    signal: AbortSignal,
  ): Promise<'stored' | 'full' | 'unsure' | 'gone'>;
}

/** Which dead letters are meant. */
export type DeadLetterChoice = { readonly numbers: readonly number[] } | 'all';

export interface DeadLetterQuery {
  readonly order: 'newest' | 'oldest';
  /** The number with which the page before ended. */
  readonly after?: number | undefined;
  readonly limit: number;
}

/** What was asked for is done, or nothing is because there are no letters of these numbers. */
export type DeadLetterAnswer<Done> = Done | { readonly unknown: readonly number[] };

/** The dead letters of a sink; undefined from all of them when there is no such sink. */
export interface DeadLetterView {
  has(sink: string): boolean;
  list(sink: string, query: DeadLetterQuery): Promise<DeadLetterPage | undefined>;
  /** Undefined too when there is no such letter. */
  get(sink: string, number: number): Promise<DeadLetterDetail | undefined>;
  /** Sends them again as soon as the far side can take them. A restart forgets what waits. */
  retry(sink: string, choice: DeadLetterChoice): DeadLetterAnswer<DeadLetterRetry> | undefined;
  /** Gives them up. Resolves when that is durable. */
  discard(
    sink: string,
    choice: DeadLetterChoice,
  ): Promise<DeadLetterAnswer<DeadLetterDiscard> | undefined>;
}

/** Outages, the newest first. */
export interface OutageView {
  all(): readonly Outage[];
  /** Undefined when there is no such sink. */
  of(sink: string): readonly Outage[] | undefined;
}

/** Commands to devices. */
export interface CommandView {
  /** Resolves when the command is durable. */
  give(request: CommandRequest, actor: Actor): Promise<CommandAnswer>;
  get(device: string, id: string): Command | undefined;
  /** The newest first. */
  list(device: string): readonly Command[];
}

/** All that the API knows of the hub; the composition root provides it. */
export interface HubView {
  /** Whether the process works at all: a supervisor restarts it when not. */
  health(): Condition;
  /** Whether it accepts and stores events now. */
  ready(): Condition;
  status(): Status;
  latest(filter: LatestFilter): readonly LatestValue[];
  devices(): readonly DeviceSummary[];
  /** Rejects with the signal's reason when it aborts. */
  history(query: HistoryQuery, signal: AbortSignal): Promise<History>;
  /** CloudEvents, each as JSON text. Rejects with the signal's reason when it aborts. */
  events(query: EventQuery, signal: AbortSignal): Promise<readonly string[]>;
  readonly replays: ReplayView;
  readonly outages: OutageView;
  readonly operations: OperationView;
  readonly deadLetters: DeadLetterView;
  readonly ingest: IngestView;
  readonly commands: CommandView;
  /** Prometheus text, or OpenMetrics text with exemplars. */
  metricsText(format: 'prometheus' | 'openmetrics'): Promise<string>;
  /**
   * Calls `listener` with what changed, at most 4 times a second, until the returned function is
   * called.
   */
  subscribe(listener: (readings: StreamReadings) => void): () => void;
}
