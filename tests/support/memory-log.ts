import { HubError } from '../../hub/core/errors.ts';
import type { HubEvent, Lane, Message } from '../../hub/core/event.ts';
import { LANES } from '../../hub/core/event.ts';
import type { LogStatus } from '../../hub/core/status.ts';
import type { Block, EventLog, LaneRange } from '../../hub/log/log.ts';

interface Pending {
  readonly message: Message;
  readonly lane: Lane;
  readonly receivedMs: number;
  readonly done: (error?: HubError) => void;
}

interface MemoryLane {
  head: number;
  tail: number;
  readonly blocks: Block[];
}

/**
 * The event log of the interface, in memory: what is appended in one turn is one commit in the
 * next,
 * one block per lane. `nowMs` can be set to write history; `trim` takes whole blocks as the real
 * one does.
 */
export class MemoryLog implements EventLog {
  readonly id = 'memlog';
  corrections = 0;
  /** Stamped on what is appended next, in ms since 1970. */
  nowMs = Date.now();
  /** Blocks handed to readers, to see what a reader costs. */
  blocksRead = 0;
  readonly #lanes = new Map<Lane, MemoryLane>(
    LANES.map((lane) => [lane, { head: 0, tail: 0, blocks: [] }]),
  );
  readonly #listeners = new Set<() => void>();
  #pending: Pending[] = [];
  #closed = false;

  append(message: Message, lane: Lane, done: (error?: HubError) => void): void {
    if (this.#closed) {
      done(new HubError('LOG_CLOSED', 'The log is closed.'));
      return;
    }
    if (this.#pending.length === 0) setImmediate(() => this.#commit());
    this.#pending.push({ message, lane, receivedMs: this.nowMs, done });
  }

  /** Appends one commit and resolves when it is readable. */
  write(messages: readonly Message[], lane: Lane = 'normal'): Promise<void> {
    return new Promise((resolve, reject) => {
      let open = messages.length;
      if (open === 0) resolve();
      for (const message of messages)
        this.append(message, lane, (error) => {
          if (error) reject(error);
          else if (--open === 0) resolve();
        });
    });
  }

  range(lane: Lane): LaneRange {
    const { head, tail } = this.#lane(lane);
    return { head, tail };
  }

  async read(lane: Lane, offset: number, bytesMax: number): Promise<readonly Block[]> {
    await new Promise((resolve) => setImmediate(resolve));
    const { blocks } = this.#lane(lane);
    const found: Block[] = [];
    let bytes = 0;
    for (const block of blocks) {
      if (block.firstOffset + block.count <= offset) continue;
      if (found.length > 0 && bytes + block.storedBytes > bytesMax) break;
      found.push(block);
      bytes += block.storedBytes;
    }
    this.blocksRead += found.length;
    return found;
  }

  async seek(lane: Lane, receivedMs: number): Promise<number> {
    await new Promise((resolve) => setImmediate(resolve));
    const { blocks, tail } = this.#lane(lane);
    return blocks.find((block) => block.lastReceivedMs >= receivedMs)?.firstOffset ?? tail;
  }

  onCommit(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Removes whole blocks that end before `offset`. */
  trim(lane: Lane, offset: number): void {
    const state = this.#lane(lane);
    while (state.blocks[0] && state.blocks[0].firstOffset + state.blocks[0].count <= offset)
      state.blocks.shift();
    state.head = state.blocks[0]?.firstOffset ?? state.tail;
  }

  close(): void {
    this.#closed = true;
  }

  status(): LogStatus {
    const lanes = LANES.map((lane) => {
      const { head, tail, blocks } = this.#lane(lane);
      const bytes = blocks.reduce((sum, block) => sum + block.storedBytes, 0);
      return {
        lane,
        head,
        tail,
        bytes,
        refused: 0,
        thinned: { events: 0, aggregates: 0, intervalMs: 0 },
      };
    });
    const bytes = lanes.reduce((sum, lane) => sum + lane.bytes, 0);
    return {
      id: this.id,
      events: lanes.reduce((sum, lane) => sum + lane.tail - lane.head, 0),
      bytes,
      bytesMax: 1024 ** 3,
      oldestAgeMs: null,
      secondsUntilFull: null,
      durability: 'fsync',
      lossWindowMs: 0,
      whenFull: { alarm: 'block', normal: 'block', bulk: 'block' },
      fullReason: null,
      received: [],
      lost: [],
      full: false,
      acceptedEvents: lanes.reduce((sum, lane) => sum + lane.tail, 0),
      lostEvents: 0,
      writtenBytes: bytes,
      writtenBytesMeasured: false,
      writtenBytesPerPayloadByte: 1,
      commitsPerSecond: 0,
      lanes,
    };
  }

  #lane(lane: Lane): MemoryLane {
    const state = this.#lanes.get(lane);
    if (state === undefined) throw new Error(`no lane ${lane}`);
    return state;
  }

  #commit(): void {
    const pending = this.#pending;
    this.#pending = [];
    for (const lane of LANES) {
      const ours = pending.filter((one) => one.lane === lane);
      if (ours.length > 0) this.#addBlock(lane, ours);
    }
    for (const one of pending) one.done();
    for (const listener of [...this.#listeners]) listener();
  }

  #addBlock(lane: Lane, pending: readonly Pending[]): void {
    const state = this.#lane(lane);
    const firstOffset = state.tail;
    const events = pending.map(
      ({ message, receivedMs }, i): HubEvent => ({
        lane,
        offset: firstOffset + i,
        kind: message.kind ?? 'message',
        topic: message.topic,
        payload: message.payload,
        source: message.source,
        receivedMs,
        timeQuality: 'synced',
        monotonicMs: receivedMs,
        bootId: 'memory',
      }),
    );
    const topics = [...new Set(events.map((event) => event.topic))];
    const topicIndices = events.map((event) => topics.indexOf(event.topic));
    state.tail += events.length;
    state.blocks.push({
      lane,
      firstOffset,
      count: events.length,
      span: events.length,
      topics,
      firstReceivedMs: events[0]?.receivedMs ?? 0,
      lastReceivedMs: events.at(-1)?.receivedMs ?? 0,
      storedBytes: events.reduce((sum, event) => sum + event.payload.length + 20, 0),
      indexFrom: (offset) => Math.max(0, offset - firstOffset),
      offsetAt: (index) => firstOffset + index,
      payloadBytesAt: (index) => at(events, index).payload.length,
      topicIndexAt: (index) => at(topicIndices, index),
      eventAt: (index) => at(events, index),
    });
  }
}

function at<Item>(items: readonly Item[], index: number): Item {
  const item = items[index];
  if (item === undefined) throw new RangeError(`no event ${index} in this block`);
  return item;
}
