import { z } from 'zod';
import { duration, httpClientFields, httpUrl, id, secret } from '../fields.ts';

/** One for each place that data may go to; more than a handful is a mistake. */
const STORES_MAX = 16;
/** S3 takes keys of 1024 bytes; the hub, the log, the lane and the offset need some of them. */
const PREFIX_CHARACTERS_MAX = 512;

const bareUrl = httpUrl().superRefine((text, context) => {
  if (!URL.canParse(text)) return;
  const { pathname, search, hash } = new URL(text);
  if (pathname === '/' && search === '' && hash === '') return;
  const message = 'is the address of the server only: the bucket and the prefix have keys';
  context.addIssue({ code: 'custom', message });
});

const referenceUrl = z
  .string()
  .regex(/^[a-z][a-z0-9+.-]*:\/\/[^\s?#]+$/i, 'expected an address such as `s3://telemetry`')
  .refine((text) => URL.canParse(text), 'expected an address such as `s3://telemetry`');

const { ca_file, cert_file, key_file } = httpClientFields();

const s3 = z
  .strictObject({
    id: id().describe('Name of this storage, unique; `claim_check` of a sink refers to it.'),
    type: z.literal('s3').describe('S3, or whatever speaks like it.'),
    url: bareUrl
      .meta({ examples: ['https://s3.eu-central-1.amazonaws.com'] })
      .describe(
        'Address of the server: `https://s3.eu-central-1.amazonaws.com`, or that of MinIO, Garage, ' +
          'Ceph or whatever else speaks S3.',
      ),
    bucket: z
      .string()
      .regex(
        /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
        'is no name of a bucket: 3 to 63 of a-z, 0-9, `.` and `-`',
      )
      .meta({ examples: ['telemetry'] })
      .describe('The bucket. It has to exist.'),
    region: z
      .string()
      .regex(/^[a-z0-9-]{1,64}$/, 'is no name of a region')
      .default('us-east-1')
      .describe('Region that requests are signed for. Servers of your own mostly take any.'),
    prefix: z
      .string()
      .max(PREFIX_CHARACTERS_MAX)
      .regex(
        /^([A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*\/)*$/,
        'may hold only letters, digits, `.`, `-` and `_` between slashes, and ends with one',
      )
      .default('holdfast/')
      .describe('What all keys begin with; `<hub>/<log>/<lane>/<offset>-<hash>` follows.'),
    path_style: z
      .boolean()
      .default(true)
      .describe(
        '`true`: the bucket is in the path, as servers of your own expect it. `false`: it is in ' +
          'the host name, as AWS prefers it.',
      ),
    reference_url: referenceUrl
      .optional()
      .meta({ examples: ['s3://telemetry'] })
      .describe(
        'What references begin with instead of the address of the bucket, when consumers reach ' +
          'the objects some other way.',
      ),
    access_key_id: secret().describe('Access key. It needs the right to put objects, no other.'),
    secret_access_key: secret().describe('Secret of the access key.'),
    session_token: secret().optional().describe('Of temporary credentials.'),
    timeout: duration({ min: '100 ms', max: '1 h' })
      .prefault('30 s')
      .describe('How long the server may take to answer, or to take more of an object.'),
    ca_file,
    cert_file,
    key_file,
  })
  .superRefine((value, context) => {
    if ((value.cert_file === undefined) === (value.key_file === undefined)) return;
    const missing = value.cert_file === undefined ? 'cert_file' : 'key_file';
    const message = 'cert_file and key_file belong together';
    context.addIssue({ code: 'custom', path: [missing], message });
  });

export const objectStorage = z
  .array(z.discriminatedUnion('type', [s3.meta({ title: 's3' })]))
  .max(STORES_MAX)
  .default([])
  .describe(
    'Object storage for the data of events that are too large for a sink (see `event_bytes_max`): ' +
      'anything that speaks S3. Nothing is ever deleted there; see docs/claim-check.md.',
  );
