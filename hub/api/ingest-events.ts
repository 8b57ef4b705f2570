/**
 * What a request to store events holds: CloudEvents 1.0 in the structured, the batched or the
 * binary mode of their HTTP binding, or any body with its topic in the query.
 *
 * Of a CloudEvent the topic (`subject`), the payload (`data`, `data_base64`) and the trace are
 * kept: the hub makes an event of its own of them, with an id of its own.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { type IncomingTrace, parseTraceparent, parseTracestate } from '../core/trace.ts';
import { elementRanges, memberRange } from './json-text.ts';
import { Problem, type ProblemMembers } from './problem.ts';
import { badParameter, Query } from './query.ts';
import type { IngestMessage, IngestView } from './view.ts';

/** As many as one group of the log takes at ease; more are another request. */
export const EVENTS_MAX = 1_000;
const NOTHING_STORED = 'Nothing of the request was stored.';
const JSON_TYPE = /^[^/]+\/(?:json|[^;/]+\+json)$/;

export interface IngestRequest {
  readonly headers: IncomingHttpHeaders;
  readonly query: unknown;
  /** Not compressed any more. */
  readonly body: Buffer;
}

type Limits = Pick<IngestView, 'messageBytesMax' | 'topicProblem'>;

/** The media type in lower case, without its parameters; '' when there is none. */
export function mediaType(header: string | undefined): string {
  return header?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

/**
 * The messages of a request.
 * @throws Problem 400, 413 or 415 that names the event and what was expected; one is enough to
 *   refuse all.
 */
export function ingestMessages(request: IngestRequest, limits: Limits): IngestMessage[] {
  const { headers, query, body } = request;
  const type = mediaType(headers['content-type']);
  const trace = traceOf(headers['traceparent'], headers['tracestate']);
  if (type === 'application/cloudevents-batch+json') {
    new Query(query, []);
    return batchOf(textOf(body), trace, limits);
  }
  if (type === 'application/cloudevents+json') {
    new Query(query, []);
    const text = textOf(body);
    return [structured(text, 0, parsed(text), undefined, trace, limits)];
  }
  if (type.startsWith('application/cloudevents')) {
    const expected = 'application/cloudevents+json or application/cloudevents-batch+json';
    throw new Problem(415, `CloudEvents are taken as JSON. Expected: ${expected}.`, { expected });
  }
  if (headers['ce-specversion'] !== undefined) {
    new Query(query, []);
    return [binary(headers, body, trace, limits)];
  }
  return [raw(query, body, trace, limits)];
}

function traceOf(parent: unknown, state: unknown): IncomingTrace | undefined {
  const context = typeof parent === 'string' ? parseTraceparent(parent) : undefined;
  if (context === undefined || typeof state !== 'string') return context;
  return { ...context, traceState: parseTracestate(state) };
}

function textOf(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    const expected = 'JSON in UTF-8';
    throw new Problem(400, `The body is not UTF-8. Expected: ${expected}.`, { expected });
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.slice(0, 120) : '';
    const expected = 'a CloudEvent in JSON, or an array of them';
    throw new Problem(400, `The body is not JSON: ${why}. ${NOTHING_STORED}`, { expected }, cause);
  }
}

function batchOf(text: string, trace: IncomingTrace | undefined, limits: Limits): IngestMessage[] {
  const events = parsed(text);
  if (!Array.isArray(events)) {
    const expected = 'a JSON array of CloudEvents';
    throw new Problem(400, `The body is not ${expected}. ${NOTHING_STORED}`, { expected });
  }
  if (events.length > EVENTS_MAX) {
    const expected = `at most ${EVENTS_MAX} events`;
    throw new Problem(
      413,
      `The batch has ${events.length} events. Expected: ${expected}; send the rest in another.`,
      { expected },
    );
  }
  const ranges = elementRanges(text);
  return events.map((event: unknown, index) =>
    structured(text, ranges[index]?.start ?? 0, event, index, trace, limits),
  );
}

/** Says which attribute of which event is wrong. `index` is undefined for a single one. */
function wrong(index: number | undefined, attribute: string, what: string, expected: string) {
  const which = index === undefined ? '' : `Event ${index}: `;
  const members: ProblemMembers = {
    ...(index !== undefined && { index }),
    attribute,
    expected,
  };
  const detail = `${which}\`${attribute}\` ${what}. Expected: ${expected}. ${NOTHING_STORED}`;
  return new Problem(400, detail, members);
}

const REQUIRED: readonly (readonly [name: string, expected: string])[] = [
  ['id', 'text that names the event'],
  ['source', 'text that says where the event comes from'],
  ['type', 'text that says what kind of event it is'],
  ['subject', 'the topic, for example site/greenhouse/dev1/temperature'],
];

function checkAttributes(
  attributes: ReadonlyMap<string, unknown>,
  index: number | undefined,
): { readonly topic: string } {
  const version = attributes.get('specversion');
  if (version !== '1.0') {
    const what = version === undefined ? 'is missing' : 'is not known here';
    throw wrong(index, 'specversion', what, '"1.0"');
  }
  for (const [name, expected] of REQUIRED) {
    const value = attributes.get(name);
    if (value === undefined) throw wrong(index, name, 'is missing', expected);
    if (typeof value !== 'string' || value === '')
      throw wrong(index, name, value === '' ? 'is empty' : 'is not text', expected);
  }
  return { topic: String(attributes.get('subject')) };
}

function structured(
  text: string,
  start: number,
  event: unknown,
  index: number | undefined,
  trace: IncomingTrace | undefined,
  limits: Limits,
): IngestMessage {
  if (typeof event !== 'object' || event === null || Array.isArray(event)) {
    const which = index === undefined ? 'The body' : `Event ${index}`;
    const expected = 'a JSON object with specversion, id, source, type and subject';
    const members = { ...(index !== undefined && { index }), expected };
    throw new Problem(400, `${which} is not ${expected}. ${NOTHING_STORED}`, members);
  }
  const attributes = new Map<string, unknown>(Object.entries(event));
  const { topic } = checkAttributes(attributes, index);
  const payload = payloadOf(text, start, attributes, index);
  const own = traceOf(attributes.get('traceparent'), attributes.get('tracestate'));
  return checked({ topic, payload, trace: own ?? trace }, index, 'subject', limits);
}

function payloadOf(
  text: string,
  start: number,
  attributes: ReadonlyMap<string, unknown>,
  index: number | undefined,
): Buffer {
  const base64 = attributes.get('data_base64');
  const data = attributes.get('data');
  if (base64 !== undefined) {
    if (data !== undefined) throw wrong(index, 'data_base64', 'contradicts `data`', 'one of them');
    const expected = 'base64 text (RFC 4648, section 4)';
    if (typeof base64 !== 'string' || !isBase64(base64))
      throw wrong(index, 'data_base64', 'is not base64', expected);
    return Buffer.from(base64, 'base64');
  }
  if (data === undefined) return Buffer.alloc(0);
  const contentType = attributes.get('datacontenttype');
  if (contentType !== undefined && typeof contentType !== 'string')
    throw wrong(index, 'datacontenttype', 'is not text', 'a media type such as application/json');
  // text of another type is the payload; everything else is JSON, kept as it was written
  if (typeof data === 'string' && contentType !== undefined) {
    if (!JSON_TYPE.test(mediaType(contentType))) return Buffer.from(data);
  }
  const range = memberRange(text, start, 'data');
  return Buffer.from(range ? text.slice(range.start, range.end) : '');
}

function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

/** Attributes are in headers of their own, percent-encoded; the body is the payload. */
function binary(
  headers: IncomingHttpHeaders,
  body: Buffer,
  trace: IncomingTrace | undefined,
  limits: Limits,
): IngestMessage {
  const attributes = new Map<string, unknown>();
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith('ce-')) continue;
    const attribute = name.slice('ce-'.length);
    try {
      attributes.set(attribute, decodeURIComponent(String(value)));
    } catch {
      throw wrong(undefined, attribute, 'is not percent-encoded UTF-8', 'text such as a%20b');
    }
  }
  const { topic } = checkAttributes(attributes, undefined);
  const own = traceOf(attributes.get('traceparent'), attributes.get('tracestate'));
  return checked({ topic, payload: body, trace: own ?? trace }, undefined, 'subject', limits);
}

function raw(
  query: unknown,
  payload: Buffer,
  trace: IncomingTrace | undefined,
  limits: Limits,
): IngestMessage {
  const topic = new Query(query, ['topic']).text('topic');
  const expected = 'the topic, for example ?topic=site/greenhouse/dev1/temperature';
  if (topic === undefined) throw badParameter('topic', 'is missing', expected);
  const problem = limits.topicProblem(topic);
  if (problem !== undefined) throw badParameter('topic', problem, 'a topic to publish to');
  return withinLimits({ topic, payload, trace }, undefined, limits);
}

function checked(
  message: IngestMessage,
  index: number | undefined,
  attribute: string,
  limits: Limits,
): IngestMessage {
  const problem = limits.topicProblem(message.topic);
  if (problem !== undefined) throw wrong(index, attribute, problem, 'a topic to publish to');
  return withinLimits(message, index, limits);
}

function withinLimits(
  message: IngestMessage,
  index: number | undefined,
  { messageBytesMax }: Limits,
): IngestMessage {
  const bytes = Buffer.byteLength(message.topic) + message.payload.length;
  if (bytes <= messageBytesMax) return message;
  const which = index === undefined ? 'The event' : `Event ${index}`;
  const expected = `at most ${messageBytesMax} bytes of topic and payload`;
  throw new Problem(413, `${which} has ${bytes}. Expected: ${expected}. ${NOTHING_STORED}`, {
    ...(index !== undefined && { index }),
    expected,
  });
}
