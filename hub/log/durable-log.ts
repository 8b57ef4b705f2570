/**
 * The event log: one append-only log in lanes, many cursors.
 *
 * Invariants:
 * - what `append` acknowledged is on stable storage (or, with `interval`, within its loss window);
 * - offsets of a lane are contiguous and never used twice;
 * - nothing is trimmed that a sink has not settled, except by `drop_oldest`, which counts it as
 *   lost;
 * - accepted = sum of the lanes' tails; what was lost of it is in the ledger, by lane and reason;
 * - opening does not walk the log: it reads two blocks and one record a lane, and the cursors;
 * - opening does not fail because something in it is damaged: that is set aside, counted, reported.
 */
import type { Clock } from '../core/clock.ts';
import { describeError } from '../core/errors.ts';
import { LANES, type Lane, type Message } from '../core/event.ts';
import { RateMeter } from '../core/rate.ts';
import type { LogStatus } from '../core/status.ts';
import { type CursorState, Cursors, cursorAt } from './cursors.ts';
import { Damage } from './damage.ts';
import {
  type CommitProfile,
  closedError,
  type Done,
  type Durability,
  GroupCommit,
} from './group-commit.ts';
import { loadIdentity } from './identity.ts';
import { LaneState } from './lane-state.ts';
import type { EventLog, LaneRange } from './log.ts';
import { Losses } from './losses.ts';
import { LogReader } from './reader.ts';
import { RecentBlocks } from './recent-blocks.ts';
import type { KeyRange, Storage, WriteOperation } from './storage.ts';
import { GIVING_WAY, Trimmer } from './trimmer.ts';
import { Writer } from './writer.ts';

/** Cursors, retention and loss reports are looked after this often. */
const HOUSEKEEPING_INTERVAL_MS = 1_000;
/** A loss report is an event itself: not more than one per lane and reason in this time. */
const LOSS_REPORT_INTERVAL_MS = 10_000;
/** Time until full is the answer to "for how long": judged by some minutes, not by a burst. */
const FILL_RATE_WINDOW_MS = 120_000;
/** From here on what every sink has settled is trimmed whatever its age, so that nobody waits. */
const NEARLY_FULL_SHARE = 0.9;
/** `drop_oldest` begins a little before the end, so that publishers do not wait for it. */
const DROP_OLDEST_SHARE = 0.98;

export interface LogOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly durability: Durability;
  readonly profile: CommitProfile;
  readonly bytesMax: number;
  /** Below this many free bytes on the volume the log counts as full. */
  readonly freeBytesMin: number;
  readonly whenFull: 'block' | 'drop_oldest' | 'drop_newest';
  readonly ageMaxMs: number;
  /** The sinks whose cursors hold the log, and where a new one begins. */
  readonly sinks: readonly { readonly id: string; readonly start: 'oldest' | 'now' }[];
  /** Free bytes on the volume of the data directory. */
  freeBytes(): Promise<number>;
  readonly observer?: LogObserver;
}

/** What metrics and logging want to know. */
export interface LogObserver {
  committed?(facts: {
    readonly seconds: number;
    readonly bytes: number;
    readonly blocks: number;
  }): void;
  damaged?(lane: Lane, firstOffset: number, problem: string): void;
  trouble?(problem: string | undefined): void;
}

interface Waiting {
  readonly message: Message;
  readonly lane: Lane;
  readonly done: Done;
  readonly operations: readonly WriteOperation[] | undefined;
}

export class DurableLog implements EventLog {
  readonly id: string;
  readonly cursors: Cursors;
  readonly losses: Losses;
  readonly #options: LogOptions;
  readonly #lanes: ReadonlyMap<Lane, LaneState>;
  readonly #commits: GroupCommit;
  readonly #reader: LogReader;
  readonly #recent = new RecentBlocks();
  readonly #trimmer: Trimmer;
  readonly #writer: Writer;
  readonly #damage: Damage;
  readonly #listeners = new Set<() => void>();
  readonly #fillRate: RateMeter;
  /** Appends that wait for room, in order. Bounded by what clients have in flight. */
  #waiting: Waiting[] = [];
  #freeBytes = Number.POSITIVE_INFINITY;
  #full = false;
  #problem: string | undefined;
  #housekeeping: NodeJS.Timeout | undefined;
  #keepingHouse: Promise<void> | undefined;
  #trimming: Promise<void> | undefined;
  #trimWanted = false;
  #reportedLossesMs = 0;
  #writtenBytes = 0;
  #closing: Promise<void> | undefined;

  /** Use `openLog`. */
  constructor(
    id: string,
    lanes: ReadonlyMap<Lane, LaneState>,
    cursors: Cursors,
    losses: Losses,
    options: LogOptions,
  ) {
    this.id = id;
    this.cursors = cursors;
    this.losses = losses;
    this.#options = options;
    this.#lanes = lanes;
    this.#fillRate = new RateMeter(() => options.clock.monotonicMs(), FILL_RATE_WINDOW_MS);
    const { storage, clock, observer } = options;
    const riders = () => this.#takeRiders();
    const writer = new Writer({
      storage,
      trouble: (problem) => {
        this.#problem = problem;
        observer?.trouble?.(problem);
      },
    });
    this.#writer = writer;
    this.#damage = new Damage({
      storage,
      writer,
      losses,
      riders,
      found: (lane, offset, problem) => observer?.damaged?.(lane, offset, problem),
    });
    this.#commits = new GroupCommit({
      writer,
      lanes,
      clock,
      profile: options.profile,
      durability: options.durability,
      riders,
      committed: (blocks, seconds, bytes) => {
        this.#writtenBytes += bytes;
        for (const block of blocks) {
          this.#recent.add(block);
          this.#fillRate.add(block.header.storedBytes);
        }
        observer?.committed?.({ seconds, bytes, blocks: blocks.length });
        this.#measure();
        if (this.#fuller(NEARLY_FULL_SHARE)) this.#trimNow();
        if (blocks.length > 0) for (const listener of this.#listeners) listener();
      },
    });
    this.#reader = new LogReader({
      storage,
      recent: this.#recent,
      damaged: (state, offset, problem) => this.#damage.report(state, offset, problem),
    });
    this.#trimmer = new Trimmer({
      storage,
      writer,
      cursors,
      clock,
      ageMaxMs: options.ageMaxMs,
      nearlyFull: (freed) => this.#fuller(NEARLY_FULL_SHARE, freed),
      mustDrop: (freed) => {
        return options.whenFull === 'drop_oldest' && this.#fuller(DROP_OLDEST_SHARE, freed);
      },
      damaged: (state, offset) => this.#damage.report(state, offset, 'it cannot be read'),
      lost: (lane, reason, events, first) => losses.record(lane, reason, events, first),
      riders,
    });
  }

  /** Begins looking after cursors, retention and free space. `damaged` are last blocks, by lane. */
  async start(damaged: ReadonlyMap<Lane, number>): Promise<void> {
    await this.#damage.load();
    for (const [lane, offset] of damaged) {
      this.#damage.report(this.#lane(lane), offset, 'the last block cannot be read');
    }
    await this.#measureFreeBytes();
    this.#housekeeping = setInterval(() => {
      this.#keepingHouse ??= this.#keepHouse()
        .catch((error) => this.#troubled('cannot look after the log', error))
        .finally(() => {
          this.#keepingHouse = undefined;
        });
    }, HOUSEKEEPING_INTERVAL_MS);
    this.#housekeeping.unref(); // what waits for an answer keeps the process alive, this does not
  }

  append(message: Message, lane: Lane, done: Done, operations?: readonly WriteOperation[]): void {
    if (this.#closed) {
      done(closedError());
    } else if (this.#waiting.length === 0 && !this.#full) {
      this.#commits.add(message, lane, done, operations);
    } else if (this.#options.whenFull === 'drop_newest') {
      this.losses.record(lane, 'full', 1, null);
      this.#commits.write(operations ?? [], done); // in its turn, and the count is durable before
    } else {
      this.#waiting.push({ message, lane, done, operations });
      this.#trimNow();
    }
  }

  /** Writes state that needs no event: sessions, dead letters, cursors that must not be lost. */
  write(operations: readonly WriteOperation[], done: Done): void {
    if (this.#closed) done(closedError());
    else this.#commits.write(operations, done);
  }

  /** Written with the next commit, or within a second: for state that is harmless to forget. */
  defer(operations: readonly WriteOperation[]): void {
    this.#commits.defer(operations);
  }

  /** Everything kept under a range of keys, for state that is read at start. */
  entries(range: KeyRange) {
    return this.#options.storage.entries(range);
  }

  /** Bytes that wait to be written: an input that needs no acknowledgement slows down by this. */
  get pendingBytes(): number {
    return this.#commits.pendingBytes;
  }

  /** Appends that wait for room. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Events accepted since the log was created. */
  get acceptedEvents(): number {
    let events = 0;
    for (const { tail } of this.#lanes.values()) events += tail;
    return events;
  }

  /** What is wrong with the storage right now, in the user's words. */
  get problem(): string | undefined {
    return this.#problem;
  }

  range(lane: Lane): LaneRange {
    const { head, tail } = this.#lane(lane);
    return { head, tail };
  }

  read(lane: Lane, offset: number, bytesMax: number) {
    return this.#reader.read(this.#lane(lane), offset, bytesMax);
  }

  seek(lane: Lane, receivedMs: number): Promise<number> {
    return this.#reader.seek(this.#lane(lane), receivedMs);
  }

  onCommit(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A sink has moved on: room may be there now. */
  settled(sink: string, lane: Lane, state: CursorState): void {
    this.cursors.set(sink, lane, state);
    if (this.#waiting.length > 0) this.#trimNow();
  }

  /**
   * Writes what is pending and closes the storage. What waits for room is refused: not
   * acknowledged. So is what is pending when the card does not take it.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearInterval(this.#housekeeping);
    this.#writer.closing();
    const waiting = this.#waiting.splice(0);
    await this.#commits.close();
    for (const { done } of waiting) done(closedError()); // after what was accepted before them
    await this.#keepingHouse;
    await this.#trimming;
    await this.#damage.settled();
    await this.#writer.idle();
    await this.#options.storage.close();
  }

  status(): LogStatus {
    const { bytesMax, durability, whenFull } = this.#options;
    const lanes = LANES.map((lane) => this.#lane(lane));
    const bytesPerSecond = this.#fillRate.perSecond();
    const filling = bytesPerSecond >= 1;
    return {
      id: this.id,
      events: lanes.reduce((sum, lane) => sum + lane.events, 0),
      bytes: this.#bytes,
      bytesMax,
      oldestAgeMs: this.#oldestAgeMs(),
      secondsUntilFull: filling ? Math.max(0, bytesMax - this.#bytes) / bytesPerSecond : null,
      durability: durability.kind,
      lossWindowMs: durability.kind === 'interval' ? durability.intervalMs : 0,
      whenFull,
      full: this.#full,
      acceptedEvents: this.acceptedEvents,
      lostEvents: this.losses.total,
      writtenBytes: this.#writtenBytes,
      lanes: lanes.map(({ lane, head, tail, bytes }) => ({ lane, head, tail, bytes })),
    };
  }

  get #closed(): boolean {
    return this.#closing !== undefined;
  }

  #lane(lane: Lane): LaneState {
    const state = this.#lanes.get(lane);
    if (!state) throw new Error(`no lane ${lane}`);
    return state;
  }

  get #bytes(): number {
    let bytes = 0;
    for (const lane of this.#lanes.values()) bytes += lane.bytes;
    return bytes;
  }

  /** Looked at for each event, so it is worked out when something has changed. */
  #measure(): void {
    this.#full = this.#fuller(1);
  }

  /**
   * `freedBytes` are about to be trimmed. Trimmed space counts as free: compacting gives it
   * back.
   */
  #fuller(share: number, freedBytes = 0): boolean {
    const { bytesMax, freeBytesMin } = this.#options;
    const free = this.#freeBytes + this.#trimmer.uncompactedBytes + freedBytes;
    return this.#bytes - freedBytes >= bytesMax * share || free < freeBytesMin;
  }

  #oldestAgeMs(): number | null {
    let oldest: number | null = null;
    for (const { headHeader } of this.#lanes.values()) {
      if (!headHeader) continue;
      const { clock } = this.#options;
      const ageMs =
        headHeader.bootId === clock.bootId
          ? clock.monotonicMs() - headHeader.firstMonotonicMs
          : clock.wallMs() - headHeader.firstReceivedMs;
      oldest = Math.max(oldest ?? 0, ageMs);
    }
    return oldest;
  }

  #takeRiders(): WriteOperation[] {
    return [
      ...this.#commits.takeDeferred(),
      ...this.cursors.takeOperations(),
      ...this.losses.takeOperations(),
    ];
  }

  async #measureFreeBytes(): Promise<void> {
    try {
      this.#freeBytes = await this.#options.freeBytes();
    } catch (error) {
      this.#troubled('cannot measure the free space', error); // what was measured before counts
    }
    this.#measure();
  }

  #troubled(what: string, error: unknown): void {
    this.#options.observer?.trouble?.(`${what}: ${describeError(error)}`);
  }

  async #keepHouse(): Promise<void> {
    await this.#measureFreeBytes();
    for (const lane of this.#lanes.values()) await lane.oldest(this.#options.storage);
    if (this.#closed) return;
    this.#reportLosses();
    this.#trimNow();
    // an old cursor costs duplicates, not a loss: without traffic it is written without an fsync
    const changed = this.cursors.hasChanges || this.#commits.hasDeferred;
    if (changed && this.#commits.pendingBytes === 0) {
      await this.#writer.write(() => this.#takeRiders(), { sync: false });
    }
  }

  #reportLosses(): void {
    const now = this.#options.clock.monotonicMs();
    if (now - this.#reportedLossesMs < LOSS_REPORT_INTERVAL_MS) return;
    this.#reportedLossesMs = now;
    for (const report of this.losses.takeReports()) this.#commits.add(report, 'alarm', () => {});
  }

  /** Also for what has come up while a pass is under way: it may have looked before. */
  #trimNow(): void {
    this.#trimWanted = true;
    if (this.#closed) return;
    this.#trimming ??= this.#trimWhileWanted()
      .catch((error) => this.#troubled('cannot trim the log', error))
      .finally(() => {
        this.#trimming = undefined;
        if (this.#trimWanted) this.#trimNow();
      });
  }

  async #trimWhileWanted(): Promise<void> {
    while (this.#trimWanted && !this.#closed) {
      this.#trimWanted = false;
      await this.#trimAndAdmit();
    }
  }

  async #trimAndAdmit(): Promise<void> {
    const lanes = GIVING_WAY.map((lane) => this.#lane(lane));
    await this.#trimmer.trim(lanes);
    if (this.#freeBytes < this.#options.freeBytesMin && this.#trimmer.uncompactedBytes > 0) {
      await this.#trimmer.compact(lanes);
      await this.#measureFreeBytes();
    }
    this.#measure();
    while (this.#waiting.length > 0 && !this.#full && !this.#closed) {
      // a group at a time: what is admitted is counted only when it is written
      for (const { message, lane, done, operations } of this.#waiting.splice(0, 1_000)) {
        this.#commits.add(message, lane, done, operations);
      }
      await new Promise<void>((resolve) => this.#commits.write([], () => resolve()));
    }
  }
}

/**
 * Opens the log in `options.storage`, creating it when it is new. What is damaged in it is set
 * aside. Errors: LOG_LOCKED; LOG_NOT_OPEN, also for a format this hub does not know.
 */
export async function openLog(options: LogOptions): Promise<DurableLog> {
  const { storage } = options;
  await storage.open();
  try {
    return await loadLog(options);
  } catch (error) {
    await storage.close().catch(() => undefined); // the first error says why
    throw error;
  }
}

async function loadLog(options: LogOptions): Promise<DurableLog> {
  const { storage } = options;
  const id = await loadIdentity(storage);
  const lanes = new Map<Lane, LaneState>();
  const damaged = new Map<Lane, number>();
  for (const lane of LANES) {
    const state = new LaneState(lane);
    const damagedOffset = await state.load(storage);
    if (damagedOffset !== undefined) damaged.set(lane, damagedOffset);
    lanes.set(lane, state);
  }
  const cursors = new Cursors();
  for (const sink of options.sinks) {
    await cursors.load(storage, sink.id, (lane, lost) => {
      const state = lanes.get(lane);
      // where a damaged cursor was is not known: duplicates rather than a loss
      return cursorAt((sink.start === 'now' && !lost ? state?.tail : state?.head) ?? 0);
    });
  }
  for (const state of lanes.values()) {
    state.seen(cursors.seen(state.lane));
    await state.oldest(storage);
  }
  const losses = new Losses();
  await losses.load(storage);
  const log = new DurableLog(id, lanes, cursors, losses, options);
  await log.start(damaged);
  return log;
}
