import { z } from 'zod';
import {
  duration,
  headerSecret,
  httpClientFields,
  httpUrl,
  missingOfPair,
  secret,
} from '../../config/fields.ts';
import { hostPortOf } from '../../hub/core/host-port.ts';
import type { SinkSpec } from '../../hub/core/sink.ts';

const url = httpUrl().superRefine((text, context) => {
  if (URL.canParse(text) && new URL(text).search !== '')
    context.addIssue({ code: 'custom', message: 'is the base address: leave out the query' });
});

const options = z
  .strictObject({
    url: url.describe(
      'Base address of InfluxDB or VictoriaMetrics, for example `http://127.0.0.1:8428`. ' +
        'The path of the write API is added.',
    ),
    api: z
      .enum(['v1', 'v2'])
      .default('v1')
      .describe('`v1`: `/write`. `v2`: `/api/v2/write`. VictoriaMetrics takes both.'),
    database: z
      .string()
      .min(1)
      .optional()
      .describe('Database, with `api: v1`. VictoriaMetrics needs none and adds it as label `db`.'),
    org: z.string().min(1).optional().describe('Organisation, with `api: v2`.'),
    bucket: z.string().min(1).optional().describe('Bucket, with `api: v2`.'),
    token: headerSecret().optional().describe('Sent as `Authorization: Token <token>`.'),
    username: z.string().min(1).optional().describe('Account, for InfluxDB 1 or a proxy.'),
    password: secret().optional().describe('Password of `username`.'),
    measurement: z
      .string()
      .min(1)
      .default('telemetry')
      .describe(
        'Measurement of every line, with the metric as its field: `telemetry` makes ' +
          '`telemetry_temperature` in VictoriaMetrics. With `{metric}` in it, for example ' +
          '`{metric}`, the metric is part of the measurement and the field is `value`.',
      ),
    strings: z
      .boolean()
      .default(false)
      .describe('Send readings that are text. VictoriaMetrics would store them as 0.'),
    confirm_window: duration()
      .prefault('0 s')
      .describe(
        'How long after acknowledging the far side may still forget data when it is killed. ' +
          '`60 s` for VictoriaMetrics, which answers before it has written to disk; ' +
          '`0 s` for InfluxDB.',
      ),
    ...httpClientFields(),
  })
  .superRefine((value, context) => {
    const refuse = (key: keyof typeof value, message: string) =>
      context.addIssue({ code: 'custom', path: [key], message });
    const file = missingOfPair(value, 'cert_file', 'key_file');
    if (file) refuse(file, 'cert_file and key_file belong together');
    const account = missingOfPair(value, 'username', 'password');
    if (account) refuse(account, 'username and password belong together');
    if (value.token && value.username) refuse('username', 'contradicts `token`: set one of them');
    if (value.api === 'v1' && value.org) refuse('org', 'belongs to `api: v2`');
    if (value.api === 'v1' && value.bucket) refuse('bucket', 'belongs to `api: v2`');
    if (value.api === 'v2' && value.database)
      refuse('database', 'belongs to `api: v1`; with `api: v2` it is `bucket`');
  });

export type InfluxSinkOptions = z.output<typeof options>;

export const influxSinkSpec = {
  type: 'influx',
  summary: 'Writes readings as line protocol to InfluxDB 1, InfluxDB 2 or VictoriaMetrics.',
  options,
  confirmWindowMs: (value) => value.confirm_window,
  requestsMax: (value) => value.connections_max,
  host: (value) => hostPortOf(value.url),
  create: async (value, context) => new (await import('./sink.ts')).InfluxSink(value, context),
} as const satisfies SinkSpec<typeof options>;
