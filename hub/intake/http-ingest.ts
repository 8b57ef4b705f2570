/**
 * Takes messages from the HTTP API into the log.
 *
 * Invariants:
 * - a request is answered `stored` only when every message of it is as durable as configured;
 * - nothing of a request is given to the log before there is room for all its lanes: what waits
 *   outside can be refused, what waits in the log cannot;
 * - a request that is not answered `stored` may have been stored in part: it is sent again as a
 *   whole, and then events come twice, never not at all;
 * - waiting ends: for room after ROOM_TIMEOUT_MS, for the card after CARD_TIMEOUT_MS.
 */
import type { HubError } from '../core/errors.ts';
import type { IncomingTrace } from '../core/trace.ts';
import type { DurableLog } from '../log/durable-log.ts';
import { type TopicLimits, topicRefusals } from './broker/topic-rules.ts';
import type { Intake, IntakePort } from './intake.ts';

/** Programs wait for an answer for 10 s and more; a sink that works makes room within this. */
const ROOM_TIMEOUT_MS = 5_000;
/** A card that needs longer is in trouble, and the client better keeps what it has. */
const CARD_TIMEOUT_MS = 30_000;
/** Room is looked for at each commit; without traffic there is none, and this looks instead. */
const LOOK_INTERVAL_MS = 250;
/** Topics of the hub's own events, such as the reports of losses. */
const OWN_TOPICS = 'holdfast/';

export interface HttpMessage {
  readonly topic: string;
  readonly payload: Buffer;
  readonly trace: IncomingTrace | undefined;
}

/**
 * `full`: no room in time, nothing was stored. `unsure`: the log is closing or the card refuses;
 * some may have been stored. `gone`: the signal was aborted before anything was stored.
 */
export type IngestOutcome = 'stored' | 'full' | 'unsure' | 'gone';

export interface HttpIngestOptions {
  readonly intake: Intake;
  readonly log: DurableLog;
  readonly limits: TopicLimits & { readonly packetBytesMax: number };
  /** How long a request waits for room. Default 5 s. */
  readonly roomTimeoutMs?: number;
}

const TOPIC_PROBLEMS: Readonly<Record<string, (limits: TopicLimits) => string>> = {
  reserved_topic: () => 'begins with `$`, which is reserved',
  topic_too_long: ({ topicBytesMax }) => `has more than ${topicBytesMax} bytes`,
  topic_too_deep: ({ topicLevelsMax }) => `has more than ${topicLevelsMax} levels`,
  topic_characters: () => 'has a control character or text that is not valid Unicode',
};

export class HttpIngest {
  readonly #options: HttpIngestOptions;
  readonly #port: IntakePort;
  readonly #topicRefusal: (topic: string) => string;

  constructor(options: HttpIngestOptions) {
    this.#options = options;
    this.#port = options.intake.port('http');
    this.#topicRefusal = topicRefusals(options.limits);
  }

  /** The most that topic and payload of one message may have together. */
  get messageBytesMax(): number {
    return this.#options.limits.packetBytesMax;
  }

  /** What is wrong with a topic to publish to, in the user's words. */
  topicProblem(topic: string): string | undefined {
    if (topic === '') return 'is empty';
    if (/\p{Surrogate}/u.test(topic)) return 'has text that is not valid Unicode';
    if (/[+#]/.test(topic)) return 'has a wildcard: `+` and `#` are for filters';
    if (topic.startsWith(OWN_TOPICS)) return `begins with \`${OWN_TOPICS}\`, which is reserved`;
    const { limits } = this.#options;
    const refusal = this.#topicRefusal(topic);
    return refusal === '' ? undefined : (TOPIC_PROBLEMS[refusal]?.(limits) ?? refusal);
  }

  /** Messages that were checked with `topicProblem` and `messageBytesMax`. */
  async accept(messages: readonly HttpMessage[], signal: AbortSignal): Promise<IngestOutcome> {
    const room = await this.#waitForRoom(messages, signal);
    return room === 'room' ? await this.#store(messages) : room;
  }

  #waitForRoom(
    messages: readonly HttpMessage[],
    signal: AbortSignal,
  ): Promise<'room' | 'full' | 'gone'> {
    const { intake, log, roomTimeoutMs = ROOM_TIMEOUT_MS } = this.#options;
    const topics = new Set(messages.map(({ topic }) => topic));
    const hasRoom = () => ![...topics].some((topic) => intake.congested(topic));
    if (signal.aborted) return Promise.resolve('gone');
    if (hasRoom()) return Promise.resolve('room');
    return new Promise((resolve) => {
      const end = (result: 'room' | 'full' | 'gone') => {
        clearTimeout(timeout);
        clearInterval(look);
        stopListening();
        signal.removeEventListener('abort', gone);
        resolve(result);
      };
      const lookAgain = () => {
        if (hasRoom()) end('room');
      };
      const gone = () => end('gone');
      const timeout = setTimeout(() => end('full'), roomTimeoutMs);
      const look = setInterval(lookAgain, LOOK_INTERVAL_MS);
      const stopListening = log.onCommit(lookAgain);
      signal.addEventListener('abort', gone, { once: true });
    });
  }

  #store(messages: readonly HttpMessage[]): Promise<IngestOutcome> {
    if (messages.length === 0) return Promise.resolve('stored');
    return new Promise((resolve) => {
      const timeout = setTimeout(() => resolve('unsure'), CARD_TIMEOUT_MS);
      let open = messages.length;
      let failed = false;
      const done = (error?: HubError) => {
        failed ||= error !== undefined;
        if (--open > 0) return;
        clearTimeout(timeout);
        resolve(failed ? 'unsure' : 'stored');
      };
      for (const { topic, payload, trace } of messages) {
        this.#port.accept(topic, payload, done, undefined, undefined, trace);
      }
    });
  }
}
