import type { FastifyInstance } from 'fastify';
import type {
  DeadLetterDetail,
  DeadLetterDiscard,
  DeadLetterPage,
  DeadLetterRetry,
} from '../core/status.ts';
import type { Instructions } from './instructions.ts';
import { Problem } from './problem.ts';
import { badParameter, Query } from './query.ts';
import type { DeadLetterAnswer, DeadLetterChoice, HubView } from './view.ts';

/** A page of 100 letters is some 100 KB of JSON at most, and what a person reads at once. */
const LIMIT = { min: 1, max: 500, fallback: 100 };
/** As many as a sink may have; a body of 64 KiB holds about that. */
const NUMBERS_MAX = 10_000;
const NUMBERS_EXPECTED = 'numbers of dead letters, as the list has them';
/** Of the numbers that are not known, as many as a person looks at. */
const UNKNOWN_SHOWN = 10;

/** What a path of the API names. */
interface Place {
  readonly sink: string;
  readonly number: string;
}

type OfSink = { Params: Pick<Place, 'sink'> };

/** Dead letters of one sink: look at them, send them again, give them up. */
export function addDeadLetterRoutes(
  server: FastifyInstance,
  { deadLetters: letters, operations }: Pick<HubView, 'deadLetters' | 'operations'>,
  instructions: Instructions,
): void {
  const path = '/api/v1/sinks/:sink/dead-letters';

  server.get<OfSink>(path, async ({ query, params }): Promise<DeadLetterPage> => {
    const asked = new Query(query, ['limit', 'after', 'order']);
    const order = asked.text('order') ?? 'newest';
    if (order !== 'newest' && order !== 'oldest')
      throw badParameter('order', 'is not known here', 'newest or oldest');
    const limit = asked.integer('limit', LIMIT);
    const after = asked.text('after') === undefined ? undefined : afterOf(asked);
    const page = await letters.list(params.sink, { order, after, limit });
    return page ?? noSink(params.sink);
  });

  server.get<{ Params: Place }>(
    `${path}/:number`,
    async ({ query, params }): Promise<DeadLetterDetail> => {
      new Query(query, []);
      const { sink, number } = params;
      if (!letters.has(sink)) return noSink(sink);
      const known = numberOf(number);
      const letter = known === undefined ? undefined : await letters.get(sink, known);
      return letter ?? noLetter(sink, number);
    },
  );

  server.post<OfSink>(path, async (request, reply): Promise<DeadLetterRetry> => {
    new Query(request.query, []);
    const { sink } = request.params;
    if (!letters.has(sink)) return noSink(sink);
    const choice = choiceInBody(request.body);
    const actor = instructions.take(request, reply, sink);
    const asked = doneOf(sink, letters.retry(sink, choice));
    const details = { letters: asked.retried };
    if (asked.retried > 0) await operations.note(sink, 'dead_letters_retried', details, actor);
    reply.code(202).header('location', `/api/v1/sinks/${encodeURIComponent(sink)}/dead-letters`);
    return asked;
  });

  server.delete<OfSink>(path, async (request, reply): Promise<DeadLetterDiscard> => {
    const { sink } = request.params;
    if (!letters.has(sink)) return noSink(sink);
    const choice = choiceInQuery(request.query);
    const actor = instructions.take(request, reply, sink);
    const done = doneOf(sink, await letters.discard(sink, choice));
    const details = { letters: done.discarded };
    if (done.discarded > 0) await operations.note(sink, 'dead_letters_discarded', details, actor);
    return done;
  });
}

function noSink(sink: string): never {
  throw new Problem(404, `There is no sink \`${sink.slice(0, 64)}\`; /api/v1/status lists them.`);
}

function noLetter(sink: string, numbers: string): never {
  throw new Problem(404, `Sink \`${sink}\` has no dead letter ${numbers.slice(0, 64)}.`);
}

function doneOf<Done extends object>(sink: string, answer: DeadLetterAnswer<Done> | undefined) {
  if (!answer) return noSink(sink);
  if (!('unknown' in answer)) return answer;
  const { unknown } = answer;
  const more = unknown.length > UNKNOWN_SHOWN ? ` and ${unknown.length - UNKNOWN_SHOWN} more` : '';
  const named = `${unknown.slice(0, UNKNOWN_SHOWN).join(', ')}${more}`;
  throw new Problem(404, `Sink \`${sink}\` has no dead letter ${named}. Nothing was done.`);
}

/** The number of a letter in text, or undefined when it is none. */
function numberOf(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function afterOf(query: Query): number {
  const number = numberOf(query.text('after') ?? '');
  if (number === undefined)
    throw badParameter('after', 'is no number', 'the `next` of the page before');
  return number;
}

/** `{"numbers":[1,2]}` or `{"all":true}`. */
function choiceInBody(body: unknown): DeadLetterChoice {
  const expected = 'a JSON object with numbers, or all: true';
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new Problem(400, `The body is not what is expected: ${expected}.`, { expected });
  const { numbers, all, ...others }: Readonly<Record<string, unknown>> = { ...body };
  const [other] = Object.keys(others);
  if (other !== undefined) throw badParameter(other, 'is not known here', expected);
  if (all !== undefined && all !== true)
    throw badParameter('all', 'is not true', 'true, or leave it out');
  if (numbers !== undefined && !Array.isArray(numbers))
    throw badParameter('numbers', 'is no list', NUMBERS_EXPECTED);
  return choiceOf(
    all === true,
    numbers?.map((value) => (Number.isSafeInteger(value) ? value : -1)),
  );
}

/** `?number=1&number=2` or `?all=true`. */
function choiceInQuery(query: unknown): DeadLetterChoice {
  const { number, ...others }: Readonly<Record<string, unknown>> = { ...Object(query) };
  const all = new Query(others, ['all']).text('all');
  if (all !== undefined && all !== 'true')
    throw badParameter('all', 'is not true', 'true, or leave it out');
  if (number === undefined) return choiceOf(all === 'true', undefined);
  const texts = Array.isArray(number) ? number : [number];
  return choiceOf(
    all === 'true',
    texts.map((text) => numberOf(String(text)) ?? -1),
  );
}

function choiceOf(all: boolean, numbers: readonly number[] | undefined): DeadLetterChoice {
  if (all && numbers) throw badParameter('all', 'is given with numbers', 'one of them');
  if (all) return 'all';
  if (!numbers || numbers.length === 0)
    throw badParameter('numbers', 'is missing', `${NUMBERS_EXPECTED}, or all`);
  if (numbers.length > NUMBERS_MAX)
    throw badParameter('numbers', 'is too long', `at most ${NUMBERS_MAX} of them`);
  if (numbers.some((number) => number < 0))
    throw badParameter('numbers', 'has what is no number', NUMBERS_EXPECTED);
  return { numbers: [...new Set(numbers)] };
}
