import type { BadFrameReason, BridgeContext } from '../../hub/core/bridge.ts';
import type { Message } from '../../hub/core/event.ts';
import { sampledWarnings } from '../../hub/core/sampled-warnings.ts';
import type { LineBatch } from '../child/program.ts';
import type { Format } from '../format/format.ts';
import { messageOf } from '../format/message.ts';
import type { TopicTemplate } from '../format/topic.ts';

/** A wrong `format` makes every line bad: one line a minute says so as well. */
const WARN_EVERY_MS = 60_000;
const BAD_LINES = 'lines of the program cannot be used: check format, topic and what it prints';

export interface LinesOptions {
  readonly format: Format;
  readonly topic: TopicTemplate;
  /** Whether a line was no reading, but the answer to a command. */
  readonly isAnswer: (line: Buffer) => boolean;
  readonly context: BridgeContext;
}

/** What the lines of a program are: messages, answers, or of no use and counted. */
export class Lines {
  readonly #options: LinesOptions;
  readonly #warn;

  constructor(options: LinesOptions) {
    this.#options = options;
    const { logger, clock } = options.context;
    this.#warn = sampledWarnings({
      logger,
      monotonicMs: () => clock.monotonicMs(),
      perKeyMs: WARN_EVERY_MS,
    });
  }

  /** Resolves when all of it is durable, with how many messages it was. */
  async publish({ lines, tooLong }: LineBatch): Promise<number> {
    if (tooLong > 0) this.bad('too_long', tooLong);
    const messages = lines.flatMap((line) => this.#messageIn(line));
    await Promise.all(messages.map((message) => this.#options.context.accept(message)));
    return messages.length;
  }

  bad(reason: BadFrameReason, count: number): void {
    this.#options.context.badFrames(reason, count);
    this.#warn(reason, BAD_LINES, () => ({ reason }));
  }

  #messageIn(line: Buffer): Omit<Message, 'source'>[] {
    const { format, topic, isAnswer } = this.#options;
    if (isBlank(line) || isAnswer(line)) return [];
    const parsed = format(line);
    if (parsed === undefined) this.bad('format', 1);
    if (parsed === undefined || parsed.kind === 'nothing') return [];
    const message = messageOf(parsed, topic);
    if (message) return [message];
    this.bad('topic', 1);
    return [];
  }
}

/** Programs print empty lines to be read by people. */
const isBlank = (line: Buffer) => line.every((byte) => byte === 0x20 || byte === 0x09);
