/**
 * `thin`: makes room by putting aggregates in the place of the oldest events.
 *
 * Invariants:
 * - only whole runs of consecutive sound blocks of one boot are replaced, by one block and in one
 *   write: a crash leaves the old ones or the new one, with the lane's positions and the progress;
 * - never a run that somebody depends on as it is (`inUse`), which is asked again when the turn of
 *   the write has come and nobody else can act any more;
 * - a run is replaced only when that saves `SAVED_SHARE_MIN`, so every write makes room;
 * - the walk ends: it goes from the base of a lane to its newest part, then again with the interval
 *   doubled, and when the longest has been reached the base moves to where the walk ended. A lane
 *   with nothing between the two is exhausted until it has grown.
 */
import assert from 'node:assert';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../core/clock.ts';
import type { HubEvent, Lane, Message } from '../../core/event.ts';
import { mapInSlices } from '../../core/slices.ts';
import type { LaneThinning } from '../../core/status.ts';
import { BlockBuilder, type EventTimes } from '../block/block-body.ts';
import { type BlockHeader, readHeader, sealBlock } from '../block/block-format.ts';
import type { Writer } from '../commit/writer.ts';
import { blockKey, metaKey } from '../keys.ts';
import type { LaneState } from '../lane-state.ts';
import type { Blocks } from '../read/blocks.ts';
import { openRecord, sealRecord } from '../record.ts';
import type { Storage, WriteOperation } from '../storage/storage.ts';
import { INTERVAL_MAX_MS, INTERVAL_MIN_MS, Timeline } from './thin-interval.ts';
import { bytesOf, lastMonotonicMs, type Run, RunFinder } from './thin-run.ts';

/** The newest part stays as it is: it is what people look at, and what sinks read first. */
const NEWEST_SHARE = 0.05;
/** A rewrite that saves less is not worth the wear of the card. */
const SAVED_SHARE_MIN = 0.25;
/** Figures of fewer events take about as much as the events themselves. */
const EVENTS_PER_AGGREGATE_MIN = 4;
/** An exhausted lane is looked at again when it has grown by this part of itself. */
const GROWN_SHARE = 0.01;
/** Who waits for room is looked after at least this often. */
const STEP_MS = 200;
/** A card that refuses a write must not keep what can still be read from the sinks. */
const REPLACING_WAIT_MS = 2_000;

/** One record of a thinned block: an aggregate, or an event that is kept as it is. */
export interface ThinRecord {
  readonly message: Message;
  /**
   * Place and arrival of the last event that it stands for. Far sides that have had some of the
   * events know by the offset, which is in the id, whether they have had all of them.
   */
  readonly offset: number;
  readonly monotonicMs: number;
}

/** What events come to. */
export interface Thinned {
  /** Ascending by offset; the last one is at the last event. */
  readonly records: readonly ThinRecord[];
  /** Events that are a part of an aggregate now and were not before. */
  readonly events: number;
  /** Aggregates among the records, less those among the events. */
  readonly aggregates: number;
}

/**
 * Makes aggregates of `intervalMs` from consecutive events of a lane. Lets others have their turn.
 */
export type Aggregate = (events: readonly HubEvent[], intervalMs: number) => Promise<Thinned>;

export interface ThinnerOptions {
  readonly storage: Storage;
  readonly blocks: Blocks;
  readonly writer: Writer;
  /** Whether somebody depends on what lies in `[from, to)` as it is. */
  inUse(lane: Lane, from: number, to: number): boolean;
  readonly times: EventTimes;
  readonly clock: Clock;
  readonly aggregate: Aggregate | undefined;
  mustThin(lane: Lane): boolean;
  /** The blocks that began at `replaced` have made room for one that is `freedBytes` smaller. */
  thinned(header: BlockHeader, replaced: readonly number[], freedBytes: number): void;
  riders(): WriteOperation[];
  stopped(): boolean;
}

/** How far the walk of a lane has come. `base <= offset`. */
interface Progress {
  readonly base: number;
  readonly offset: number;
  readonly intervalMs: number;
  /** Since the log was created. */
  readonly events: number;
  readonly aggregates: number;
}

interface Replacement {
  readonly thinned: Thinned;
  readonly header: BlockHeader;
  readonly stored: Buffer;
}

function progressKey(lane: Lane): Buffer {
  return metaKey(`thin-${lane}`);
}

function start(): Progress {
  return { base: 0, offset: 0, intervalMs: INTERVAL_MIN_MS, events: 0, aggregates: 0 };
}

export class Thinner {
  readonly #options: ThinnerOptions;
  readonly #finder: RunFinder;
  readonly #progress = new Map<Lane, Progress>();
  #replacing: { readonly run: Run; readonly written: Promise<unknown> } | undefined;
  /** `tailBytes` of the lanes in which nothing was left to thin. */
  readonly #exhausted = new Map<Lane, number>();

  constructor(options: ThinnerOptions) {
    this.#options = options;
    this.#finder = new RunFinder(options.blocks, options.times, options.inUse);
  }

  async load(lanes: Iterable<LaneState>): Promise<void> {
    for (const { lane } of lanes) {
      const saved = openRecord<Progress>(await this.#options.storage.get(progressKey(lane)));
      if (saved) this.#progress.set(lane, saved);
    }
  }

  /** What it has come to since the log was created, and the interval at work. */
  status(lane: Lane): LaneThinning {
    const { events, aggregates, intervalMs } = this.#of(lane);
    return { events, aggregates, intervalMs: events > 0 ? intervalMs : 0 };
  }

  /** Whether thinning may still make room in the lane. */
  canThin({ lane, tailBytes, bytes }: LaneState): boolean {
    if (!this.#options.aggregate) return false;
    const exhaustedAt = this.#exhausted.get(lane);
    if (exhaustedAt === undefined) return true;
    if (tailBytes - exhaustedAt <= bytes * GROWN_SHARE) return false;
    this.#exhausted.delete(lane);
    return true;
  }

  /**
   * Resolves when what a reader finds from `offset` on is not being replaced at the moment: it
   * would read the old blocks, and claim them too late.
   */
  async replaced(lane: Lane, offset: number): Promise<void> {
    const replacing = this.#replacing;
    if (!replacing || replacing.run.state.lane !== lane || replacing.run.to <= offset) return;
    const giveUp = new AbortController();
    const waited = delay(REPLACING_WAIT_MS, undefined, { signal: giveUp.signal });
    await Promise.race([replacing.written.catch(() => undefined), waited.catch(() => undefined)]);
    giveUp.abort();
  }

  /**
   * Thins for a while, at each interval the `lanes` in the order in which they are given. True when
   * it has to go on and can. Errors: those of the storage.
   */
  async thin(lanes: readonly LaneState[]): Promise<boolean> {
    const { aggregate, clock, stopped } = this.#options;
    if (!aggregate) return false;
    const startedMs = clock.monotonicMs();
    for (;;) {
      const state = this.#next(lanes);
      if (!state || stopped()) return false;
      if (clock.monotonicMs() - startedMs >= STEP_MS) return true;
      await this.#step(state, aggregate);
    }
  }

  #of(lane: Lane): Progress {
    return this.#progress.get(lane) ?? start();
  }

  /** The first of those with the shortest interval. */
  #next(lanes: readonly LaneState[]): LaneState | undefined {
    let next: LaneState | undefined;
    for (const state of lanes) {
      if (!this.#options.mustThin(state.lane) || !this.canThin(state)) continue;
      const shorter = !next || this.#of(state.lane).intervalMs < this.#of(next.lane).intervalMs;
      if (shorter) next = state;
    }
    return next;
  }

  /** Thins one run, or begins the next walk. */
  async #step(state: LaneState, aggregate: Aggregate): Promise<void> {
    const { lane, head } = state;
    const saved = this.#of(lane);
    const progress = {
      ...saved,
      base: Math.max(saved.base, head),
      offset: Math.max(saved.offset, head),
    };
    const { intervalMs } = progress;
    const endBytesMax = state.tailBytes - state.bytes * NEWEST_SHARE;
    const { run, next } = await this.#finder.find(state, progress.offset, {
      intervalMs,
      endBytesMax,
    });
    if (run && (await this.#replace(run, progress, aggregate))) return;
    if (next === undefined) this.#turnBack(state, progress);
    else this.#progress.set(lane, { ...progress, offset: next });
  }

  #turnBack({ lane, tailBytes }: LaneState, progress: Progress): void {
    const { base, offset, intervalMs } = progress;
    if (offset === base) this.#exhausted.set(lane, tailBytes);
    if (offset === base || intervalMs === INTERVAL_MAX_MS) {
      this.#progress.set(lane, { ...progress, base: offset, intervalMs: INTERVAL_MIN_MS });
    } else {
      const longer = Math.min(intervalMs * 2, INTERVAL_MAX_MS);
      this.#progress.set(lane, { ...progress, offset: base, intervalMs: longer });
    }
  }

  /** False when it would not pay, or when somebody has come to depend on the run. */
  async #replace(run: Run, progress: Progress, aggregate: Aggregate): Promise<boolean> {
    const { writer, riders } = this.#options;
    const replacement = await this.#smaller(run, progress.intervalMs, aggregate);
    if (!replacement) return false;
    let replaced = false;
    const writing = writer.write(
      () => {
        if (!this.#mayReplace(run)) return [];
        replaced = true;
        this.#replacing = { run, written: writing };
        return [...this.#operations(run, progress, replacement), ...riders()];
      },
      { sync: false },
    );
    const error = await writing.finally(() => {
      this.#replacing = undefined;
    });
    if (error) throw error;
    return replaced;
  }

  #mayReplace({ state, from, to }: Run): boolean {
    const { inUse, stopped } = this.#options;
    return from >= state.head && !inUse(state.lane, from, to) && !stopped();
  }

  #operations(run: Run, progress: Progress, replacement: Replacement): WriteOperation[] {
    const { state, blocks, to } = run;
    const { header, stored, thinned } = replacement;
    const { storedBytes, replacedBytes } = bytesOf(blocks);
    const replaced = blocks.map(({ firstOffset }) => firstOffset);
    const done: Progress = {
      ...progress,
      offset: to,
      events: progress.events + thinned.events,
      aggregates: progress.aggregates + thinned.aggregates,
    };
    state.thinned(header, replacedBytes - storedBytes);
    this.#progress.set(state.lane, done);
    this.#options.thinned(header, replaced, storedBytes - header.storedBytes);
    return [
      ...replaced.map((at): WriteOperation => ({ type: 'del', key: blockKey(state.lane, at) })),
      { type: 'put', key: blockKey(state.lane, header.firstOffset), value: stored },
      { type: 'put', key: progressKey(state.lane), value: sealRecord(done) },
      state.saveOperation(),
    ];
  }

  /** Tries longer intervals until enough is saved, each with half the records at most. */
  async #smaller(
    run: Run,
    intervalMs: number,
    aggregate: Aggregate,
  ): Promise<Replacement | undefined> {
    const places = run.blocks.flatMap((block) =>
      Array.from({ length: block.count }, (_, index) => [block, index] as const),
    );
    const events = await mapInSlices(places, ([block, index]) => block.eventAt(index));
    const { storedBytes } = bytesOf(run.blocks);
    const timeline = new Timeline(events);
    const isRaw = run.blocks.every(({ header }) => header.intervalMs === 0);
    let recordsMax = events.length / (isRaw ? EVENTS_PER_AGGREGATE_MIN : 2);
    while (recordsMax >= 1) {
      const chosenMs = timeline.intervalFor(intervalMs, recordsMax);
      if (chosenMs === undefined || this.#options.stopped()) return undefined;
      const thinned = await aggregate(events, chosenMs);
      const replacement = await this.#seal(run, chosenMs, thinned);
      if (!replacement) return undefined;
      const { header } = replacement;
      if (header.storedBytes <= storedBytes * (1 - SAVED_SHARE_MIN)) return replacement;
      recordsMax = Math.min(recordsMax, header.count) / 2;
    }
    return undefined;
  }

  /** Undefined when one block cannot hold it. */
  async #seal(
    { state, blocks, from, to }: Run,
    intervalMs: number,
    thinned: Thinned,
  ): Promise<Replacement | undefined> {
    const first = blocks[0]?.header;
    const last = blocks.at(-1)?.header;
    if (!first || !last) return undefined;
    const builder = new BlockBuilder();
    const steps: number[] = [];
    const stamp = { wallMs: () => first.firstReceivedMs, synced: () => first.clockSynced };
    builder.start({ ...stamp, monotonicMs: () => first.firstMonotonicMs });
    let before = from - 1;
    await mapInSlices(thinned.records, ({ message, offset, monotonicMs }) => {
      assert(offset > before && offset < to, 'records ascend within the run');
      steps.push(offset - before);
      before = offset;
      if (!builder.full) builder.add(message, { ...stamp, monotonicMs: () => monotonicMs });
    });
    if (builder.count < steps.length) return undefined;
    assert.equal(before, to - 1, 'the last event is the last of some record');
    const { lane, bootId, clockSynced, firstReceivedMs, firstMonotonicMs } = first;
    const place = await sealBlock(
      builder.body(steps),
      {
        lane,
        bootId,
        clockSynced,
        count: builder.count,
        firstReceivedMs,
        lastReceivedMs: firstReceivedMs + Math.round(lastMonotonicMs(last) - firstMonotonicMs),
        firstMonotonicMs,
      },
      { span: to - from, intervalMs, replacedBytes: bytesOf(blocks).replacedBytes },
    );
    const stored = place(from, first.bytesBefore);
    return { thinned, header: readHeader(state.lane, from, stored), stored };
  }
}
