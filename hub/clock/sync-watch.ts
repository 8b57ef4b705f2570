/**
 * Finds out whether the wall clock is synchronised, and notices when it is not any more.
 *
 * Invariants:
 * - one source is asked at a time, one after the other, and the first that says `synced` counts;
 * - a kernel that nobody steers says "unsynchronised" in every container and virtual machine: by
 *   itself that is not knowing. It counts when it was synchronised before;
 * - a daemon that is installed but silent may be starting: until the boot is over it is waited for;
 *   one that has answered before is missed from then on;
 * - `sync` says `synced` only while the wall clock has gone with the monotonic one since the answer
 *   that said so: after a step it is in doubt until a source has been asked again;
 * - nothing here waits for it: `sync` answers from memory.
 */
import type { ClockSync } from '../core/clock.ts';
import type { SyncSource } from './sync-source.ts';

/** Until synchronised: what waits for it should go on soon. */
const SEARCH_INTERVAL_MS = 5_000;
/** Afterwards. A clock that is left alone is off by 6 ms after a minute. */
const CONFIRM_INTERVAL_MS = 60_000;
/** Where nothing answers, something may still be starting: a slow boot takes that long. */
const BOOTING_MS = 300_000;
/** Nothing slews so fast: somebody has set the clock. */
const STEP_MS = 500;

export interface SyncWatchOptions {
  /** In the order in which they are asked; daemons. */
  readonly daemons: readonly SyncSource[];
  /** Asked when no daemon answers. */
  readonly kernel: SyncSource;
  wallMs(): number;
  /** Since the boot of the machine. */
  monotonicMs(): number;
}

export class SyncWatch {
  readonly #options: SyncWatchOptions;
  readonly #stopping = new AbortController();
  #sync: ClockSync = { state: 'unsynced' };
  /** Wall clock minus monotonic clock when it was last looked at. */
  #offsetMs: number;
  /** Steps seen; an answer counts when there was none while it was asked for. */
  #steps = 0;
  #timer: NodeJS.Timeout | undefined;
  #asking: Promise<void> | undefined;
  /** Sources that have told something in this run: that they are silent now is news. */
  readonly #known = new Set<string>();

  constructor(options: SyncWatchOptions) {
    this.#options = options;
    this.#offsetMs = options.wallMs() - options.monotonicMs();
  }

  /** Begins to watch; resolves with the first answer, after some seconds at most. */
  start(): Promise<void> {
    return this.#ask();
  }

  /** Resolves when no child runs any more. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#timer);
    await this.#asking;
  }

  sync(): ClockSync {
    const offsetMs = this.#options.wallMs() - this.#options.monotonicMs();
    if (Math.abs(offsetMs - this.#offsetMs) > STEP_MS) {
      this.#steps++;
      if (this.#sync.state === 'synced') this.#sync = { ...this.#sync, state: 'unsynced' };
      void this.#ask();
    }
    this.#offsetMs = offsetMs;
    return this.#sync;
  }

  /** Asks now. What is being asked already is asked again when a step came in between. */
  #ask(): Promise<void> {
    clearTimeout(this.#timer);
    this.#asking ??= this.#askUntilSettled().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #askUntilSettled(): Promise<void> {
    const { signal } = this.#stopping;
    for (let seen = -1; seen !== this.#steps && !signal.aborted; ) {
      seen = this.#steps;
      const answer = await this.#answer(signal);
      this.sync(); // a step that nobody has looked at yet
      if (seen === this.#steps && !signal.aborted) this.#sync = answer;
    }
    if (signal.aborted) return;
    const delayMs = this.#searching() ? SEARCH_INTERVAL_MS : CONFIRM_INTERVAL_MS;
    this.#timer = setTimeout(() => void this.#ask(), delayMs);
    this.#timer.unref();
  }

  #searching(): boolean {
    if (this.#sync.state !== 'unknown') return this.#sync.state === 'unsynced';
    return this.#booting;
  }

  get #booting(): boolean {
    return this.#options.monotonicMs() < BOOTING_MS;
  }

  async #answer(signal: AbortSignal): Promise<ClockSync> {
    const { daemons, kernel } = this.#options;
    let unsynced: string | undefined;
    let awaited: string | undefined;
    for (const { name, check } of daemons) {
      const answer = await check(signal);
      if (answer === 'synced' || answer === 'unsynced') this.#known.add(name);
      if (answer === 'synced') return { state: 'synced', source: name };
      if (answer === 'unsynced') unsynced ??= name;
      else if (this.#known.has(name) || (answer === 'silent' && this.#booting)) awaited ??= name;
    }
    if (unsynced !== undefined) return { state: 'unsynced', source: unsynced };
    const answer = await kernel.check(signal);
    if (answer === 'synced') {
      this.#known.add(kernel.name);
      return { state: 'synced', source: kernel.name };
    }
    if (awaited !== undefined) return { state: 'unsynced', source: awaited };
    return this.#known.has(kernel.name)
      ? { state: 'unsynced', source: kernel.name }
      : { state: 'unknown' };
  }
}
