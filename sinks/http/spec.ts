import { z } from 'zod';
import {
  headerSecret,
  httpClientFields,
  httpUrl,
  missingOfPair,
  secret,
} from '../../config/fields.ts';
import { headerNameProblem, headerValueProblem } from '../../hub/core/http-request.ts';
import type { SinkSpec } from '../../hub/core/sink.ts';

/** Headers the sink sets itself; two of one kind would contradict each other. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'host',
  'idempotency-key',
  'transfer-encoding',
  'webhook-id',
]);

/** More would be a mistake: far sides refuse requests with more than 8 to 16 KiB of headers. */
const HEADERS_MAX = 50;

const headers = z
  .record(z.string(), secret())
  .superRefine((record, context) => {
    if (Object.keys(record).length > HEADERS_MAX)
      context.addIssue({ code: 'custom', message: `more than ${HEADERS_MAX} headers` });
    for (const [name, value] of Object.entries(record)) {
      const own = OWN_HEADERS.has(name.toLowerCase()) ? 'is set by the sink itself' : undefined;
      const problem = headerNameProblem(name) ?? own ?? headerValueProblem(value.reveal());
      if (problem) context.addIssue({ code: 'custom', path: [name], message: `header ${problem}` });
    }
  })
  .default({});

const options = z
  .strictObject({
    url: httpUrl().describe('Where batches are sent, for example `https://example.org/ingest`.'),
    method: z.enum(['POST', 'PUT']).default('POST').describe('HTTP method of every request.'),
    format: z
      .enum(['cloudevents', 'ndjson'])
      .default('cloudevents')
      .describe(
        '`cloudevents`: one JSON array of CloudEvents (application/cloudevents-batch+json). ' +
          '`ndjson`: one CloudEvent a line (application/x-ndjson).',
      ),
    content: z
      .enum(['payload', 'readings'])
      .default('payload')
      .describe('What `data` holds: the payload as it was published, or the decoded readings.'),
    headers: headers.describe(
      'Further request headers. Values may be `${ENV}` or `{ file: PATH }`.',
    ),
    token: headerSecret().optional().describe('Sent as `Authorization: Bearer <token>`.'),
    ...httpClientFields(),
  })
  .superRefine((value, context) => {
    const missing = missingOfPair(value, 'cert_file', 'key_file');
    if (missing) {
      const message = 'cert_file and key_file belong together';
      context.addIssue({ code: 'custom', path: [missing], message });
    }
    const authorization = Object.keys(value.headers).find(
      (n) => n.toLowerCase() === 'authorization',
    );
    if (value.token && authorization) {
      const message = 'contradicts `token`, which sets the same header';
      context.addIssue({ code: 'custom', path: ['headers', authorization], message });
    }
  });

export type HttpSinkOptions = z.output<typeof options>;

export const httpSinkSpec = {
  type: 'http',
  summary: 'Sends batches of CloudEvents to a webhook or any other HTTP endpoint.',
  options,
  host: (value) => new URL(value.url).host,
  create: async (value, context) => new (await import('./sink.ts')).HttpSink(value, context),
} as const satisfies SinkSpec<typeof options>;
