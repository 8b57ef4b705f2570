import type { FastifyReply, FastifyRequest } from 'fastify';
import { ACTOR_HEADER, ACTOR_VIAS, type Actor } from '../core/operation.ts';
import { Problem } from './problem.ts';

/** A user name has 32 characters, a host name 63. */
const NAME_CHARS_MAX = 128;

/**
 * Instructions a sink takes in a row, and how often one more. People stay below it; a program that
 * toggles in a loop would fill the log with what it did: so it is 9,000 small events a day at most.
 */
const BURST_MAX = 30;
const REFILL_MS = 10_000;

/** Who gives an instruction. Errors: Problem 400. */
export function actorOf({ headers, ip }: FastifyRequest): Actor {
  const header = headers[ACTOR_HEADER];
  if (header === undefined) return { via: 'api', address: ip };
  const [word, encoded = ''] = String(header).split(' ', 2);
  const via = ACTOR_VIAS.find((candidate) => candidate === word);
  const name = decoded(encoded)?.trim();
  if (
    via === undefined ||
    name === undefined ||
    /\p{C}/u.test(name) ||
    name.length > NAME_CHARS_MAX
  )
    throw new Problem(
      400,
      `The header \`${ACTOR_HEADER}\` is not what is expected: ${ACTOR_VIAS.join(', ')}, and a ` +
        `name of at most ${NAME_CHARS_MAX} characters, percent-encoded.`,
    );
  return { via, address: ip, ...(name && { name }) };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** What is left of a sink's allowance. */
interface Allowance {
  left: number;
  atMs: number;
}

/** Takes instructions for sinks that exist, no more than the log should have to remember. */
export class Instructions {
  readonly #bySink = new Map<string, Allowance>();
  readonly #nowMs: () => number;

  /** `nowMs` is monotonic. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /**
   * Counts one more instruction for `sink`, which must be one that is configured, and answers who
   * gives it. Errors: Problem 400; 429 with `retry-after` for too many.
   */
  take(request: FastifyRequest, reply: FastifyReply, sink: string): Actor {
    const actor = actorOf(request);
    const nowMs = this.#nowMs();
    const known = this.#bySink.get(sink) ?? { left: BURST_MAX, atMs: nowMs };
    const left = Math.min(BURST_MAX, known.left + (nowMs - known.atMs) / REFILL_MS);
    if (left < 1) {
      const seconds = Math.ceil(((1 - left) * REFILL_MS) / 1000);
      reply.header('retry-after', seconds);
      throw new Problem(
        429,
        `Sink \`${sink}\` was told too much in a short time: each instruction becomes an event. ` +
          `Up to ${BURST_MAX} at once, then one every ${REFILL_MS / 1000} s; again in ${seconds} s.`,
      );
    }
    this.#bySink.set(sink, { left: left - 1, atMs: nowMs });
    return actor;
  }
}
