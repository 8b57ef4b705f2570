import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../core/clock.ts';
import { describeError } from '../core/errors.ts';
import { type Decoded, type HubEvent, LANES, type Lane } from '../core/event.ts';
import { printable } from '../core/printable.ts';
import { sampledWarnings, type WarnLogger } from '../core/sampled-warnings.ts';
import { endOf } from '../core/span.ts';
import type { LatestValue, StreamReadings } from '../core/status.ts';
import type { Block, EventLog } from '../log/log.ts';
import type { Decoder } from './decode/decoder.ts';
import {
  type DeviceSummary,
  type LatestEntry,
  type LatestFilter,
  LatestValues,
  latestValue,
} from './latest-values.ts';
import { Slice } from './slice.ts';

/*
 * The live view is a reader of the log like a sink, but one that may fall behind and jump ahead: it
 * shows what is, the sinks deliver what was.
 *
 * Invariants:
 * - Every event at or after the tail at the start is counted once: looked at, or skipped.
 * - Within a lane, events are taken in the order of their offsets.
 * - A listener is told of a pair at most once per PUBLISH_INTERVAL_MS, with its newest value.
 */

/** 10,000 pairs take about 5 MB; a Pi with more sensors has other screens. */
const PAIRS_MAX = 10_000;
/** 4 Hz: faster than that nobody reads numbers. */
const PUBLISH_INTERVAL_MS = 250;
/**
 * Pause while the log commits: with slices of 4 ms the view then takes a twentieth of a core, and
 * what is shown is still at most a tenth of a second old.
 */
const BUSY_PAUSE_MS = 80;
/** About 1 s of a fast intake. Further behind, the view would show the past. */
const BEHIND_EVENTS_MAX = 50_000;
/** So far behind, even reading block by block does not keep up: events are passed over unread. */
const HOPELESS_EVENTS_MAX = 500_000;
/** 256 KiB: a few blocks, decoded in about one slice. */
const READ_BYTES = 262_144;
/** Read back at the start, so that slow sensors have a value at once: 20,000 events are 0.2 s. */
const BACKFILL_EVENTS_MAX = 20_000;
/** And at most this much, if the events are images. */
const BACKFILL_BYTES_MAX = 32 * 1024 ** 2;
/** A log that cannot be read now is tried again; its own repair takes about that long. */
const READ_RETRY_MS = 1_000;

const UNDECODED_PER_TEMPLATE_MS = 60_000;
const UNDECODED_OVERALL_MS = 1_000;

export interface LiveViewOptions {
  readonly log: EventLog;
  readonly decoder: Decoder;
  readonly clock: Clock;
  readonly logger: WarnLogger;
  /** Called at most once per slice and reason. */
  countUndecoded(reason: 'invalid' | 'skipped', events: number): void;
}

interface LanePosition {
  readonly lane: Lane;
  /** The next offset to take. */
  next: number;
  /** Where new events begin; what is before was there at the start, or is read once more. */
  newFrom: number;
  /** Up to here only the last event per topic and block is decoded. */
  sampleUntil: number;
}

type Listener = (readings: StreamReadings) => void;

export class LiveView {
  readonly #options: LiveViewOptions;
  readonly #values = new LatestValues(PAIRS_MAX);
  readonly #listeners = new Set<Listener>();
  readonly #changed = new Set<LatestEntry>();
  readonly #slice: Slice;
  readonly #warn;
  readonly #stopping = new AbortController();
  #publishTimer: NodeJS.Timeout | undefined;
  #invalid = 0;
  #skipped = 0;
  #commits = 0;
  #commitsSeen = 0;
  #wake: (() => void) | undefined;
  #running: Promise<void> | undefined;

  constructor(options: LiveViewOptions) {
    this.#options = options;
    const monotonicMs = () => options.clock.monotonicMs();
    this.#slice = new Slice(monotonicMs);
    this.#warn = sampledWarnings({
      logger: options.logger,
      monotonicMs,
      perKeyMs: UNDECODED_PER_TEMPLATE_MS,
      overallMs: UNDECODED_OVERALL_MS,
    });
  }

  /** Follows the log from now on, after reading back its last part. Once. */
  start(): void {
    this.#running ??= this.#run(this.#stopping.signal);
  }

  /** Resolves when nothing of it runs any more. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake?.();
    clearTimeout(this.#publishTimer);
    this.#listeners.clear();
    await this.#running;
  }

  latest(filter: LatestFilter = {}): LatestValue[] {
    return this.#values.list(filter);
  }

  devices(): DeviceSummary[] {
    return this.#values.devices();
  }

  /**
   * `listener` gets what changed since it was last called. Until the returned function is called.
   */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#changed.clear();
    };
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const unsubscribe = log.onCommit(() => {
      this.#commits++;
      this.#wake?.();
    });
    try {
      const positions = this.#startPositions();
      let { corrections } = log;
      while (!signal.aborted) {
        if (log.corrections !== corrections) this.#readBack(positions);
        ({ corrections } = log);
        let moved = false;
        for (const position of positions)
          if (await this.#advanceSafely(position, signal)) moved = true;
        if (!moved) await this.#nextCommit(signal);
      }
    } finally {
      unsubscribe();
    }
  }

  #startPositions(): LanePosition[] {
    const lanes = this.#options.log.status().lanes;
    return LANES.map((lane) => {
      const { head, tail } = this.#options.log.range(lane);
      const bytes = lanes.find((status) => status.lane === lane)?.bytes ?? 0;
      const eventBytes = Math.max(1, bytes / Math.max(1, tail - head));
      const back =
        lane === 'bulk' // what comes in bulk is for the far side, not for the screen
          ? 0
          : Math.floor(Math.min(BACKFILL_EVENTS_MAX, BACKFILL_BYTES_MAX / eventBytes));
      const next = Math.max(head, tail - back);
      return { lane, next, newFrom: tail, sampleUntil: 0 };
    });
  }

  /** The times of what is shown have become known: the last part is read once more. */
  #readBack(positions: readonly LanePosition[]): void {
    for (const { lane, next } of this.#startPositions()) {
      const position = positions.find((candidate) => candidate.lane === lane);
      if (!position) continue;
      position.newFrom = Math.max(position.newFrom, position.next);
      position.next = Math.min(position.next, next);
    }
  }

  async #advanceSafely(position: LanePosition, signal: AbortSignal): Promise<boolean> {
    try {
      return await this.#advance(position, signal);
    } catch (error) {
      if (signal.aborted) return false;
      this.#warn('read', 'The live view cannot read the log; trying again.', () => ({
        lane: position.lane,
        offset: position.next,
        reason: describeError(error),
      }));
      await pause(READ_RETRY_MS, signal);
      return true;
    }
  }

  /** Takes one read of a lane. False at its tail. */
  async #advance(position: LanePosition, signal: AbortSignal): Promise<boolean> {
    const { log } = this.#options;
    const { tail } = log.range(position.lane);
    if (position.next >= tail) return false;
    const behind = tail - position.next;
    if (behind > HOPELESS_EVENTS_MAX) this.#passOver(position, tail - BEHIND_EVENTS_MAX);
    if (behind > BEHIND_EVENTS_MAX) position.sampleUntil = tail - BEHIND_EVENTS_MAX / 2;
    const blocks = await log.read(position.lane, position.next, READ_BYTES);
    if (blocks.length === 0) this.#passOver(position, tail); // set aside by the log as damaged
    for (const block of blocks) {
      if (signal.aborted) break;
      // Trimmed, or damaged: the log has reported those events as lost.
      if (block.firstOffset > position.next) this.#passOver(position, block.firstOffset);
      if (block.firstOffset < position.sampleUntil)
        await this.#sampleBlock(position, block, signal);
      else await this.#takeBlock(position, block, signal);
    }
    this.#reportCounts();
    await this.#pauseBetweenSlices(signal);
    return true;
  }

  async #takeBlock(position: LanePosition, block: Block, signal: AbortSignal): Promise<void> {
    for (let i = block.indexFrom(position.next); i < block.count && !signal.aborted; i++) {
      const event = block.eventAt(i);
      this.#take(event, event.offset >= position.newFrom);
      position.next = event.offset + 1;
      if (this.#slice.spent(event.payload.length)) await this.#pauseBetweenSlices(signal);
    }
  }

  /** Decodes only the last event of each topic, from the end: enough for the present values. */
  async #sampleBlock(position: LanePosition, block: Block, signal: AbortSignal): Promise<void> {
    const seen = new Set<number>();
    const first = block.indexFrom(position.next);
    const picked: number[] = [];
    for (let i = block.count - 1; i >= first && seen.size < block.topics.length; i--) {
      const topic = block.topicIndexAt(i);
      if (seen.has(topic)) continue;
      seen.add(topic);
      picked.push(i);
    }
    for (const i of picked.reverse()) {
      if (signal.aborted) return;
      const event = block.eventAt(i);
      this.#take(event, event.offset >= position.newFrom);
      if (this.#slice.spent(event.payload.length)) await this.#pauseBetweenSlices(signal);
    }
    this.#skipped -= picked.filter((i) => block.offsetAt(i) >= position.newFrom).length;
    this.#passOver(position, endOf(block));
  }

  #passOver(position: LanePosition, to: number): void {
    this.#skipped += Math.max(0, to - Math.max(position.next, position.newFrom));
    position.next = to;
  }

  #take(event: HubEvent, isNew: boolean): void {
    if (event.kind === 'aggregate') return; // of the past: a mean is nobody's present value
    const decoded = this.#options.decoder(event);
    if (isNew && decoded.error !== undefined) this.#undecoded(event, decoded, decoded.error);
    for (const reading of decoded.readings) {
      if (!isNew) {
        // Lanes are read back one after the other: an older value must not hide a newer one.
        const known = this.#values.get(reading.device, reading.metric);
        if (known !== undefined && known.receivedMs > event.receivedMs) continue;
      }
      const entry = this.#values.set(reading, event.receivedMs);
      if (isNew && this.#listeners.size > 0) this.#changedNow(entry);
    }
  }

  #undecoded(event: HubEvent, decoded: Decoded, error: string): void {
    this.#invalid++;
    const template = this.#options.decoder.templateOf(event.topic) ?? event.topic;
    const outcome = decoded.readings.length > 0 ? 'is read in part' : 'gives no readings';
    this.#warn(template, `A payload ${outcome}: it ${printable(error, 160)}`, () => ({
      topic: printable(event.topic, 120),
      lane: event.lane,
      offset: event.offset,
      reason: printable(error, 160),
      payload: printable(event.payload.subarray(0, 240).toString('utf8'), 60),
    }));
  }

  #changedNow(entry: LatestEntry): void {
    this.#changed.add(entry);
    this.#publishTimer ??= setTimeout(() => this.#publish(), PUBLISH_INTERVAL_MS);
  }

  #publish(): void {
    this.#publishTimer = undefined;
    if (this.#changed.size === 0) return;
    const readings = Array.from(this.#changed, latestValue);
    this.#changed.clear();
    for (const listener of [...this.#listeners]) listener(readings);
  }

  #reportCounts(): void {
    if (this.#invalid > 0) this.#options.countUndecoded('invalid', this.#invalid);
    if (this.#skipped > 0) this.#options.countUndecoded('skipped', this.#skipped);
    this.#invalid = 0;
    this.#skipped = 0;
  }

  async #pauseBetweenSlices(signal: AbortSignal): Promise<void> {
    const busy = this.#commits !== this.#commitsSeen;
    this.#commitsSeen = this.#commits;
    if (busy) {
      await pause(BUSY_PAUSE_MS, signal);
      this.#slice.restart();
    } else await this.#slice.yield();
  }

  /** Resolves with the next commit, or at once when there was one since the last slice. */
  async #nextCommit(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    if (this.#commits === this.#commitsSeen)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    this.#wake = undefined;
    this.#commitsSeen = this.#commits;
    this.#slice.restart();
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    // stopped: the caller looks at the signal
  }
}
