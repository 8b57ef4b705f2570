/**
 * The event log: one append-only log in lanes, many cursors.
 *
 * Invariants:
 * - what `append` acknowledged is on stable storage (or, with `interval`, within its loss window);
 * - offsets of a lane are contiguous and never used twice;
 * - nothing is trimmed that a sink has not settled, except by `drop_oldest`, which counts it as
 *   lost;
 * - received = sum of the lanes' tails + refused; what was lost of it is in the ledger, by lane and
 *   reason;
 * - opening does not walk the log (see open-log.ts), and does not fail because something in it is
 *   damaged: that is set aside, counted, reported.
 */
import { describeError, HubError } from '../core/errors.ts';
import { LANES, type Lane, type Message } from '../core/event.ts';
import { RateMeter } from '../core/rate.ts';
import type { LogStatus } from '../core/status.ts';
import { closedError, type Done, GroupCommit } from './commit/group-commit.ts';
import { Writer } from './commit/writer.ts';
import type { CursorState } from './cursor-state.ts';
import type { Cursors } from './cursors.ts';
import { Checkup } from './damage/checkup.ts';
import { Damage } from './damage/damage.ts';
import type { LaneState } from './lane-state.ts';
import { LossReports } from './ledger/loss-reports.ts';
import type { Losses } from './ledger/losses.ts';
import type { Received } from './ledger/received.ts';
import type { EventLog, LaneRange } from './log.ts';
import type { LoadedLog, LogOptions } from './log-options.ts';
import { logStatus } from './log-status.ts';
import type { MarkFacts } from './mark.ts';
import type { Blocks } from './read/blocks.ts';
import { LogReader } from './read/reader.ts';
import { RecentBlocks } from './read/recent-blocks.ts';
import type { ReplayRecords } from './replay-records.ts';
import { Room, whenFullByLane } from './room/room.ts';
import { Thinner } from './room/thinner.ts';
import { GIVING_WAY, Trimmer } from './room/trimmer.ts';
import { type Waiting, WaitingRoom } from './room/waiting-room.ts';
import type { KeyRange, WriteOperation } from './storage/storage.ts';
import type { Boots } from './time/boots.ts';

/** Cursors, retention and loss reports are looked after this often. */
const HOUSEKEEPING_INTERVAL_MS = 1_000;
/** Time until full is the answer to "for how long": judged by some minutes, not by a burst. */
const FILL_RATE_WINDOW_MS = 120_000;
/** Appends admitted in one go: what is admitted is counted only when it is written. */
const ADMITTED_AT_ONCE = 1_000;

export class DurableLog implements EventLog {
  readonly id: string;
  readonly cursors: Cursors;
  readonly losses: Losses;
  readonly received: Received;
  readonly replays: ReplayRecords;
  readonly boots: Boots;
  readonly #options: LogOptions;
  readonly #lanes: ReadonlyMap<Lane, LaneState>;
  readonly #blocks: Blocks;
  readonly #commits: GroupCommit;
  readonly #reader: LogReader;
  readonly #recent: RecentBlocks;
  readonly #room: Room;
  readonly #trimmer: Trimmer;
  readonly #thinner: Thinner;
  readonly #writer: Writer;
  readonly #damage: Damage;
  readonly #waiting = new WaitingRoom();
  readonly #listeners = new Set<() => void>();
  readonly #fillRate: RateMeter;
  readonly #lossReports: LossReports;
  readonly #checkup: Checkup;
  #problem: string | undefined;
  #housekeeping: NodeJS.Timeout | undefined;
  #keepingHouse: Promise<void> | undefined;
  #trimming: Promise<void> | undefined;
  #trimWanted = false;
  #closing: Promise<void> | undefined;

  /** Use `openLog`. */
  constructor(loaded: LoadedLog, options: LogOptions) {
    const { id, lanes, blocks, boots, cursors, losses, received, replays } = loaded;
    const { storage, clock } = options;
    this.id = id;
    this.cursors = cursors;
    this.losses = losses;
    this.received = received;
    this.#lossReports = new LossReports(losses);
    this.replays = replays;
    this.boots = boots;
    boots.changed = (change) => options.observer?.clock?.(change);
    this.#recent = new RecentBlocks(boots);
    this.#options = options;
    this.#lanes = lanes;
    this.#blocks = blocks;
    this.#fillRate = new RateMeter(() => clock.monotonicMs(), FILL_RATE_WINDOW_MS);
    const riders = () => this.#takeRiders();
    this.#room = new Room({
      ...options,
      lanes,
      whenFull: whenFullByLane(options.whenFull),
      uncompactedBytes: () => this.#trimmer.uncompactedBytes,
    });
    this.#writer = new Writer({
      storage,
      trouble: (problem) => this.#cardTrouble(problem),
      outOfSpace: () => this.#room.squeeze().catch((error) => this.#troubled('no reserve', error)),
      found: (findings) => {
        for (const finding of findings) options.observer?.found?.(finding);
        if (findings.length > 0) this.#checkup.beginWithSalvage();
      },
    });
    const writer = this.#writer;
    this.#damage = new Damage({
      storage,
      blocks,
      writer,
      losses,
      riders,
      found: (lane, range, problem) => options.observer?.damaged?.(lane, range, problem),
    });
    this.#commits = this.#newCommits(riders);
    this.#reader = new LogReader({
      blocks,
      recent: this.#recent,
      boots,
      damaged: (lane, range, problem) => this.#damage.report(lane, range, problem),
    });
    this.#checkup = new Checkup({
      storage,
      lanes,
      blocks,
      reader: this.#reader,
      damage: this.#damage,
      writer,
      troubled: (what, error) => this.#troubled(what, error),
    });
    this.#thinner = this.#newThinner(blocks, riders);
    this.#trimmer = new Trimmer({
      storage,
      blocks,
      writer,
      cursors,
      replays,
      boots,
      ageMaxMs: options.ageMaxMs,
      nearlyFull: (freed) => this.#room.nearlyFull(freed),
      mustDrop: (lane, freed) => this.#mustDrop(lane, freed),
      thin: () => this.#thin(),
      damaged: (lane, range) => this.#damage.report(lane, range, 'it cannot be read'),
      lost: (lane, reason, events, range) => losses.record(lane, reason, events, range),
      riders,
    });
  }

  #newThinner(blocks: Blocks, riders: () => WriteOperation[]): Thinner {
    return new Thinner({
      storage: this.#options.storage,
      clock: this.#options.clock,
      aggregate: this.#options.aggregate,
      blocks,
      writer: this.#writer,
      inUse: (lane, from, to) =>
        this.cursors.inUse(lane, from, to) || this.replays.inUse(lane, from, to),
      times: this.boots,
      mustThin: (lane) => this.#room.mustThin(lane),
      thinned: ({ lane, firstOffset, span }, replaced, freedBytes) => {
        for (const offset of replaced) this.#recent.forget(lane, offset);
        this.#trimmer.thinned(lane, firstOffset + span, freedBytes);
      },
      riders,
      stopped: () => this.#closed,
    });
  }

  #newCommits(riders: () => WriteOperation[]): GroupCommit {
    const { profile, durability, mark, observer } = this.#options;
    return new GroupCommit({
      writer: this.#writer,
      lanes: this.#lanes,
      clock: this.boots.stamping,
      profile,
      durability,
      riders,
      received: (lane, sources) => {
        for (const [source, events] of sources) this.received.add(source, lane, events);
      },
      noted: () => mark.note(() => this.#markFacts()),
      committed: (blocks, facts) => {
        for (const block of blocks) {
          this.#recent.add(block);
          this.#fillRate.add(block.header.storedBytes);
        }
        observer?.committed?.({ ...facts, blocks: blocks.length });
        this.#room.measure();
        if (this.#room.nearlyFull()) this.#trimNow();
        if (blocks.length > 0) for (const listener of this.#listeners) listener();
      },
    });
  }

  /** Begins looking after cursors, retention, free space and damage. Called once by `openLog`. */
  async start({ readableEnds }: LoadedLog): Promise<void> {
    await this.#damage.load();
    await this.#thinner.load(this.#lanes.values());
    for (const [lane, end] of readableEnds) {
      const state = this.#lane(lane);
      if (end < state.tail) await this.#reader.check(state, end, state.tail, 1);
    }
    this.#options.mark.note(() => this.#markFacts()); // after a power cut it is an older one
    await this.#measureVolume();
    this.#checkup.begin();
    this.#housekeeping = setInterval(() => {
      this.#keepingHouse ??= this.#keepHouse()
        .catch((error) => this.#troubled('cannot look after the log', error))
        .finally(() => {
          this.#keepingHouse = undefined;
        });
    }, HOUSEKEEPING_INTERVAL_MS);
    this.#housekeeping.unref(); // who waits for an answer keeps the process alive, not this
  }

  append(message: Message, lane: Lane, done: Done, operations?: readonly WriteOperation[]): void {
    if (this.#closed) {
      done(closedError());
    } else if (this.#waiting.of(lane) === 0 && !this.#room.full(lane)) {
      this.#commits.add(message, lane, done, operations);
    } else if (this.#room.whenFull(lane) === 'drop_newest') {
      this.received.refuse(message.source, lane);
      this.losses.record(lane, 'full', 1, null);
      // in its turn, and the count is durable before
      this.#commits.write(operations ?? [], done, 'gathered');
    } else {
      this.#waiting.add({ message, lane, done, operations });
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
    return this.#waiting.count;
  }

  /** Whether an event of `lane` would have to wait for room: an input holds it back itself. */
  mustWait(lane: Lane): boolean {
    if (this.#waiting.of(lane) > 0) return true;
    return this.#room.full(lane) && this.#room.whenFull(lane) !== 'drop_newest';
  }

  /** Events accepted since the log was created. */
  get acceptedEvents(): number {
    let events = 0;
    for (const { tail } of this.#lanes.values()) events += tail;
    return events;
  }

  get corrections(): number {
    return this.boots.corrections;
  }

  /** What is wrong with the storage right now, in the user's words. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Resolves when every block has been looked at once, and what was found has been set aside. */
  checked(): Promise<void> {
    return this.#checkup.done();
  }

  /** What could not be read any more, ascending, `[from, to)`. */
  damagedRanges(lane: Lane): readonly { readonly from: number; readonly to: number }[] {
    return this.#damage.ranges(lane);
  }

  range(lane: Lane): LaneRange {
    const { head, tail } = this.#lane(lane);
    return { head, tail };
  }

  async read(lane: Lane, offset: number, bytesMax: number) {
    await this.#thinner.replaced(lane, offset);
    return await this.#reader.read(this.#lane(lane), offset, bytesMax);
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
    if (this.#waiting.count > 0 || this.#room.full(lane)) this.#trimNow();
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
    const checked = this.#checkup.stop();
    this.#writer.closing();
    const waiting = this.#waiting.takeAll();
    await this.#commits.close();
    for (const { done } of waiting) done(closedError()); // after what was accepted before them
    await this.#keepingHouse;
    await this.#trimming;
    await checked;
    await this.#writer.idle();
    this.#options.mark.note(() => this.#markFacts());
    await this.#options.mark.close();
    await this.#options.storage.close();
  }

  status(): LogStatus {
    return logStatus({
      id: this.id,
      options: this.#options,
      lanes: LANES.map((lane) => this.#lane(lane)),
      room: this.#room,
      fillBytesPerSecond: this.#fillRate.perSecond(),
      losses: this.losses,
      received: this.received,
      commits: this.#commits,
      thinner: this.#thinner,
      boots: this.boots,
    });
  }

  get #closed(): boolean {
    return this.#closing !== undefined;
  }

  #lane(lane: Lane): LaneState {
    const state = this.#lanes.get(lane);
    if (!state) throw new Error(`no lane ${lane}`);
    return state;
  }

  #markFacts(): MarkFacts {
    const positions = (lane: Lane) => this.#lane(lane).positions;
    return {
      logId: this.id,
      lanes: {
        alarm: positions('alarm'),
        normal: positions('normal'),
        bulk: positions('bulk'),
      },
      lost: this.losses.totals,
      refused: this.received.refused,
    };
  }

  #takeRiders(): WriteOperation[] {
    return [
      ...this.#commits.takeDeferred(),
      ...this.cursors.takeOperations(),
      ...this.losses.takeOperations(),
      ...this.received.takeOperations(),
      ...this.replays.takeOperations(),
      ...this.boots.takeOperations(),
    ];
  }

  async #measureVolume(): Promise<void> {
    try {
      await this.#room.measureVolume();
    } catch (error) {
      this.#troubled('cannot measure the free space', error); // what was measured before counts
    }
  }

  #cardTrouble(problem: string | undefined): void {
    this.#problem = problem;
    this.#options.observer?.trouble?.(problem);
  }

  #troubled(what: string, error: unknown): void {
    // while the card refuses that has been told, and this follows from it
    if (this.#problem && error instanceof HubError && error.code === 'LOG_NOT_OPEN') return;
    this.#options.observer?.trouble?.(`${what}: ${describeError(error)}`);
  }

  async #keepHouse(): Promise<void> {
    await this.#measureVolume();
    for (const lane of this.#lanes.values()) await lane.oldest(this.#blocks);
    if (this.#closed) return;
    this.#lookAtClock();
    this.#reportLosses();
    this.#trimNow();
    // an old cursor costs duplicates, not a loss: without traffic it is written without an fsync
    const changed = this.cursors.hasChanges || this.replays.hasChanges || this.#commits.hasDeferred;
    if (changed && this.#commits.pendingBytes === 0) {
      await this.#writer.write(() => this.#takeRiders(), { sync: false });
    }
  }

  /** What was learned is made durable at once: the events that it places may be old already. */
  #lookAtClock(): void {
    this.boots.look();
    const heads = Array.from(this.#lanes.values(), ({ headHeader }) => headHeader ?? []);
    this.boots.prune(heads.flat());
    if (this.boots.hasChanges) this.#commits.write(this.boots.takeOperations(), () => {});
  }

  /** Not into a lane that is full: they wait in the ledger. */
  #reportLosses(): void {
    if (this.#room.full('alarm')) return;
    for (const report of this.#lossReports.due(this.#options.clock.monotonicMs())) {
      this.#commits.add(report, 'alarm', () => {});
    }
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
    if (this.#room.volumeShort && this.#trimmer.uncompactedBytes > 0) {
      await this.#trimmer.compact(lanes);
      await this.#measureVolume();
    }
    this.#room.measure();
    for (const lane of LANES) {
      while (this.#waiting.of(lane) > 0 && !this.#room.full(lane) && !this.#closed) {
        await this.#admit(this.#waiting.take(lane, ADMITTED_AT_ONCE));
      }
    }
  }

  /** More of it follows after those who wait for room had their turn. */
  async #thin(): Promise<void> {
    const more = await this.#thinner.thin(GIVING_WAY.map((lane) => this.#lane(lane)));
    this.#trimWanted ||= more;
  }

  /** What can still be thinned is not given up. */
  #mustDrop(lane: Lane, freedBytes: number): boolean {
    if (!this.#room.mustDrop(lane, freedBytes)) return false;
    return this.#room.whenFull(lane) !== 'thin' || !this.#thinner.canThin(this.#lane(lane));
  }

  async #admit(waiting: readonly Waiting[]): Promise<void> {
    for (const { message, lane, done, operations } of waiting) {
      this.#commits.add(message, lane, done, operations);
    }
    await new Promise<void>((resolve) => this.#commits.write([], () => resolve()));
  }
}
