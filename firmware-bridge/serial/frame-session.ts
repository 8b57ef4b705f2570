/**
 * The session of self-contained frames: each is checked, read in its format and published. With
 * `write`, a command is written as a frame, and a frame may answer it.
 */
import type { BadFrameReason } from '../../hub/core/bridge.ts';
import type { CommandOrder } from '../../hub/core/command.ts';
import type { Format } from '../format/format.ts';
import { messageOf } from '../format/message.ts';
import type { TopicTemplate } from '../format/topic.ts';
import type { Framer, FrameSink } from './framing/framer.ts';
import type {
  CommandEnd,
  SerialSession,
  SessionMessage,
  SessionOutput,
  SessionTime,
} from './session.ts';

/** Finer than any timeout that makes sense over a serial line, and nothing for the processor. */
const TICK_MS = 100;
/** What begins after so long a silence begins with the first byte of a frame. */
const SETTLED_MS = 1_000;

export interface FrameSessionOptions {
  readonly framer: Framer;
  readonly format: Format;
  readonly topic: TopicTemplate;
  readonly frameTimeoutMs: number;
  /** What answers a command; undefined when nothing does. */
  readonly expect?: RegExp | undefined;
  readonly answerTimeoutMs: number;
}

interface Awaited {
  readonly id: string;
  readonly untilMs: number;
}

const NOTHING: SessionOutput = Object.freeze({});

export class FrameSession implements SerialSession {
  readonly tickMs = TICK_MS;
  readonly #options: FrameSessionOptions;
  readonly #sink: FrameSink;
  #messages: SessionMessage[] = [];
  #bad: BadFrameReason[] = [];
  #ended: CommandEnd[] = [];
  #awaited: Awaited | undefined;
  #openedMs = 0;
  #lastByteMs: number | undefined;

  constructor(options: FrameSessionOptions) {
    this.#options = options;
    this.#sink = {
      frame: (body) => this.#frame(body),
      bad: (reason) => this.#bad.push(reason),
    };
  }

  opened(now: SessionTime): SessionOutput {
    this.#openedMs = now.monotonicMs;
    return NOTHING;
  }

  receive(bytes: Buffer, { monotonicMs }: SessionTime, resumed: boolean): SessionOutput {
    const { framer } = this.#options;
    if (!resumed) this.#endSilence(monotonicMs);
    if (this.#lastByteMs === undefined && monotonicMs - this.#openedMs >= SETTLED_MS)
      framer.beginsClean();
    this.#lastByteMs = monotonicMs;
    framer.push(bytes, this.#sink);
    return this.#take();
  }

  accepted(): SessionOutput {
    return NOTHING;
  }

  command({ id, name, payload }: CommandOrder, { monotonicMs }: SessionTime): SessionOutput {
    const { framer, expect, answerTimeoutMs } = this.#options;
    let write: Buffer;
    try {
      write = framer.encode(payload.length > 0 ? payload : Buffer.from(name));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const detail = `the command ${error.message}`;
      return { ended: [{ id, outcome: { state: 'failed', detail } }] };
    }
    if (this.#lastByteMs === undefined) framer.beginsClean(); // what comes now answers it
    if (!expect) return { write, ended: [{ id, outcome: { state: 'sent' } }] };
    this.#awaited = { id, untilMs: monotonicMs + answerTimeoutMs };
    return { write };
  }

  forget(commandId: string): void {
    if (this.#awaited?.id === commandId) this.#awaited = undefined;
  }

  tick({ monotonicMs }: SessionTime): SessionOutput {
    this.#endSilence(monotonicMs);
    const awaited = this.#awaited;
    if (awaited && monotonicMs >= awaited.untilMs) {
      this.#awaited = undefined;
      const { expect, answerTimeoutMs } = this.#options;
      const detail = `no frame that matches ${expect} came within ${answerTimeoutMs} ms`;
      this.#ended.push({ id: awaited.id, outcome: { state: 'failed', detail } });
    }
    return this.#take();
  }

  closed(): SessionOutput {
    this.#options.framer.end(this.#sink);
    return this.#take();
  }

  #endSilence(monotonicMs: number): void {
    const { framer, frameTimeoutMs } = this.#options;
    if (this.#lastByteMs === undefined || !framer.hasBegun) return;
    if (monotonicMs - this.#lastByteMs >= frameTimeoutMs) framer.silence(this.#sink);
  }

  #frame(body: Buffer): void {
    const awaited = this.#awaited;
    if (awaited && this.#options.expect?.test(body.toString())) {
      this.#awaited = undefined;
      this.#ended.push({ id: awaited.id, outcome: { state: 'done', answer: Buffer.from(body) } });
      return;
    }
    const parsed = this.#options.format(body);
    if (parsed === undefined) this.#bad.push('format');
    if (parsed === undefined || parsed.kind === 'nothing') return;
    const message = messageOf(parsed, this.#options.topic);
    if (message) this.#messages.push(message);
    else this.#bad.push('topic');
  }

  #take(): SessionOutput {
    const [messages, bad, ended] = [this.#messages, this.#bad, this.#ended];
    if (messages.length + bad.length + ended.length === 0) return NOTHING;
    this.#messages = [];
    this.#bad = [];
    this.#ended = [];
    return { messages, bad, ended };
  }
}
