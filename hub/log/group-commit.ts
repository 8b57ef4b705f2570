/**
 * Group commit: while one write is on its way to the card, the next group gathers.
 *
 * Invariants:
 * - one write is in flight at a time, so blocks reach the storage in the order of their offsets;
 * - a group is one atomic write: its blocks, the state that belongs to them, and whatever rides
 *   along (cursors), so they cannot disagree after a crash;
 * - `done` callbacks run in the order of `add`, and only after the write is as durable as configured;
 * - a failed write is never retried on the same handle (the kernel may have dropped the pages): the
 *   storage is closed and opened again, then the same keys and values are written once more. That is
 *   harmless when the first write did reach the card.
 */
import assert from 'node:assert';
import type { Clock } from '../core/clock.ts';
import { describeError, HubError } from '../core/errors.ts';
import { LANES, type Lane, type Message } from '../core/event.ts';
import { BlockBuilder } from './block-body.ts';
import { type BlockHeader, readHeader, sealBlock } from './block-format.ts';
import { blockKey, metaKey } from './keys.ts';
import type { LaneState } from './lane-state.ts';
import type { Storage, WriteOperation } from './storage.ts';

export type Done = (error?: HubError) => void;

/** How long a group may gather, by commit profile. See docs/LOG.md for what each costs the card. */
export const GATHER_MS = { latency: 0, balanced: 5, card: 250 } as const;
export type CommitProfile = keyof typeof GATHER_MS;

/**
 * A group of this size need not gather any longer: its one fsync and its last half-empty page are
 * already shared by hundreds of events, and the card can work while the next group arrives.
 */
const GATHERED_BYTES = 64 * 1024;
/** A group that waits for the write before it takes no more than this: the next one begins. */
const GROUP_BYTES_MAX = 1024 * 1024;
/** Between two tries to open the storage again after an error of the card. */
const REOPEN_DELAY_MS = 500;

export type Durability =
  | { readonly kind: 'fsync' }
  | { readonly kind: 'interval'; readonly intervalMs: number };

export interface CommittedBlock {
  readonly header: BlockHeader;
  readonly body: Buffer;
}

export interface GroupCommitOptions {
  readonly storage: Storage;
  readonly lanes: ReadonlyMap<Lane, LaneState>;
  readonly clock: Clock;
  readonly profile: CommitProfile;
  readonly durability: Durability;
  /** Operations that join the next write because it happens anyway. */
  riders(): WriteOperation[];
  /** After each write, before the callbacks. `seconds` from its start until it was durable. */
  committed(blocks: readonly CommittedBlock[], seconds: number, bytes: number): void;
  /** The storage failed, or works again (undefined). */
  trouble(problem: string | undefined): void;
}

class Group {
  readonly builders = new Map<Lane, BlockBuilder>();
  readonly done: Done[] = [];
  readonly operations: WriteOperation[] = [];
  readonly startedMs: number;
  bytes = 0;
  full = false;

  constructor(startedMs: number) {
    this.startedMs = startedMs;
  }
}

export class GroupCommit {
  readonly #options: GroupCommitOptions;
  readonly #gatherMs: number;
  #group: Group | undefined;
  #queue: Group[] = [];
  #timer: NodeJS.Timeout | undefined;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #writing: Promise<void> | undefined;
  #pendingBytes = 0;
  #syncTimer: NodeJS.Timeout | undefined;
  #unsynced = false;
  #syncedMs: number;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
    this.#gatherMs = GATHER_MS[options.profile];
    this.#syncedMs = options.clock.monotonicMs();
    if (options.durability.kind === 'interval') {
      this.#syncTimer = setInterval(() => this.#requestSync(), options.durability.intervalMs);
      this.#syncTimer.unref();
    }
  }

  /** Bytes that wait for their write. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Adds an event, and the state that must not be without it. */
  add(message: Message, lane: Lane, done: Done, operations?: readonly WriteOperation[]): void {
    const group = this.#gathering();
    let builder = group.builders.get(lane);
    if (!builder) {
      builder = new BlockBuilder();
      group.builders.set(lane, builder);
    }
    const before = builder.bytes;
    builder.add(message, this.#options.clock);
    this.#grow(group, builder.bytes - before);
    group.full ||= builder.full;
    group.done.push(done);
    if (operations) group.operations.push(...operations);
    this.#schedule(group);
  }

  /** Adds state without an event. */
  write(operations: readonly WriteOperation[], done: Done): void {
    const group = this.#gathering();
    group.operations.push(...operations);
    for (const operation of operations) {
      this.#grow(group, operation.key.length + (operation.type === 'put' ? operation.value.length : 0));
    }
    group.done.push(done);
    this.#schedule(group);
  }

  /** Writes what has been gathered and resolves when it is durable. Nothing can be added after. */
  async close(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    clearInterval(this.#syncTimer);
    const riders = this.#options.riders();
    const last = this.#group ?? new Group(this.#options.clock.monotonicMs());
    if (!this.#group) this.#queue.push(last);
    this.#group = undefined;
    last.operations.push(...riders, syncOperation());
    this.#start();
    while (this.#writing) await this.#writing;
    this.#state = 'closed';
  }

  #grow(group: Group, bytes: number): void {
    group.bytes += bytes;
    this.#pendingBytes += bytes;
  }

  #gathering(): Group {
    assert(this.#state === 'open', 'the log is closed');
    if (!this.#group || this.#group.full || this.#group.bytes >= GROUP_BYTES_MAX) {
      this.#group = new Group(this.#options.clock.monotonicMs());
      this.#queue.push(this.#group);
    }
    return this.#group;
  }

  #schedule(group: Group): void {
    if (this.#writing) return;
    if (group.bytes >= GATHERED_BYTES || group.full) {
      this.#start();
    } else if (!this.#timer) {
      const waitedMs = this.#options.clock.monotonicMs() - group.startedMs;
      const waitMs = Math.max(0, this.#gatherMs - waitedMs);
      this.#timer = setTimeout(() => this.#start(), waitMs);
    }
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#writing) this.#run(this.#drain());
  }

  /** One write at a time: remembers it, and looks for the next group when it is done. */
  #run(writing: Promise<void>): void {
    this.#writing = writing.finally(() => {
      this.#writing = undefined;
      const next = this.#queue[0];
      if (next) this.#schedule(next);
    });
  }

  /**
   * Writes group after group for as long as one is due. The next write is started before the
   * callbacks of the last one run, so that acknowledging never keeps the card waiting.
   */
  async #drain(): Promise<void> {
    let writing = this.#commitNext(this.#queue.shift());
    while (writing) {
      const { done } = await writing;
      writing = this.#commitNext(this.#nextDue());
      for (const settled of done) settled();
    }
  }

  #commitNext(group: Group | undefined): Promise<Group> | undefined {
    if (group && this.#group === group) this.#group = undefined;
    return group && this.#commit(group);
  }

  #nextDue(): Group | undefined {
    const next = this.#queue[0];
    if (!next) return undefined;
    const ageMs = this.#options.clock.monotonicMs() - next.startedMs;
    const due = this.#state === 'closing' || next !== this.#group || ageMs >= this.#gatherMs;
    return due || next.bytes >= GATHERED_BYTES ? this.#queue.shift() : undefined;
  }

  async #commit(group: Group): Promise<Group> {
    const startedMs = this.#options.clock.monotonicMs();
    const blocks = await this.#seal(group);
    const operations = [...group.operations, ...this.#options.riders()];
    for (const block of blocks) {
      const { lane, firstOffset } = block.header;
      operations.push({ type: 'put', key: blockKey(lane, firstOffset), value: block.stored });
    }
    await this.#writeUntilDone(operations, this.#syncDue());
    this.#pendingBytes -= group.bytes;
    for (const { header } of blocks) this.#options.lanes.get(header.lane)?.appended(header);
    const seconds = (this.#options.clock.monotonicMs() - startedMs) / 1000;
    this.#options.committed(blocks, seconds, sizeOf(operations));
    return group;
  }

  #syncDue(): boolean {
    const { durability, clock } = this.#options;
    if (durability.kind === 'fsync' || this.#state === 'closing') return true;
    return clock.monotonicMs() - this.#syncedMs >= durability.intervalMs;
  }

  async #seal(group: Group): Promise<(CommittedBlock & { readonly stored: Buffer })[]> {
    const sealing = LANES.filter((lane) => group.builders.has(lane)).map(async (lane) => {
      const builder = group.builders.get(lane);
      const state = this.#options.lanes.get(lane);
      assert(builder && state);
      const body = builder.body();
      const place = await sealBlock(body, {
        lane,
        count: builder.count,
        firstReceivedMs: builder.firstReceivedMs,
        lastReceivedMs: builder.lastReceivedMs,
        firstMonotonicMs: builder.firstMonotonicMs,
        bootId: this.#options.clock.bootId,
      });
      const stored = place(state.tail, state.tailBytes);
      return { header: readHeader(lane, state.tail, stored), body, stored };
    });
    return await Promise.all(sealing);
  }

  async #writeUntilDone(operations: readonly WriteOperation[], sync: boolean): Promise<void> {
    const { storage, trouble } = this.#options;
    for (let failed = false; ; failed = true) {
      try {
        if (failed) {
          await storage.close();
          await storage.open();
        }
        await storage.write(operations, { sync });
        this.#unsynced = !sync;
        if (sync) this.#syncedMs = this.#options.clock.monotonicMs();
        if (failed) trouble(undefined);
        return;
      } catch (error) {
        trouble(`cannot write to the log: ${describeError(error)}`);
        await new Promise((resolve) => setTimeout(resolve, REOPEN_DELAY_MS));
      }
    }
  }

  #requestSync(): void {
    if (!this.#unsynced || this.#state !== 'open' || this.#writing) return;
    this.#run(this.#writeUntilDone([syncOperation()], true));
  }
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
