/**
 * Whether something that is asked for values answers (a slave on a bus, a sensor), and when it is
 * asked again when it does not. Pure: times are given. `failing` from the first request without an
 * answer; people are told from the second on, because one lost frame is no outage.
 */
export type SourceState =
  | { readonly is: 'answering' }
  | {
      readonly is: 'failing';
      /** Requests without an answer in a row. */
      readonly failures: number;
      readonly why: string;
      /** Monotonic, in ms: not asked before. */
      readonly retryAtMs: number;
      /** Monotonic, in ms, of the first failure. */
      readonly sinceMs: number;
    };

/** It was away: what is recorded when it is back. */
export interface SourceGap {
  /** Since its last answer; when there was none, since the first failure. */
  readonly lengthMs: number;
  readonly failures: number;
  readonly why: string;
}

const SILENT_FROM_FAILURES = 2;
const RETRY_DELAY_MIN_MS = 1_000;
/** Someone who switches a device on again looks at the screen for about so long. */
const RETRY_DELAY_MAX_MS = 30_000;

export class SourceHealth {
  readonly #timeoutMs: number;
  #state: SourceState = { is: 'answering' };
  #lastAnswerMs: number | undefined;

  /** `timeoutMs`: how long an answer may take; the first pause is as long again. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  get state(): SourceState {
    return this.#state;
  }

  /** Whether people are told that it is away. */
  get silent(): boolean {
    return this.#state.is === 'failing' && this.#state.failures >= SILENT_FROM_FAILURES;
  }

  failed(nowMs: number, why: string): void {
    const failures = (this.#state.is === 'failing' ? this.#state.failures : 0) + 1;
    this.#fail(nowMs, failures, why, this.#pauseMs(failures));
  }

  /** What it is reached through was lost: it is away until it answers again, and asked at once. */
  wayLost(nowMs: number, why: string): void {
    if (this.#lastAnswerMs === undefined) return;
    if (this.silent) this.askAtOnce(nowMs);
    else this.#fail(nowMs, SILENT_FROM_FAILURES, why, 0); // one lost frame before it is part of it
  }

  /** Does away with the pause that a failing one has. */
  askAtOnce(nowMs: number): void {
    if (this.#state.is === 'failing') this.#state = { ...this.#state, retryAtMs: nowMs };
  }

  /** Answers the gap that has ended, when people were told of one. */
  answered(nowMs: number): SourceGap | undefined {
    const before = this.#state;
    const wasSilent = this.silent;
    const lastAnswerMs = this.#lastAnswerMs;
    this.#state = { is: 'answering' };
    this.#lastAnswerMs = nowMs;
    if (before.is === 'answering' || !wasSilent) return undefined;
    const { failures, why, sinceMs } = before;
    return { lengthMs: nowMs - (lastAnswerMs ?? sinceMs), failures, why };
  }

  #fail(nowMs: number, failures: number, why: string, pauseMs: number): void {
    const sinceMs = this.#state.is === 'failing' ? this.#state.sinceMs : nowMs;
    const retryAtMs = nowMs + pauseMs;
    this.#state = { is: 'failing', failures, why, retryAtMs, sinceMs };
  }

  #pauseMs(failures: number): number {
    if (failures < SILENT_FROM_FAILURES) return this.#timeoutMs;
    const first = Math.max(this.#timeoutMs, RETRY_DELAY_MIN_MS);
    return Math.min(RETRY_DELAY_MAX_MS, first * 2 ** (failures - SILENT_FROM_FAILURES));
  }
}
