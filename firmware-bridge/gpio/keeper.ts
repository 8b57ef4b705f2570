/**
 * Keeps every line watched or held for as long as a run of the bridge lasts.
 *
 * Invariants:
 * - each line is by itself: what cannot be had together is tried one by one, so a line that is held
 *   by somebody else costs no other; it is tried again less and less often;
 * - when not one line is there, the hardware is lost, and the bridge says so;
 * - when `run` has ended, nothing is watched or held any more.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../hub/core/clock.ts';
import { describeError, type HubError } from '../../hub/core/errors.ts';
import type { Backend, EdgeListener, Watch, WatchSettings } from './backend.ts';
import type { KernelQuestion } from './lines/line-reader.ts';
import { lost } from './messages.ts';
import type { AnyPlace, InputPlace, OutputPlace } from './place.ts';

const RETRY_DELAY_MIN_MS = 1_000;
/** Someone who frees a line looks at the screen for about so long. */
const RETRY_DELAY_MAX_MS = 30_000;

export interface KeeperOptions {
  readonly places: readonly AnyPlace[];
  readonly backend: Backend;
  readonly clock: Clock;
  /** Some line came or went. */
  readonly changed: () => void;
  /** How an output is left: asked at the end. */
  readonly leave: (place: OutputPlace) => boolean | 'keep';
}

interface Located<P> {
  readonly place: P;
  readonly offset: number;
}

export class Keeper {
  readonly #options: KeeperOptions;
  #fail: (why: HubError) => void = () => {};

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Until the signal aborts; throws BRIDGE_LOST when all lines are down. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const end = () => stop.abort();
    signal.addEventListener('abort', end, { once: true });
    const failed = new Promise<never>((_, reject) => {
      this.#fail = reject;
    });
    failed.catch(() => {}); // it may come when nobody waits any more
    const kept = this.#keepAll(stop.signal);
    try {
      await Promise.race([kept, failed]);
    } finally {
      signal.removeEventListener('abort', end);
      end();
      await kept;
    }
  }

  async #keepAll(signal: AbortSignal): Promise<void> {
    const groups = new Map<string, Located<InputPlace>[]>();
    const work: Promise<void>[] = [];
    for (const { place, offset } of this.#locate()) {
      if (place.kind === 'output') {
        work.push(this.#keepOutput({ place, offset }, signal));
        continue;
      }
      const key = JSON.stringify(place.settings);
      const group = groups.get(key) ?? [];
      groups.set(key, group);
      group.push({ place, offset });
    }
    for (const group of groups.values()) work.push(this.#keepInputs(group, signal));
    await Promise.all(work);
    // without any line that could be tried there is only the failure to wait for
    if (!signal.aborted)
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  }

  /** Those that the chip has. */
  #locate(): readonly Located<AnyPlace>[] {
    const { places, backend } = this.#options;
    const owners = new Map<number, AnyPlace>();
    for (const place of places) if (place.condition.is === 'up') place.condition = STARTING;
    return places.flatMap((place) => {
      try {
        const offset = backend.offsetOf(place.reference);
        const owner = owners.get(offset);
        if (owner)
          throw lost(`line ${place.fields.line} is line ${offset}, as ${owner.fields.line} is`);
        owners.set(offset, place);
        return [{ place, offset }];
      } catch (error) {
        this.#down([place], error);
        return [];
      }
    });
  }

  async #keepInputs(group: readonly Located<InputPlace>[], signal: AbortSignal): Promise<void> {
    const [first] = group;
    if (first === undefined) return;
    const places = group.map(({ place }) => place);
    for (let tries = 0; !signal.aborted; tries++) {
      const outcome = await this.#watch(group, first.place.settings, signal);
      if (signal.aborted) return;
      if (outcome.is === 'not_begun' && group.length > 1) {
        await Promise.all(group.map((one) => this.#keepInputs([one], signal)));
        return;
      }
      if (outcome.is === 'ended') tries = 0;
      this.#down(places, outcome.why);
      await pause(tries, signal);
    }
  }

  /** Until the lines are no longer watched. */
  async #watch(
    group: readonly Located<InputPlace>[],
    settings: WatchSettings,
    signal: AbortSignal,
  ): Promise<{ readonly is: 'not_begun' | 'ended'; readonly why: unknown }> {
    const { backend, clock } = this.#options;
    const places = new Map(group.map(({ offset, place }) => [offset, place]));
    const gate = new WatchGate(places);
    try {
      const offsets = group.map(({ offset }) => offset);
      const watch = await backend.watch(offsets, settings, gate);
      const questions = await kernelQuestions(watch, offsets);
      for (const [offset, { reader }] of places) {
        const level = watch.levels.get(offset) ?? false;
        reader.began(level, clock.monotonicMs(), questions.get(offset));
      }
      gate.open();
      this.#up([...places.values()]);
      const why = await Promise.race([watch.ended, aborted(signal)]);
      await watch.stop();
      return { is: 'ended', why };
    } catch (error) {
      return { is: 'not_begun', why: error };
    } finally {
      gate.close();
      for (const { reader } of places.values()) reader.broke();
    }
  }

  async #keepOutput({ place, offset }: Located<OutputPlace>, signal: AbortSignal): Promise<void> {
    const { backend, clock, leave } = this.#options;
    const { output, reader, fields } = place;
    for (let tries = 0; !signal.aborted; tries++) {
      let why: unknown;
      try {
        const holder = await backend.hold({
          offset,
          bias: fields.bias,
          activeLow: fields.active_low,
          active: output.wanted,
          pulseEnded: () => output.pulseEnded(),
        });
        output.attach(holder);
        reader.began(output.wanted, clock.monotonicMs());
        this.#up([place]);
        tries = 0;
        why = await Promise.race([holder.ended, aborted(signal)]);
        output.detach();
        reader.broke();
        if (signal.aborted) await holder.release(leave(place));
      } catch (error) {
        why = error;
      }
      if (signal.aborted) return;
      this.#down([place], why);
      await pause(tries, signal);
    }
  }

  #up(places: readonly AnyPlace[]): void {
    for (const place of places) place.up(this.#options.clock);
    this.#options.changed();
  }

  #down(places: readonly AnyPlace[], why: unknown): void {
    for (const place of places) place.down(describeError(why), this.#options.clock);
    this.#options.changed();
    if (this.#options.places.every(({ condition }) => condition.is === 'down'))
      this.#fail(lost(this.#reasons()));
  }

  /** Many lines have one reason, such as a chip that is gone. */
  #reasons(): string {
    const reasons = this.#options.places.flatMap(({ condition }) =>
      condition.is === 'down' ? [condition.why] : [],
    );
    const [first = '', ...others] = new Set(reasons);
    return others.length === 0 ? first : `${first} (and ${others.length} more)`;
  }
}

async function kernelQuestions(
  { count }: Watch,
  offsets: readonly number[],
): Promise<ReadonlyMap<number, KernelQuestion>> {
  const questions = new Map<number, KernelQuestion>();
  if (count === undefined) return questions;
  for (const offset of offsets) {
    const first = await count(offset);
    if (first) questions.set(offset, { first, ask: () => count(offset) });
  }
  return questions;
}

const STARTING = { is: 'starting' } as const;

/**
 * Edges that come while nobody knows the level yet are kept until then: there are few. Those that
 * come when the watch is over are dropped: the next watch would count them as its own.
 */
class WatchGate implements EdgeListener {
  #places: ReadonlyMap<number, InputPlace>;
  #early: (() => void)[] | undefined = [];

  constructor(places: ReadonlyMap<number, InputPlace>) {
    this.#places = places;
  }

  open(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const tell of early) tell();
    this.settled();
  }

  close(): void {
    this.#places = new Map();
  }

  edge(offset: number, active: boolean, atMs: number): void {
    const reader = this.#places.get(offset)?.reader;
    if (this.#early) this.#early.push(() => reader?.edge(active, atMs));
    else reader?.edge(active, atMs);
  }

  settled(): void {
    if (this.#early) return;
    for (const { reader } of this.#places.values()) reader.settled();
  }
}

async function pause(tries: number, signal: AbortSignal): Promise<void> {
  const delayMs = Math.min(RETRY_DELAY_MAX_MS, RETRY_DELAY_MIN_MS * 2 ** tries);
  await delay(delayMs, undefined, { signal }).catch(() => {}); // the abort
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}
