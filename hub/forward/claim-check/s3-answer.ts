import { HubError } from '../../core/errors.ts';
import { type HttpAnswer, refusal } from '../../core/http-request.ts';

/** Errors of S3 that pass, although their status says that the request is wrong. */
const PASSING: ReadonlySet<string> = new Set([
  'BadDigest', // changed on the way
  'IncompleteBody',
  'OperationAborted',
  'RequestTimeout',
  'RequestTimeTooSkewed',
  'XAmzContentSHA256Mismatch',
]);
const TOO_LARGE: ReadonlySet<string> = new Set(['EntityTooLarge', 'MaxMessageLengthExceeded']);

/**
 * What an answer to a PUT means: undefined when the object is stored, SINK_REJECTED when this
 * object is too large, else as for a sink. Anything else that is wrong with a request is wrong with
 * every request: SINK_REFUSED. `nowMs` is the wall clock that the request was signed with.
 */
export function storeRefusal(answer: HttpAnswer, url: URL, nowMs: number): HubError | undefined {
  const code = /<Code>(\w{1,64})<\/Code>/.exec(answer.text)?.[1] ?? '';
  const error = refusal({ ...answer, text: wordsOf(answer.text, code) }, url);
  if (error === undefined) return undefined;
  if (code === 'RequestTimeTooSkewed')
    return new HubError('SINK_DISCONNECTED', skewText(answer, url, nowMs));
  if (answer.status === 413 || TOO_LARGE.has(code))
    return new HubError('SINK_REJECTED', error.message);
  if (PASSING.has(code) || answer.status === 409)
    return new HubError('SINK_DISCONNECTED', error.message);
  const region = answer.headers['x-amz-bucket-region'];
  if (typeof region === 'string' && (answer.status === 301 || answer.status === 400))
    return new HubError('SINK_REFUSED', `${url.host}: the bucket is in region ${region}`);
  return error.code === 'SINK_REJECTED' ? new HubError('SINK_REFUSED', error.message) : error;
}

/** The code and the message of S3's XML; anything else as it is. */
function wordsOf(text: string, code: string): string {
  if (code === '') return text;
  const message = /<Message>([^<]*)<\/Message>/.exec(text)?.[1] ?? '';
  return message === '' ? code : `${code}: ${message}`;
}

function skewText({ headers }: HttpAnswer, { host }: URL, nowMs: number): string {
  const differenceMs = Math.abs(Date.parse(headers.date ?? '') - nowMs);
  const minutes = Math.round(differenceMs / 60_000);
  const off = Number.isNaN(minutes) ? 'not its own' : `${minutes} min from its own`;
  return `${host} refuses the clock of this hub, which is ${off} (RequestTimeTooSkewed): uploads wait until the clock is set`;
}
