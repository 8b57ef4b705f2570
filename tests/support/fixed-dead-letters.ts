import type { DeadLetterChoice, DeadLetterQuery, DeadLetterView } from '../../hub/api/view.ts';
import type {
  DeadLetterDetail,
  DeadLetterRetryCounts,
  DeadLetterSummary,
} from '../../hub/core/status.ts';

export function deadLetterOf(
  number: number,
  more: Partial<DeadLetterSummary> = {},
): DeadLetterSummary {
  const offset = 100 + number;
  return {
    number,
    eventId: `gw.abc.normal.${offset}`,
    kind: 'message',
    source: 'mqtt',
    lane: 'normal',
    offset,
    topic: 'site/a/dev1/temp',
    receivedMs: 1_000,
    timeQuality: 'synced',
    reason: '127.0.0.1 answered 400',
    response: 'bad value',
    attempts: 1,
    rejectedMs: 2_000,
    retriedMs: null,
    retrying: false,
    payloadBytes: 7,
    excerpt: '{"n":3}',
    ...more,
  };
}

/** The dead letters of the only sink, `cloud`: what a test says, and what was asked of them. */
export class FixedDeadLetters implements DeadLetterView {
  letters: DeadLetterSummary[] = [];
  payload: DeadLetterDetail['payload'] = { json: { n: 3 } };
  retries: DeadLetterRetryCounts = { waiting: 0, taken: 0, refused: 0, sinceMs: 5 };
  underWay = 0;
  asked: DeadLetterQuery | undefined;
  retried: DeadLetterChoice | undefined;
  readonly discards: DeadLetterChoice[] = [];

  has: DeadLetterView['has'] = (sink) => sink === 'cloud';

  list: DeadLetterView['list'] = async (sink, query) => {
    this.asked = query;
    if (!this.has(sink)) return undefined;
    const letters = this.letters.slice(0, query.limit);
    const more = this.letters.length > letters.length;
    const next = more ? (letters.at(-1)?.number ?? null) : null;
    return { sink, total: this.letters.length, retries: this.retries, letters, next };
  };

  get: DeadLetterView['get'] = async (_sink, number) => {
    const letter = this.letters.find((candidate) => candidate.number === number);
    return letter && { ...letter, payload: this.payload };
  };

  retry: DeadLetterView['retry'] = (sink, choice) => {
    const unknown = this.#unknown(choice);
    if (unknown.length > 0) return { unknown };
    this.retried = choice;
    return { sink, retried: this.#count(choice), retries: this.retries };
  };

  discard: DeadLetterView['discard'] = async (sink, choice) => {
    const unknown = this.#unknown(choice);
    if (unknown.length > 0) return { unknown };
    this.discards.push(choice);
    const discarded = this.#count(choice) - this.underWay;
    const kept = (number: number) => choice !== 'all' && !choice.numbers.includes(number);
    this.letters = this.letters.filter(({ number }) => kept(number));
    return { sink, discarded, underWay: this.underWay, left: this.letters.length };
  };

  #count(choice: DeadLetterChoice): number {
    return choice === 'all' ? this.letters.length : choice.numbers.length;
  }

  #unknown(choice: DeadLetterChoice): readonly number[] {
    if (choice === 'all') return [];
    const known = new Set(this.letters.map(({ number }) => number));
    return choice.numbers.filter((number) => !known.has(number));
  }
}
