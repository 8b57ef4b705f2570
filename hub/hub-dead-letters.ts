import { isUtf8 } from 'node:buffer';
import type { DeadLetterChoice, DeadLetterQuery, DeadLetterView } from './api/view.ts';
import { eventId } from './core/cloud-event.ts';
import { payloadText } from './core/payload-text.ts';
import { printable } from './core/printable.ts';
import type { DeadLetterPage, DeadLetterSummary } from './core/status.ts';
import type { DeadLetter } from './forward/dead-letter-record.ts';
import type { Forwarder } from './forward/forwarder.ts';

/** Of a payload in a list: two lines on a phone. */
const EXCERPT_CHARS = 160;
/** Of a payload that is no text, in hexadecimal. */
const EXCERPT_BYTES = 40;

export interface DeadLetterSources {
  readonly forwarders: readonly Forwarder[];
  readonly hubId: string;
  readonly logId: string;
}

/** The dead letters of all sinks, found by the sink's id. */
export function deadLetterView({ forwarders, hubId, logId }: DeadLetterSources): DeadLetterView {
  const of = (sink: string) => forwarders.find(({ id }) => id === sink);

  function summaryOf({ retries }: Forwarder, letter: DeadLetter): DeadLetterSummary {
    const { number, reason, response, attempts, rejectedMs, retriedMs, event } = letter;
    const { kind, source, lane, offset, topic, receivedMs, timeQuality, payload } = event;
    return {
      number,
      eventId: eventId(hubId, logId, lane, offset),
      ...{ kind, source, lane, offset, topic, receivedMs, timeQuality },
      reason,
      response: response ?? null,
      attempts,
      rejectedMs,
      retriedMs,
      retrying: retries.isRetrying(number),
      payloadBytes: payload.length,
      excerpt: excerptOf(payload),
    };
  }

  async function list(sink: string, query: DeadLetterQuery): Promise<DeadLetterPage | undefined> {
    const forwarder = of(sink);
    if (!forwarder) return undefined;
    const { deadLetters, retries } = forwarder;
    // one more than asked for says whether there is a next page
    const page = { ...query, limit: query.limit + 1 };
    const found = await deadLetters.page(page, (letter) => summaryOf(forwarder, letter));
    const letters = found.slice(0, query.limit);
    const next = found.length > query.limit ? (letters.at(-1)?.number ?? null) : null;
    return { sink, total: deadLetters.count, retries: retries.counts(), letters, next };
  }

  return {
    has: (sink) => of(sink) !== undefined,
    list,
    async get(sink, number) {
      const forwarder = of(sink);
      const letter = await forwarder?.deadLetters.read(number);
      if (!forwarder || !letter) return undefined;
      return { ...summaryOf(forwarder, letter), payload: payloadText(letter.event.payload) };
    },
    retry(sink, choice) {
      const retries = of(sink)?.retries;
      return retries && unknownOr(retries.unknown(choice), () => retry(sink, choice, retries));
    },
    async discard(sink, choice) {
      const forwarder = of(sink);
      if (!forwarder) return undefined;
      const { deadLetters, retries } = forwarder;
      const unknown = retries.unknown(choice);
      if (unknown.length > 0) return { unknown };
      return { sink, ...(await retries.discard(choice)), left: deadLetters.count };
    },
  };
}

function retry(sink: string, choice: DeadLetterChoice, retries: Forwarder['retries']) {
  const before = retries.counts();
  return { sink, retried: retries.request(choice), retries: before };
}

function unknownOr<Done>(unknown: readonly number[], done: () => Done) {
  return unknown.length > 0 ? { unknown } : done();
}

function excerptOf(payload: Buffer): string {
  if (isUtf8(payload)) return printable(payload.toString('utf8'), EXCERPT_CHARS);
  const hex = payload.subarray(0, EXCERPT_BYTES).toString('hex');
  return `0x${hex}${payload.length > EXCERPT_BYTES ? '…' : ''}`;
}
