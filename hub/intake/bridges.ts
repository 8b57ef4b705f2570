import type { Logger } from 'pino';
import {
  BAD_FRAME_REASONS,
  type BadFrameReason,
  type Bridge,
  type BridgeState,
  type StateChange,
} from '../core/bridge.ts';
import type { Clock } from '../core/clock.ts';
import type { CommandTaker } from '../core/command.ts';
import { describeError, HubError } from '../core/errors.ts';
import type { Message } from '../core/event.ts';
import { sampledWarnings } from '../core/sampled-warnings.ts';
import type { BridgeStatus } from '../core/status.ts';
import { BridgeMemory, type StateStorage } from './bridge-memory.ts';
import type { Intake, IntakePort } from './intake.ts';

/** Hardware that was unplugged is often back at once; a port that is wrong stays wrong. */
const RETRY_DELAY_MIN_MS = 500;
const RETRY_DELAY_MAX_MS = 30_000;
/** As describeError: a few lines of a screen. */
const DETAIL_CHARACTERS_MAX = 500;
/** Of one reason. */
const WARN_EVERY_MS = 60_000;
const LOST = 'the bridge lost its hardware and tries again';
/** A bridge that does not end within this time after the abort is left behind. */
const STOP_TIMEOUT_MS = 2_000;

export interface BridgeRunnerOptions {
  readonly id: string;
  readonly type: string;
  readonly bridge: Bridge;
  readonly intake: Intake;
  /** Where the bridge remembers: the log. */
  readonly storage: StateStorage;
  readonly clock: Clock;
  random(): number;
  readonly logger: Logger;
}

/** Runs one bridge, and runs it again when its hardware was lost. */
export class BridgeRunner {
  readonly id: string;
  readonly #options: BridgeRunnerOptions;
  readonly #port: IntakePort;
  readonly #memory: BridgeMemory;
  readonly #stop = new AbortController();
  #state: BridgeState = 'connecting';
  #detail: string | undefined;
  #detailIs: 'trouble' | 'note' = 'trouble';
  readonly #badFrames = new Map<BadFrameReason, number>();
  #running: Promise<void> | undefined;

  constructor(options: BridgeRunnerOptions) {
    this.id = options.id;
    this.#options = options;
    this.#port = options.intake.port(`bridge:${options.id}`);
    this.#memory = new BridgeMemory(options.id, options.storage);
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise((resolve) => {
      timer = setTimeout(resolve, STOP_TIMEOUT_MS);
    });
    await Promise.race([this.#running, timeout]);
    clearTimeout(timer);
    this.#state = 'stopped';
  }

  /** What takes the commands for its devices, if it takes any. */
  get commands(): CommandTaker | undefined {
    return this.#options.bridge.commands;
  }

  /** What came from its hardware and could not be used, by every reason there is. */
  badFrames(): readonly (readonly [BadFrameReason, number])[] {
    return BAD_FRAME_REASONS.map((reason) => [reason, this.#badFrames.get(reason) ?? 0]);
  }

  status(): BridgeStatus {
    const { id, type } = this.#options;
    const detail = this.#detail === undefined ? {} : { detail: this.#detail };
    const isDegraded =
      this.#state === 'reading' && this.#detail !== undefined && this.#detailIs === 'trouble';
    return { id, type, state: this.#state, ...detail, ...(isDegraded && { degraded: true }) };
  }

  async #run(): Promise<void> {
    const { bridge, logger, clock } = this.#options;
    const monotonicMs = () => clock.monotonicMs();
    const warn = sampledWarnings({ logger, monotonicMs, perKeyMs: WARN_EVERY_MS });
    for (let failures = 0; !this.#stop.signal.aborted; failures++) {
      let retryAfterMs: number | undefined;
      try {
        this.#state = 'connecting';
        await bridge.run(
          {
            id: this.id,
            clock: this.#options.clock,
            random: this.#options.random,
            logger,
            accept: (message, state) => this.#accept(message, state),
            loadState: (prefix) => this.#memory.load(prefix),
            connected: () => {
              this.#state = 'reading';
              this.#detail = undefined;
              failures = 0;
            },
            describe: (detail, kind = 'trouble') => {
              this.#detail = detail?.slice(0, DETAIL_CHARACTERS_MAX);
              this.#detailIs = kind;
            },
            badFrames: (reason, count) =>
              this.#badFrames.set(reason, (this.#badFrames.get(reason) ?? 0) + count),
          },
          this.#stop.signal,
        );
        if (this.#stop.signal.aborted) return;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        if (error instanceof HubError) retryAfterMs = error.retryAfterMs;
        const detail = describeError(error);
        // hardware that is away for days says so once, a loose plug once a minute
        if (detail !== this.#detail) warn(detail, LOST, () => ({ error: detail }));
        this.#detail = detail;
      }
      this.#state = 'backoff';
      const ceilingMs = Math.min(RETRY_DELAY_MAX_MS, RETRY_DELAY_MIN_MS * 2 ** failures);
      await this.#sleep(retryAfterMs ?? ceilingMs * (0.5 + this.#options.random() / 2));
    }
  }

  #accept(
    { topic, payload, kind }: Omit<Message, 'source'>,
    state: readonly StateChange[] = [],
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error?: HubError) => (error ? reject(error) : resolve());
      this.#port.accept(topic, payload, done, this.#memory.operations(state), kind);
    });
  }

  async #sleep(delayMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const { signal } = this.#stop;
      const wake = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake); // else each pause leaves a listener behind
        resolve();
      };
      const timer = setTimeout(wake, delayMs);
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}
