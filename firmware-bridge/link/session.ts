/**
 * Holdfast Link on one opening of a port (docs/link.md), pure: bytes, times and commits in;
 * messages, bytes and ends of commands out.
 *
 * Invariants:
 * - only what is on stable storage is acknowledged, and only in the session that it came in;
 * - each number of a session is handed over once; what came before is dropped, not stored again;
 * - a device has one session at a time, and gets another only when nothing of the one before waits
 *   for the log: two writes of one slot can never cross;
 * - at most WINDOW_MAX readings of a device wait for the log, whatever it sends.
 */
import { crc32 } from 'node:zlib';
import type { BadFrameReason } from '../../hub/core/bridge.ts';
import type { CommandOrder, CommandOutcome } from '../../hub/core/command.ts';
import type {
  CommandEnd,
  SerialSession,
  SessionMessage,
  SessionOutput,
  SessionTime,
} from '../serial/session.ts';
import { DeviceMemory, forgotten, type Slots, slotsOf } from './device-memory.ts';
import { Deframer, FRAME_BYTES_MAX } from './frame.ts';
import { readingOf } from './reading.ts';
import * as wire from './wire.ts';

/** Devices are asked who they are so often at most: an old backlog on the wire is many frames. */
const WHO_INTERVAL_MS = 250;
/** Frames that were on their way do not ask for the same again. */
const NAK_INTERVAL_MS = 300;
/** Longer than a commit takes: the log is full, and the device need not send again. */
const WAIT_AFTER_MS = 700;
const WAIT_INTERVAL_MS = 2_000;
/** How long a device is told to wait: more than WAIT_INTERVAL_MS, so that it never sends again. */
const WAIT_MS = 5_000;
/** A device pings every 10 s. */
const SILENT_MS = 35_000;
const COMMAND_INTERVAL_MS = 1_000;
/** Boards that were ever on one port. Beyond it what is known of the first of them is forgotten. */
export const DEVICES_MAX = 64;

export interface LinkSessionOptions {
  /** What `context.loadState(STATE_PREFIX)` answered. */
  readonly state: ReadonlyMap<string, unknown>;
  /** Where a reading is published; undefined when there is no such topic. */
  topic(device: string, metric: string): string | undefined;
  /** In [0, 1). */
  random(): number;
  /** Told of each device that says hello. */
  met?(device: string): void;
}

interface Current {
  readonly memory: DeviceMemory;
  readonly hello: wire.Hello;
}

interface Underway {
  readonly order: CommandOrder;
  readonly wireId: number;
  readonly frame: Buffer;
  sentMs: number;
}

/** What one call has gathered. */
class Output {
  readonly messages: SessionMessage[] = [];
  readonly frames: Buffer[] = [];
  readonly bad: BadFrameReason[] = [];
  readonly ended: CommandEnd[] = [];

  done(): SessionOutput {
    const { messages, bad, ended } = this;
    return { messages, write: Buffer.concat(this.frames), bad, ended };
  }
}

export class LinkSession implements SerialSession {
  readonly tickMs = 100;
  readonly #options: LinkSessionOptions;
  readonly #deframer = new Deframer();
  /** As it was when the port was opened; of devices met since, `#memories` knows more. */
  readonly #stored: Map<string, Slots>;
  readonly #memories = new Map<string, DeviceMemory>();
  readonly #handed = new Map<SessionMessage, { memory: DeviceMemory; sequence: number }>();
  #current: Current | undefined;
  #underway: Underway | undefined;
  #heardMs = 0;
  #whoMs = Number.NEGATIVE_INFINITY;
  #waitMs = Number.NEGATIVE_INFINITY;
  #nak = { wanted: 0, ms: Number.NEGATIVE_INFINITY };

  constructor(options: LinkSessionOptions) {
    this.#options = options;
    this.#stored = slotsOf(options.state);
  }

  /** The device that is talking now. */
  get device(): string | undefined {
    return this.#current?.memory.device;
  }

  opened(now: SessionTime): SessionOutput {
    const output = new Output();
    this.#askWho(output, now);
    return output.done();
  }

  receive(bytes: Buffer, now: SessionTime): SessionOutput {
    const output = new Output();
    for (const frame of this.#deframer.take(bytes)) {
      const said = typeof frame === 'string' ? frame : (wire.parse(frame) ?? 'protocol');
      if (typeof said === 'string') output.bad.push(said);
      else this.#heard(said, output, now);
    }
    return output.done();
  }

  accepted(messages: readonly SessionMessage[]): SessionOutput {
    const output = new Output();
    for (const message of messages) {
      const handed = this.#handed.get(message);
      handed?.memory.durable(handed.sequence);
      this.#handed.delete(message);
      if (handed && handed.memory === this.#current?.memory && message === messages.at(-1))
        this.#acknowledge(handed.memory, output);
    }
    return output.done();
  }

  command(order: CommandOrder, now: SessionTime): SessionOutput {
    const output = new Output();
    const problem = this.#start(order, now);
    if (problem !== undefined)
      output.ended.push({ id: order.id, outcome: { state: 'failed', detail: problem } });
    else if (this.#underway) output.frames.push(this.#underway.frame);
    return output.done();
  }

  forget(commandId: string): void {
    if (this.#underway?.order.id === commandId) this.#underway = undefined;
  }

  tick(now: SessionTime): SessionOutput {
    const output = new Output();
    const { monotonicMs } = now;
    if (this.#current && monotonicMs - this.#heardMs > SILENT_MS) this.#current = undefined;
    const memory = this.#current?.memory;
    const isHeld = memory !== undefined && monotonicMs - memory.pendingSinceMs > WAIT_AFTER_MS;
    if (isHeld && monotonicMs - this.#waitMs >= WAIT_INTERVAL_MS) {
      this.#waitMs = monotonicMs;
      output.frames.push(wire.wait(memory.session, memory.last, WAIT_MS));
    }
    const command = this.#underway;
    if (command && this.#current && monotonicMs - command.sentMs >= COMMAND_INTERVAL_MS) {
      command.sentMs = monotonicMs;
      output.frames.push(command.frame);
    }
    return output.done();
  }

  closed(): SessionOutput {
    this.#current = undefined;
    this.#underway = undefined;
    return {};
  }

  #heard(said: wire.FromDevice, output: Output, now: SessionTime): void {
    switch (said.kind) {
      case 'hello':
        this.#hello(said, output, now);
        break;
      case 'reading':
        this.#reading(said, output, now);
        break;
      case 'ping': {
        const memory = this.#memoryOf(said.tag, output, now);
        if (memory) output.frames.push(wire.pong(memory.session, memory.last, now));
        break;
      }
      case 'answer':
        if (this.#current) this.#heardMs = now.monotonicMs; // who only answers does not ping
        this.#answer(said.id, said.status, said.payload, output);
        break;
    }
  }

  #hello(hello: wire.Hello, output: Output, now: SessionTime): void {
    if (hello.version !== wire.LINK_VERSION) {
      output.bad.push('protocol');
      return;
    }
    this.#endUnknown(output);
    const memory = this.#resumed(hello);
    if (memory === undefined) return; // it says hello again until the old session has settled
    this.#heardMs = now.monotonicMs;
    this.#current = { memory, hello };
    this.#nak = { wanted: 0, ms: Number.NEGATIVE_INFINITY };
    this.#options.met?.(hello.device);
    const window = Math.min(hello.window, wire.WINDOW_MAX);
    output.frames.push(wire.welcome(hello.nonce, memory.session, memory.last, window, now));
  }

  /** What is known of the session of a device, or a new one; undefined while that must wait. */
  #resumed(hello: wire.Hello): DeviceMemory | undefined {
    const { device, session, first, next } = hello;
    const known = this.#memories.get(device);
    const isKnown = known !== undefined && known.session === session;
    if (isKnown && known.newest < next && first <= known.last + 1) return known;
    if (known && known.pending > 0) return undefined;
    const slots = [...(this.#stored.get(device)?.values() ?? [])];
    let memory: DeviceMemory | undefined;
    if (session !== 0 && !isKnown) {
      const ofSession = slots.filter((slot) => slot.session === session);
      memory = new DeviceMemory(device, session, first, ofSession);
      // it does not know of what it has sent: its memory is older than ours
      if (memory.newest >= next) memory = undefined;
    }
    memory ??= new DeviceMemory(device, this.#newSession(slots, known), 1);
    this.#memories.set(device, memory);
    this.#forgetIdle();
    return memory;
  }

  /** Boards that only say hello fill no memory. Those with readings are in `#stored`. */
  #forgetIdle(): void {
    if (this.#memories.size <= 2 * DEVICES_MAX) return;
    const idle = [...this.#memories.keys()].find((device) => !this.#stored.has(device));
    if (idle !== undefined) this.#memories.delete(idle);
  }

  #newSession(slots: readonly { session: number }[], known: DeviceMemory | undefined): number {
    const used = new Set([0, known?.session, ...slots.map(({ session }) => session)]);
    let session = 0;
    while (used.has(session)) session = Math.floor(this.#options.random() * 2 ** 32);
    return session;
  }

  /** The memory of the session with this tag; without one the device is asked who it is. */
  #memoryOf(tag: number, output: Output, now: SessionTime): DeviceMemory | undefined {
    const memory = this.#current?.memory;
    if (memory && (memory.session & 0xffff) === tag) {
      this.#heardMs = now.monotonicMs;
      return memory;
    }
    this.#askWho(output, now);
    return undefined;
  }

  #askWho(output: Output, { monotonicMs }: SessionTime): void {
    if (monotonicMs - this.#whoMs < WHO_INTERVAL_MS) return;
    this.#whoMs = monotonicMs;
    output.frames.push(wire.who());
  }

  #reading({ tag, sequence, record }: wire.WireReading, output: Output, now: SessionTime): void {
    const memory = this.#memoryOf(tag, output, now);
    if (!memory) return;
    switch (memory.judge(sequence)) {
      case 'new':
        this.#handOver(memory, sequence, record, output, now);
        break;
      case 'repeated':
        if (sequence <= memory.last) this.#acknowledge(memory, output);
        break;
      case 'gap':
        this.#askAgain(memory, output, now);
        break;
      case 'outside':
        output.bad.push('protocol');
        break;
    }
  }

  #handOver(
    memory: DeviceMemory,
    sequence: number,
    record: Buffer,
    output: Output,
    now: SessionTime,
  ): void {
    const { metric, payload } = readingOf(record, now);
    const topic = this.#options.topic(memory.device, metric);
    if (topic === undefined) {
      output.bad.push('topic'); // never acknowledged: the topic of the configuration is at fault
      return;
    }
    const state = [memory.handOver(now.monotonicMs), ...this.#tooMany(memory.device)];
    const message = { topic, payload, state };
    this.#handed.set(message, { memory, sequence });
    output.messages.push(message);
  }

  /** Forgets the first of too many devices in the same write in which there is another. */
  #tooMany(device: string) {
    if (this.#stored.has(device)) return [];
    this.#stored.set(device, new Map());
    if (this.#stored.size <= DEVICES_MAX) return [];
    const [oldest = ''] = this.#stored.keys();
    this.#stored.delete(oldest);
    this.#memories.delete(oldest);
    return forgotten(oldest);
  }

  #acknowledge(memory: DeviceMemory, output: Output): void {
    output.frames.push(wire.ack(memory.session, memory.last));
  }

  #askAgain(memory: DeviceMemory, output: Output, { monotonicMs }: SessionTime): void {
    const wanted = memory.expected;
    if (this.#nak.wanted === wanted && monotonicMs - this.#nak.ms < NAK_INTERVAL_MS) return;
    this.#nak = { wanted, ms: monotonicMs };
    output.frames.push(wire.nak(memory.session, memory.last, wanted));
  }

  /** Answers why a command cannot be sent. */
  #start(order: CommandOrder, now: SessionTime): string | undefined {
    const current = this.#current;
    if (current?.memory.device !== order.device) {
      const there = current ? `\`${current.memory.device}\` is` : 'no device is';
      return `\`${order.device}\` does not answer on the port; ${there} there`;
    }
    const name = Buffer.from(order.name);
    const bytes = name.length + order.payload.length;
    const bytesMax = Math.min(current.hello.frameBytesMax, FRAME_BYTES_MAX) - wire.COMMAND_BYTES;
    if (bytes > bytesMax)
      return `name and data have ${bytes} bytes, and \`${order.device}\` takes ${bytesMax}`;
    // the same order has the same number after a restart too, so the device does it once
    const wireId = crc32(order.id);
    const frame = wire.command(wireId, name, order.payload);
    this.#underway = { order, wireId, frame, sentMs: now.monotonicMs };
    return undefined;
  }

  /**
   * A device that says hello may have started anew. Then it does not know what it has done: said
   * again, a command would be done twice, and one that restarts the device for ever.
   */
  #endUnknown(output: Output): void {
    const { order } = this.#underway ?? {};
    if (!order) return;
    this.#underway = undefined;
    const detail = `\`${order.device}\` said hello before it answered: whether it has done it is not known`;
    output.ended.push({ id: order.id, outcome: { state: 'failed', detail } });
  }

  #answer(id: number, status: number, payload: Buffer, output: Output): void {
    const { order, wireId } = this.#underway ?? {};
    if (!order || id !== wireId) return; // said again, or nobody waits for it any more
    this.#underway = undefined;
    output.ended.push({ id: order.id, outcome: outcomeOf(status, payload) });
  }
}

function outcomeOf(status: number, payload: Buffer): CommandOutcome {
  if (status === 0) return { state: 'done', answer: payload };
  if (status === 2) return { state: 'failed', detail: 'the device does not know this command' };
  const text = payload.toString('utf8');
  return { state: 'failed', detail: text || 'the device could not do it', answer: payload };
}
