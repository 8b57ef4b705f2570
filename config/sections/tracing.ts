import { z } from 'zod';
import { headerSecrets, httpClientFields, httpUrl, missingOfPair } from '../fields.ts';

/** Headers the exporter sets itself; two of one kind would contradict each other. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'host',
  'transfer-encoding',
]);

const { compression, timeout, ca_file, cert_file, key_file } = httpClientFields();

const otlp = z
  .strictObject({
    url: httpUrl()
      .meta({ examples: ['http://127.0.0.1:4318/v1/traces'] })
      .describe(
        'Where spans are sent by OTLP/HTTP in JSON: the whole address, usually ' +
          '`http://<collector>:4318/v1/traces`.',
      ),
    headers: headerSecrets(OWN_HEADERS, 'is set by the hub itself').describe(
      'Further request headers, such as a key. Values may be `${ENV}` or `{ file: PATH }`.',
    ),
    ...{ compression, timeout, ca_file, cert_file, key_file },
  })
  .superRefine((value, context) => {
    const missing = missingOfPair(value, 'cert_file', 'key_file');
    if (missing === undefined) return;
    const message = 'cert_file and key_file belong together';
    context.addIssue({ code: 'custom', path: [missing], message });
  });

export const tracing = z.strictObject({
  sample_ratio: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .meta({ examples: [0.001] })
    .describe(
      'Which share of the messages that bring no `traceparent` begins a trace. 0, none, by ' +
        'default: each traced event has 25 bytes more in the log. A message that brings one keeps ' +
        'it, and whether it is sampled.',
    ),
  otlp: otlp
    .optional()
    .describe(
      'Collector that the spans of sampled events are sent to. Without it the trace is only ' +
        'passed on to the sinks, as `traceparent`.',
    ),
});
