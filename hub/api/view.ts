import type { History, LatestValue, ReplayJob, Status, StreamReadings } from '../core/status.ts';

/** Whether all is well, and if not, why: phrases for people, without secrets. */
export interface Condition {
  readonly ok: boolean;
  readonly reasons: readonly string[];
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

/** Replays of a sink; undefined from all of them when there is no such sink. */
export interface ReplayView {
  /** Resolves when it is durable. Undefined too when too many wait already. */
  request(
    sink: string,
    range: { readonly fromMs: number; readonly toMs: number },
  ): Promise<ReplayJob | undefined>;
  /** Those that run or wait, and the last that have ended. */
  list(sink: string): readonly ReplayJob[] | undefined;
  /** Undefined too when there is no such replay. */
  cancel(sink: string, id: number): Promise<ReplayJob | undefined>;
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
  /** Prometheus text. */
  metricsText(): Promise<string>;
  /**
   * Calls `listener` with what changed, at most 4 times a second, until the returned function is
   * called.
   */
  subscribe(listener: (readings: StreamReadings) => void): () => void;
}
