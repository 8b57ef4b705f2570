/**
 * Asks one host, with bare TCP connects, whether it can be reached. It knows nothing of sinks.
 *
 * Invariants:
 * - it runs only between `start` and `stop`; what ends after `stop` says nothing;
 * - a return is told once for each change from unreachable to reachable, never for a host that was
 *   reachable all the time: a far side that takes connections and answers 500 is not hammered;
 * - probes overlap; one that failed counts only when none that started after it has connected.
 */
import { HubError } from '../core/errors.ts';
import type { HostPort } from '../core/host-port.ts';
import type { Schedule } from './schedule.ts';

/** Fast enough for a delivery within a second of the return; a SYN and its answer are 120 bytes. */
const INTERVAL_MIN_MS = 500;
/** After 100 minutes and more: 10 s late is then nothing, and 1 MB a day is enough. */
const INTERVAL_MAX_MS = 10_000;
/** The interval as a part of the outage's age: 1 s after 10 minutes, 0.2 % of any outage. */
const INTERVALS_PER_AGE = 600;
/** Hubs that lost the same far side in the same moment do not ask in step for ever. */
const INTERVAL_JITTER = 0.2;
/**
 * A connection that takes longer is no link to speak of. A new probe does not wait for it: the
 * system repeats a lost SYN after 1 s, 3 s, 7 s. So at most five are pending.
 */
const DEADLINE_MS = 2_000;

/** Connects and closes at once; rejects when it cannot, or with the signal's reason. */
export type Connect = (to: HostPort, signal: AbortSignal) => Promise<void>;

export interface ProbeOptions {
  readonly to: HostPort;
  readonly connect: Connect;
  readonly schedule: Schedule;
  /** It was unreachable, and is not any more. */
  returned(): void;
  /** A probe has found it unreachable. Called for each. */
  failed(): void;
}

export class Probe {
  readonly #options: ProbeOptions;
  readonly #pending = new Map<number, AbortController>();
  #reach: 'unknown' | 'reachable' | 'unreachable' = 'unknown';
  /** Since when it has been needed: the age of the outage. */
  #sinceMs: number | undefined;
  #startedMs = Number.NEGATIVE_INFINITY;
  #started = 0;
  /** The latest probe, by its start, that has connected. */
  #connected = 0;
  #cancel: (() => void) | undefined;

  constructor(options: ProbeOptions) {
    this.#options = options;
  }

  get unreachable(): boolean {
    return this.#reach === 'unreachable';
  }

  /** Begins to ask, at once or when the interval since the last probe is over. */
  start(): void {
    if (this.#cancel) return;
    this.#sinceMs ??= this.#options.schedule.nowMs();
    this.#plan();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    for (const pending of this.#pending.values()) pending.abort(stopped());
    this.#pending.clear();
  }

  /** Somebody else has reached it: an outage is over. */
  reached(): void {
    this.#reach = 'reachable';
    this.#connected = this.#started;
    this.#sinceMs = this.#cancel && this.#options.schedule.nowMs();
  }

  /** The machine's own link has changed: as in the first moments of an outage. */
  freshen(): void {
    if (!this.#cancel) return;
    this.#cancel();
    this.#sinceMs = this.#options.schedule.nowMs();
    this.#plan();
  }

  #plan(): void {
    const { schedule } = this.#options;
    const dueMs = this.#startedMs + this.#intervalMs();
    this.#cancel = schedule.after(Math.max(0, dueMs - schedule.nowMs()), () => {
      this.#ask();
      this.#plan();
    });
  }

  #intervalMs(): number {
    const { schedule } = this.#options;
    const ageMs = schedule.nowMs() - (this.#sinceMs ?? schedule.nowMs());
    const intervalMs = Math.max(INTERVAL_MIN_MS, ageMs / INTERVALS_PER_AGE);
    return Math.min(INTERVAL_MAX_MS, intervalMs) * (1 - INTERVAL_JITTER * schedule.random());
  }

  #ask(): void {
    const { schedule, connect, to } = this.#options;
    const number = ++this.#started;
    const controller = new AbortController();
    this.#startedMs = schedule.nowMs();
    this.#pending.set(number, controller);
    const late = new HubError('SINK_TIMEOUT', `no connection within ${DEADLINE_MS} ms`);
    const inTime = schedule.after(DEADLINE_MS, () => controller.abort(late));
    const ended = (then: () => void) => () => {
      inTime();
      if (this.#pending.delete(number)) then();
    };
    connect(to, controller.signal).then(
      ended(() => this.#hasConnected(number)),
      ended(() => this.#hasFailed(number)),
    );
  }

  #hasConnected(number: number): void {
    const { schedule, returned } = this.#options;
    this.#connected = Math.max(this.#connected, number);
    const isBack = this.#reach === 'unreachable';
    this.#reach = 'reachable';
    if (!isBack) return;
    this.#sinceMs = schedule.nowMs();
    returned();
  }

  #hasFailed(number: number): void {
    if (number < this.#connected) return;
    this.#reach = 'unreachable';
    this.#options.failed();
  }
}

function stopped(): HubError {
  return new HubError('SINK_DISCONNECTED', 'nobody needs to know any more');
}
