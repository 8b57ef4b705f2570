/**
 * Group commit: while one write is on its way to the card, the next group gathers.
 *
 * Invariants:
 * - while one group is being written the next is packed (compressed), and a third one gathers;
 * - one write is in flight at a time, so blocks reach the storage in the order of their offsets;
 * - a group is one atomic write: its blocks, the state that belongs to them, and whatever rides
 *   along (cursors), so they cannot disagree after a crash;
 * - `done` callbacks run in the order of `add`, once each, and only after the write is as durable
 *   as configured and `noted` has been told; with an error only when the log closes while the card
 *   refuses writes;
 * - with `interval` nothing stays unsynced for longer than the interval and the write that ends it.
 */
import assert from 'node:assert';
import type { Clock } from '../../core/clock.ts';
import { HubError } from '../../core/errors.ts';
import { LANES, type Lane, type Message } from '../../core/event.ts';
import { RateMeter } from '../../core/rate.ts';
import { isSampled, type TraceContext } from '../../core/trace.ts';
import { BlockBuilder } from '../block/block-body.ts';
import { type BlockHeader, readHeader, sealBlock } from '../block/block-format.ts';
import { blockKey, metaKey } from '../keys.ts';
import type { LaneState } from '../lane-state.ts';
import type { WriteOperation } from '../storage/storage.ts';
import { type CommitProfile, type Gathered, Gathering } from './gathering.ts';
import type { Writer } from './writer.ts';

export type Done = (error?: HubError) => void;

/**
 * A group of this size need not gather any longer: its one fsync and its last half-empty page are
 * already shared by hundreds of events, and the card can work while the next group arrives.
 */
const GATHERED_BYTES = 64 * 1024;
/** Timers keep whole milliseconds: what is due within one is due. */
const TIMER_MS = 1;
/** A group that waits for the write before it takes no more than this: the next one begins. */
const GROUP_BYTES_MAX = 1024 * 1024;
export type Durability =
  | { readonly kind: 'fsync' }
  | { readonly kind: 'interval'; readonly intervalMs: number };

export interface CommittedBlock {
  readonly header: BlockHeader;
  readonly body: Buffer;
}

export interface CommitFacts {
  /** From the start of the write until it was durable. */
  readonly seconds: number;
  readonly bytes: number;
  /** Of the events that are followed, at most TRACES_MAX of them. */
  readonly traces: readonly TraceContext[];
}

/** What a span can link to (OpenTelemetry's own limit). */
const TRACES_MAX = 128;
const NO_TRACES: readonly TraceContext[] = [];

interface SealedBlock extends CommittedBlock {
  readonly stored: Buffer;
}

interface Written {
  readonly done: Done[];
  readonly error: HubError | undefined;
}

export interface GroupCommitOptions {
  readonly writer: Writer;
  readonly lanes: ReadonlyMap<Lane, LaneState>;
  readonly clock: Clock;
  readonly profile: CommitProfile;
  readonly durability: Durability;
  /** The events of a lane that the next write holds, by source; before its `riders`. */
  received(lane: Lane, sources: ReadonlyMap<string, number>): void;
  /** Operations that join the next write because it happens anyway. */
  riders(): WriteOperation[];
  /** After each write, before the callbacks. */
  committed(blocks: readonly CommittedBlock[], facts: CommitFacts): void;
  /** After a write, when the lanes have their new positions, and before it is acknowledged. */
  noted?(): void;
}

/** Keyed by key, so that the same state changed twice is written once, and takes memory once. */
type Operations = Map<string, WriteOperation>;

function put(operations: Operations, operation: WriteOperation): void {
  operations.set(operation.key.toString('latin1'), operation);
}

/** A block whose place in the lane is still open. */
interface PackedBlock {
  readonly lane: Lane;
  readonly body: Buffer;
  readonly place: (firstOffset: number, bytesBefore: number) => Buffer;
}

class Group {
  readonly builders = new Map<Lane, BlockBuilder>();
  readonly done: Done[] = [];
  readonly operations: Operations = new Map();
  readonly gathered: Gathered;
  /** Made when it is needed: most groups follow nothing. */
  traces: TraceContext[] | undefined;
  bytes = 0;
  /** Takes no more: a block's indices are used up, or it is being packed. */
  full = false;
  packed: Promise<PackedBlock[]> | undefined;

  constructor(gathered: Gathered) {
    this.gathered = gathered;
  }
}

export class GroupCommit {
  readonly #options: GroupCommitOptions;
  readonly #gathering: Gathering;
  #group: Group | undefined;
  #queue: Group[] = [];
  #timer: NodeJS.Timeout | undefined;
  #timerMs = 0;
  #soon: NodeJS.Immediate | undefined;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #writing: Promise<void> | undefined;
  #pendingBytes = 0;
  #unacknowledgedGroups = 0;
  #payloadBytes = 0;
  #writtenBytes = 0;
  readonly #commitRate: RateMeter;
  #syncTimer: NodeJS.Timeout | undefined;
  /** When the oldest write that is not synced was acknowledged. */
  #unsyncedMs: number | undefined;
  /** State that rides with the next write. Bounded: one entry a key. */
  #deferred: Operations = new Map();

  constructor(options: GroupCommitOptions) {
    this.#options = options;
    this.#gathering = new Gathering(options.profile);
    this.#commitRate = new RateMeter(() => options.clock.monotonicMs());
  }

  /** Bytes that wait for their write. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Since the log was opened. `writtenBytes`: keys and values, as they were handed to storage. */
  get counts() {
    return {
      payloadBytes: this.#payloadBytes,
      writtenBytes: this.#writtenBytes,
      commitsPerSecond: this.#commitRate.perSecond(),
    };
  }

  /** Adds an event, and the state that must not be without it. */
  add(message: Message, lane: Lane, done: Done, operations?: readonly WriteOperation[]): void {
    const group = this.#openGroup();
    let builder = group.builders.get(lane);
    if (!builder) {
      builder = new BlockBuilder();
      group.builders.set(lane, builder);
    }
    const before = builder.bytes;
    builder.add(message, this.#options.clock);
    this.#grow(group, builder.bytes - before);
    this.#payloadBytes += message.payload.length;
    group.full ||= builder.full;
    group.done.push(done);
    if (message.trace !== undefined) followed(group, message.trace);
    if (operations && operations.length > 0) this.#join(group, operations);
    this.#joined(group, lane === 'alarm'); // an alarm does not wait for company
  }

  /**
   * Adds state without an event. Somebody who has waited for an event already often waits for it,
   * so it goes soon; `gathered` when it takes the place of an event.
   */
  write(
    operations: readonly WriteOperation[],
    done: Done,
    pace: 'soon' | 'gathered' = 'soon',
  ): void {
    const group = this.#openGroup();
    this.#join(group, operations);
    for (const operation of operations) {
      this.#grow(
        group,
        operation.key.length + (operation.type === 'put' ? operation.value.length : 0),
      );
    }
    group.done.push(done);
    this.#joined(group, pace === 'soon');
  }

  /** State for the next write, whoever causes it. */
  defer(operations: readonly WriteOperation[]): void {
    for (const operation of operations) {
      put(this.#deferred, operation);
      // a group that still waits holds an older value: it must not come back after this one
      const key = operation.key.toString('latin1');
      for (const group of this.#queue)
        if (group.operations.has(key)) put(group.operations, operation);
    }
  }

  get hasDeferred(): boolean {
    return this.#deferred.size > 0;
  }

  /** What was deferred, for a write that begins now. */
  takeDeferred(): WriteOperation[] {
    const operations = [...this.#deferred.values()];
    this.#deferred.clear();
    return operations;
  }

  /** Writes what has been gathered and resolves when it is durable. Nothing can be added after. */
  async close(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    clearTimeout(this.#syncTimer);
    const last = this.#group ?? this.#newGroup();
    this.#group = undefined;
    put(last.operations, syncOperation());
    while (this.#writing !== undefined || this.#queue.length > 0) {
      this.#start();
      await this.#writing;
    }
    this.#state = 'closed';
  }

  #join(group: Group, operations: readonly WriteOperation[]): void {
    for (const operation of operations) {
      this.#deferred.delete(operation.key.toString('latin1')); // older than this one
      put(group.operations, operation);
    }
  }

  #grow(group: Group, bytes: number): void {
    group.bytes += bytes;
    this.#pendingBytes += bytes;
  }

  #openGroup(): Group {
    assert(this.#state === 'open', 'the log is closed');
    if (!this.#group || this.#group.full || this.#group.bytes >= GROUP_BYTES_MAX) {
      this.#group = this.#newGroup();
    }
    return this.#group;
  }

  #newGroup(): Group {
    const alone = this.#unacknowledgedGroups === 0;
    const group = new Group(this.#gathering.opened(this.#options.clock.monotonicMs(), alone));
    this.#unacknowledgedGroups += 1;
    this.#queue.push(group);
    return group;
  }

  #joined({ gathered, bytes }: Group, urgent: boolean): void {
    // most events of a busy hub find that it is enough: they need no look at the clock
    if (!gathered.enough) {
      this.#gathering.joined(gathered, this.#options.clock.monotonicMs(), bytes, urgent);
    }
    this.#schedule();
  }

  /** Sees to it that the first group is written when it is due. */
  #schedule(): void {
    const next = this.#queue[0];
    if (!next || this.#state !== 'open') return;
    if (this.#writing !== undefined) {
      this.#packAhead(next);
      return;
    }
    if (isLarge(next)) {
      this.#start();
      return;
    }
    const dueMs = this.#gathering.dueMs(next.gathered);
    if (this.#soon || (this.#timer && this.#timerMs <= dueMs)) return; // it looks again then
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const waitMs = dueMs - this.#options.clock.monotonicMs();
    if (waitMs < TIMER_MS) {
      this.#soon = setImmediate(() => this.#start()); // what has been received already joins
    } else {
      this.#timerMs = dueMs;
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#schedule();
      }, Math.ceil(waitMs));
    }
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    clearImmediate(this.#soon);
    this.#soon = undefined;
    if (!this.#writing) this.#run(this.#drain());
  }

  /** One write at a time: remembers it, and looks for the next group when it is done. */
  #run(writing: Promise<void>): void {
    this.#writing = writing.finally(() => {
      this.#writing = undefined;
      if (this.#queue.length > 0) this.#schedule();
      else if (this.#unsyncedMs !== undefined && this.#state === 'open' && this.#syncDue())
        this.#sync();
    });
  }

  /**
   * Writes group after group for as long as one is due. The next write is started before the
   * callbacks of the last one run, so that acknowledging never keeps the card waiting.
   */
  async #drain(): Promise<void> {
    let writing = this.#commitNext(this.#queue.shift());
    while (writing !== undefined) {
      const written = await writing;
      writing = this.#commitNext(this.#nextDue());
      this.#acknowledge(written);
    }
  }

  #acknowledge({ done, error }: Written): void {
    if (!error) this.#options.noted?.(); // a write that failed has moved nothing
    this.#unacknowledgedGroups -= 1;
    this.#gathering.acknowledged(this.#options.clock.monotonicMs());
    // taken out: what an acknowledged event holds must not live until the next write is done
    for (const settled of done.splice(0)) settled(error);
  }

  /** Packs the next group while the one before it is on its way to the card. */
  #packAhead(next: Group): void {
    if (next.packed !== undefined || next.bytes < GATHERED_BYTES) return;
    next.full = true;
    next.packed = this.#pack(next);
  }

  #commitNext(group: Group | undefined): Promise<Written> | undefined {
    if (!group) return undefined;
    if (this.#group === group) this.#group = undefined;
    const nowMs = this.#options.clock.monotonicMs();
    this.#gathering.closed(group.gathered, nowMs, group.done.length);
    return this.#commit(group, nowMs);
  }

  #nextDue(): Group | undefined {
    const next = this.#queue[0];
    if (!next) return undefined;
    const waitMs = this.#gathering.dueMs(next.gathered) - this.#options.clock.monotonicMs();
    const due = this.#state === 'closing' || next !== this.#group || waitMs <= 0;
    return due || isLarge(next) ? this.#queue.shift() : undefined;
  }

  async #commit(group: Group, startedMs: number): Promise<Written> {
    const { clock, lanes, writer } = this.#options;
    const packed = await (group.packed ?? this.#pack(group));
    const blocks = packed.map((block) => this.#place(block));
    const sync = this.#syncDue();
    let bytes = 0;
    const error = await writer.write(
      () => {
        const operations = this.#operationsOf(group, blocks);
        bytes = sizeOf(operations);
        return operations;
      },
      { sync },
    );
    this.#pendingBytes -= group.bytes;
    if (error) return { done: group.done, error };
    if (bytes > 0) this.#noteWritten(sync);
    this.#writtenBytes += bytes;
    this.#commitRate.add(1);
    for (const { header } of blocks) lanes.get(header.lane)?.appended(header);
    const seconds = (clock.monotonicMs() - startedMs) / 1000;
    this.#options.committed(blocks, { seconds, bytes, traces: group.traces ?? NO_TRACES });
    return { done: group.done, error: undefined };
  }

  #operationsOf(group: Group, blocks: readonly SealedBlock[]): WriteOperation[] {
    for (const [lane, builder] of group.builders) {
      this.#options.received(lane, builder.sourceCounts);
    }
    const operations = [...group.operations.values(), ...this.#options.riders()];
    for (const { header, stored } of blocks) {
      operations.push({
        type: 'put',
        key: blockKey(header.lane, header.firstOffset),
        value: stored,
      });
      const state = this.#options.lanes.get(header.lane);
      if (state) operations.push(state.saveOperation(header));
    }
    return operations;
  }

  #syncDue(): boolean {
    const { durability, clock } = this.#options;
    if (durability.kind === 'fsync' || this.#state !== 'open') return true;
    if (this.#unsyncedMs === undefined) return false;
    return clock.monotonicMs() - this.#unsyncedMs >= durability.intervalMs;
  }

  /** Whether traffic goes on or not, what is unsynced now is synced when the interval is over. */
  #noteWritten(synced: boolean): void {
    const { durability, clock } = this.#options;
    if (synced) {
      this.#unsyncedMs = undefined;
      clearTimeout(this.#syncTimer);
    } else if (this.#unsyncedMs === undefined && durability.kind === 'interval') {
      this.#unsyncedMs = clock.monotonicMs();
      this.#syncTimer = setTimeout(() => {
        if (!this.#writing && this.#state === 'open') this.#sync(); // else the next write is the sync
      }, durability.intervalMs);
      this.#syncTimer.unref(); // a process that ends loses nothing, only a power cut does
    }
  }

  async #pack(group: Group): Promise<PackedBlock[]> {
    const packing = LANES.filter((lane) => group.builders.has(lane)).map(async (lane) => {
      const builder = group.builders.get(lane);
      assert(builder);
      const body = builder.body();
      const place = await sealBlock(body, {
        lane,
        count: builder.count,
        firstReceivedMs: builder.firstReceivedMs,
        lastReceivedMs: builder.lastReceivedMs,
        firstMonotonicMs: builder.firstMonotonicMs,
        clockSynced: builder.clockSynced,
        traced: builder.traced,
        bootId: this.#options.clock.bootId,
      });
      return { lane, body, place };
    });
    return await Promise.all(packing);
  }

  /** Gives a block its place, which is known when everything before it is written. */
  #place({ lane, body, place }: PackedBlock): SealedBlock {
    const state = this.#options.lanes.get(lane);
    assert(state);
    const stored = place(state.tail, state.tailBytes);
    return { header: readHeader(lane, state.tail, stored), body, stored };
  }

  #sync(): void {
    const written = this.#options.writer.write(() => [syncOperation()], { sync: true });
    this.#run(
      written.then((error) => {
        if (!error) this.#noteWritten(true);
      }),
    );
  }
}

function followed(group: Group, trace: TraceContext): void {
  if (!isSampled(trace)) return;
  group.traces ??= [];
  if (group.traces.length < TRACES_MAX) group.traces.push(trace);
}

function isLarge(group: Group): boolean {
  return group.bytes >= GATHERED_BYTES || group.full;
}

/** LevelDB syncs with a write or not at all: this is the write when there is nothing else. */
function syncOperation(): WriteOperation {
  return { type: 'put', key: metaKey('synced'), value: Buffer.alloc(0) };
}

function sizeOf(operations: readonly WriteOperation[]): number {
  let bytes = 0;
  for (const operation of operations) {
    bytes += operation.key.length + (operation.type === 'put' ? operation.value.length : 0);
  }
  return bytes;
}

/** What `append` answers after `close`. */
export function closedError(): HubError {
  return new HubError('LOG_CLOSED', 'the hub is stopping');
}
