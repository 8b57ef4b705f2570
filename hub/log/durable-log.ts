/**
 * The event log: one append-only log in lanes, many cursors.
 *
 * Invariants:
 * - what `append` acknowledged is on stable storage (or, with `interval`, within its loss window);
 * - offsets of a lane are contiguous and never used twice;
 * - nothing is trimmed that a sink has not settled, except by `drop_oldest`, which counts it as lost;
 * - accepted = sum of the lanes' tails; what was lost of it is in the ledger, by lane and reason;
 * - opening does not walk the log: it reads one block and one record a lane, and the cursors.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { HubError } from '../core/errors.ts';
import { LANES, type Lane, type Message } from '../core/event.ts';
import { RateMeter } from '../core/rate.ts';
import type { LogStatus } from '../core/status.ts';
import { FORMAT_VERSION } from './block-format.ts';
import { type CursorState, Cursors, cursorAt } from './cursors.ts';
import {
  type CommitProfile,
  closedError,
  type Done,
  type Durability,
  GroupCommit,
} from './group-commit.ts';
import { metaKey } from './keys.ts';
import { LaneState } from './lane-state.ts';
import type { EventLog, LaneRange } from './log.ts';
import { Losses } from './losses.ts';
import { LogReader } from './reader.ts';
import { RecentBlocks } from './recent-blocks.ts';
import type { KeyRange, Storage, WriteOperation } from './storage.ts';
import { Trimmer } from './trimmer.ts';

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
/** Lanes in the order in which they give way when room is needed. */
const GIVING_WAY: readonly Lane[] = ['bulk', 'normal', 'alarm'];

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
  readonly #listeners = new Set<() => void>();
  readonly #fillRate: RateMeter;
  /** Appends that wait for room, in order. Bounded by what clients have in flight. */
  #waiting: Waiting[] = [];
  /** Bounded by a second of session traffic: housekeeping writes it. */
  #deferred: WriteOperation[] = [];
  #freeBytes = Number.POSITIVE_INFINITY;
  #full = false;
  #problem: string | undefined;
  #housekeeping: NodeJS.Timeout | undefined;
  #trimming: Promise<void> | undefined;
  #reportedLossesMs = 0;
  #writtenBytes = 0;
  #closed = false;

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
    this.#commits = new GroupCommit({
      storage,
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
      trouble: (problem) => {
        this.#problem = problem;
        observer?.trouble?.(problem);
      },
    });
    this.#reader = new LogReader({
      storage,
      recent: this.#recent,
      damaged: (lane, offset, problem) => observer?.damaged?.(lane, offset, problem),
    });
    this.#trimmer = new Trimmer({
      storage,
      cursors,
      clock,
      ageMaxMs: options.ageMaxMs,
      nearlyFull: () => this.#fuller(NEARLY_FULL_SHARE),
      mustDrop: () => options.whenFull === 'drop_oldest' && this.#fuller(DROP_OLDEST_SHARE),
      lost: (lane, reason, events, first) => losses.record(lane, reason, events, first),
      riders,
    });
  }

  /** Begins looking after cursors, retention and free space. */
  async start(): Promise<void> {
    await this.#measureFreeBytes();
    this.#housekeeping = setInterval(() => void this.#keepHouse(), HOUSEKEEPING_INTERVAL_MS);
  }

  append(message: Message, lane: Lane, done: Done, operations?: readonly WriteOperation[]): void {
    if (this.#closed) {
      done(closedError());
    } else if (this.#waiting.length === 0 && !this.#full) {
      this.#commits.add(message, lane, done, operations);
    } else if (this.#options.whenFull === 'drop_newest') {
      this.losses.record(lane, 'full', 1, null);
      if (operations) this.#commits.write(operations, done);
      else done();
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
    this.#deferred.push(...operations);
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

  /** Writes what is pending and closes the storage. What waits for room is refused: not acknowledged. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#housekeeping);
    for (const { done } of this.#waiting.splice(0)) done(closedError());
    await this.#trimming;
    await this.#commits.close();
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

  #fuller(share: number): boolean {
    const { bytesMax, freeBytesMin } = this.#options;
    return this.#bytes >= bytesMax * share || this.#freeBytes < freeBytesMin;
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
    const deferred = this.#deferred;
    this.#deferred = [];
    return [...deferred, ...this.cursors.takeOperations(), ...this.losses.takeOperations()];
  }

  async #measureFreeBytes(): Promise<void> {
    this.#freeBytes = await this.#options.freeBytes();
    this.#measure();
  }

  async #keepHouse(): Promise<void> {
    await this.#measureFreeBytes();
    for (const lane of this.#lanes.values()) {
      await lane.oldest(this.#options.storage).catch(() => undefined); // trim meets it and reports
    }
    if (this.#closed) return;
    this.#reportLosses();
    this.#trimNow();
    // an old cursor costs duplicates, not a loss: without traffic it is written without an fsync
    const changed = this.cursors.hasChanges || this.#deferred.length > 0;
    if (changed && this.#commits.pendingBytes === 0) {
      await this.#options.storage.write(this.#takeRiders(), { sync: false }).catch(() => undefined);
    }
  }

  #reportLosses(): void {
    const now = this.#options.clock.monotonicMs();
    if (now - this.#reportedLossesMs < LOSS_REPORT_INTERVAL_MS) return;
    this.#reportedLossesMs = now;
    for (const report of this.losses.takeReports()) this.#commits.add(report, 'alarm', () => {});
  }

  #trimNow(): void {
    this.#trimming ??= this.#trimAndAdmit()
      .catch((error) => this.#options.observer?.trouble?.(`cannot trim the log: ${error.message}`))
      .finally(() => {
        this.#trimming = undefined;
      });
  }

  async #trimAndAdmit(): Promise<void> {
    await this.#trimmer.trim(GIVING_WAY.map((lane) => this.#lane(lane)));
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
 * Opens the log in `options.storage`, creating it when it is new.
 * Errors: LOG_LOCKED, LOG_NOT_OPEN, LOG_CORRUPT for a format this hub does not know.
 */
export async function openLog(options: LogOptions): Promise<DurableLog> {
  const { storage } = options;
  await storage.open();
  const id = await loadIdentity(storage);
  const lanes = new Map<Lane, LaneState>();
  for (const lane of LANES) {
    const state = new LaneState(lane);
    await state.load(storage);
    await state.oldest(storage);
    lanes.set(lane, state);
  }
  const cursors = new Cursors();
  for (const sink of options.sinks) {
    await cursors.load(storage, sink.id, (lane) => {
      const state = lanes.get(lane);
      return cursorAt((sink.start === 'now' ? state?.tail : state?.head) ?? 0);
    });
  }
  const losses = new Losses();
  await losses.load(storage);
  const log = new DurableLog(id, lanes, cursors, losses, options);
  await log.start();
  return log;
}

/** A new log is made durable before anything is acknowledged: an unsynced one may not open again. */
async function loadIdentity(storage: Storage): Promise<string> {
  const key = metaKey('identity');
  const saved = await storage.get(key);
  if (!saved) {
    const id = randomBytes(5).toString('hex');
    const value = Buffer.from(JSON.stringify({ id, format: FORMAT_VERSION }));
    await storage.write([{ type: 'put', key, value }], { sync: true });
    return id;
  }
  const identity: { id: string; format: number } = JSON.parse(saved.toString());
  if (identity.format !== FORMAT_VERSION) {
    throw new HubError(
      'LOG_NOT_OPEN',
      `the log has format ${identity.format}, this hub reads and writes ${FORMAT_VERSION}`,
    );
  }
  return identity.id;
}
