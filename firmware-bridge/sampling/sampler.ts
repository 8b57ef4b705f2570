/**
 * Reads sensors at intervals, for any bridge whose hardware has no events of its own. What is known
 * of a sensor outlives a run, so that the time in which the bridge had lost its hardware is a gap
 * of each of them. See lane.ts, schedule.ts and source-health.ts for how it is done.
 */
import type { BridgeContext } from '../../hub/core/bridge.ts';
import { HubError } from '../../hub/core/errors.ts';
import { describeParts } from './detail.ts';
import { HandOver } from './hand-over.ts';
import { Lane } from './lane.ts';
import { Places } from './places.ts';
import { RecentCount } from './recent-count.ts';
import { Sampled } from './sampled.ts';
import type { Sensor } from './sensor.ts';
import { type After, afterRealTime, unlessStopped } from './timer.ts';

/** As many as people read; more of them have one cause. */
const NAMED_MAX = 4;
/** Lanes that read at once; what blocks a thread is bounded further in attribute.ts. */
const PARALLEL_MAX = 4;
const FORGET_AFTER_MS = 86_400_000;

export interface SamplerOptions {
  /** Topic of the readings, with `{device}`. */
  readonly topic: string;
  /** Lanes that may be reading at once. 1: all sensors take turns. Default 4. */
  readonly parallelMax?: number;
  /** What else people should know, such as what is not there. Asked after every reading. */
  notes?(): readonly string[];
  readonly after?: After;
}

interface Run {
  readonly context: BridgeContext;
  readonly signal: AbortSignal;
  readonly lanes: Map<string, Lane>;
  readonly places: Places;
  /** Ends the run, with the error. */
  fail(error: unknown): void;
  connected: boolean;
  told: string | undefined;
}

export class Sampler {
  readonly #options: SamplerOptions;
  readonly #sensors = new Map<string, Sampled>();
  readonly #handOver = new HandOver();
  readonly #recentMissed = new RecentCount();
  #run: Run | undefined;

  constructor(options: SamplerOptions) {
    this.#options = options;
  }

  /** Reads it from now on, unless it is there already. */
  add(sensor: Sensor): void {
    if (this.#sensors.has(sensor.key)) return;
    const sampled = new Sampled(sensor);
    this.#sensors.set(sensor.key, sampled);
    if (this.#run) this.#enter(this.#run, sampled);
  }

  remove(key: string): void {
    const sampled = this.#sensors.get(key);
    this.#sensors.delete(key);
    if (sampled) this.#run?.lanes.get(sampled.sensor.lane)?.remove(sampled);
  }

  /** Those that are read, in the order in which they were added. */
  get sensors(): readonly Sensor[] {
    return [...this.#sensors.values()].map(({ sensor }) => sensor);
  }

  /** Forgets those that cannot be read for a day, unless they are kept: they were taken away. */
  forgetTakenAway(nowMs: number, isKept: (key: string) => boolean = () => false): void {
    for (const [key, { health }] of this.#sensors) {
      const { state } = health;
      const isAway = state.is === 'failing' && nowMs - state.sinceMs > FORGET_AFTER_MS;
      if (isAway && !isKept(key)) this.remove(key);
    }
  }

  /**
   * Until the signal aborts. Says `connected` with the first sample. `alongside` runs beside, such
   * as what looks for new sensors, and may throw. Throws BRIDGE_LOST when no sensor answers.
   */
  async run(
    context: BridgeContext,
    signal: AbortSignal,
    alongside?: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    if (signal.aborted) return;
    const stop = new AbortController();
    const stopNow = () => stop.abort();
    signal.addEventListener('abort', stopNow, { once: true });
    let fail: Run['fail'] = () => {};
    const failed = new Promise<never>((_, reject) => {
      fail = reject;
    });
    failed.catch(() => {}); // of two failures the first one counts
    const places = new Places(this.#options.parallelMax ?? PARALLEL_MAX);
    const parts = { context, signal: stop.signal, places, fail };
    this.#run = { ...parts, lanes: new Map(), connected: false, told: undefined };
    for (const sampled of this.#sensors.values()) {
      sampled.health.askAtOnce(context.clock.monotonicMs());
      this.#enter(this.#run, sampled);
    }
    try {
      alongside?.(stop.signal).catch(fail);
      await unlessStopped(failed, stop.signal);
    } finally {
      signal.removeEventListener('abort', stopNow);
      stop.abort();
      this.#run = undefined;
    }
  }

  /** What the sensors are reached through was lost: all of them are away. */
  lost(context: BridgeContext, why: string): void {
    for (const { health } of this.#sensors.values())
      health.wayLost(context.clock.monotonicMs(), why);
  }

  #enter(run: Run, sampled: Sampled): void {
    const name = sampled.sensor.lane;
    const known = run.lanes.get(name);
    if (known) {
      known.add(sampled);
      return;
    }
    const lane = new Lane({
      context: run.context,
      topic: this.#options.topic,
      handOver: this.#handOver,
      places: run.places,
      after: this.#options.after ?? afterRealTime,
      signal: run.signal,
      asked: (asked) => this.#asked(run, asked),
    });
    run.lanes.set(name, lane);
    lane.add(sampled);
    lane.run().catch(run.fail);
  }

  #asked(run: Run, { health }: Sampled): void {
    const { context } = run;
    if (health.state.is === 'answering' && !run.connected) {
      run.connected = true;
      run.told = undefined;
      context.connected();
    }
    const all = [...this.#sensors.values()];
    const silent = all.flatMap(({ sensor, health: { state, silent: isSilent } }) =>
      isSilent && state.is === 'failing' ? [`${sensor.name}: ${state.why}`] : [],
    );
    if (silent.length === all.length) throw lostAll(silent);
    const { detail, kind } = this.#detail(run, silent);
    if (detail !== run.told) context.describe(detail, kind);
    run.told = detail;
  }

  /** What people should know; undefined when all is well. */
  #detail(run: Run, silent: readonly string[]) {
    const all = [...this.#sensors.values()];
    const missed = [...run.lanes.values()].reduce((sum, lane) => sum + lane.missed, 0);
    const nowMs = run.context.clock.monotonicMs();
    const missedNow = this.#recentMissed.grownBy(missed, nowMs);
    const problems = all.flatMap((one) =>
      one.health.silent ? [] : one.problems.map((text) => `${one.sensor.name}: ${text}`),
    );
    const troubles = [
      ...(silent.length > 0 ? [`${silent.length} of ${all.length} cannot be read`] : []),
      ...silent.slice(0, NAMED_MAX),
      ...problems.slice(0, NAMED_MAX),
    ];
    const notes = [
      ...(this.#options.notes?.() ?? []),
      ...(missedNow > 0
        ? [
            `${missedNow} cycles missed of late, ${missed} since it runs: ` +
              'reading takes longer than `interval`, or the log is full',
          ]
        : []),
    ];
    return describeParts(troubles, notes);
  }
}

function lostAll(silent: readonly string[]): HubError {
  const [first = ''] = silent;
  const others = silent.length - 1;
  const text = others === 0 ? first : `no sensor can be read: ${first}; and ${others} others`;
  return new HubError('BRIDGE_LOST', text);
}
