import { z } from 'zod';
import {
  eventLimitFields,
  eventLimitOf,
  headerSecret,
  headerSecrets,
  httpClientFields,
  httpUrl,
  missingOfPair,
} from '../../config/fields.ts';
import { hostPortOf } from '../../hub/core/host-port.ts';
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

const headers = headerSecrets(OWN_HEADERS, 'is set by the sink itself');

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
    ...eventLimitFields(),
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
  requestsMax: (value) => value.connections_max,
  host: (value) => hostPortOf(value.url),
  eventLimit: eventLimitOf,
  create: async (value, context) => new (await import('./sink.ts')).HttpSink(value, context),
} as const satisfies SinkSpec<typeof options>;
