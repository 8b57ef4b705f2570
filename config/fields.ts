import { z } from 'zod';
import { headerNameProblem, headerValueProblem, httpUrlProblem } from '../hub/core/http-request.ts';
import { isoToMs } from '../hub/core/iso-time.ts';
import type { EventLimit } from '../hub/core/sink.ts';
import { topicFilterProblem } from '../hub/core/topic.ts';

/** Field types of the configuration, shared by the schema, the sinks and the bridges. */

const BYTE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
  kB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  TB: 1000 ** 4,
};

const DURATION_UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * Bounds as they would be written in the file, so that messages and documentation show the same.
 */
export interface QuantityBounds {
  readonly min?: string;
  readonly max?: string;
}

interface Quantity {
  readonly title: string;
  readonly what: string;
  readonly example: string;
  readonly units: Readonly<Record<string, number>>;
}

const SIZE: Quantity = { title: 'size', what: 'a size', example: '10 MiB', units: BYTE_UNITS };
const DURATION: Quantity = {
  title: 'duration',
  what: 'a duration',
  example: '5 s',
  units: DURATION_UNITS_MS,
};

function patternOf({ units }: Quantity): RegExp {
  return new RegExp(`^(\\d+(?:\\.\\d+)?) ?(${Object.keys(units).join('|')})$`);
}

function quantity(kind: Quantity, bounds: QuantityBounds) {
  const pattern = patternOf(kind);
  const amountOf = (text: string): number => {
    const match = pattern.exec(text);
    return Math.round(Number(match?.[1]) * (kind.units[match?.[2] ?? ''] ?? Number.NaN));
  };
  const { min, max } = bounds;
  const smallest = min === undefined ? 0 : amountOf(min);
  const largest = max === undefined ? Number.MAX_SAFE_INTEGER : amountOf(max);
  const names = Object.keys(kind.units).join(', ');
  return z
    .string({ error: `expected ${kind.what} with its unit, for example \`${kind.example}\`` })
    .regex(pattern, `expected ${kind.what} such as \`${kind.example}\` (units: ${names})`)
    .refine((text) => !(amountOf(text) < smallest), `must be at least \`${min}\``)
    .refine(
      (text) => !(amountOf(text) > largest),
      `must be at most \`${max ?? 'the largest number'}\``,
    )
    .meta({
      title: kind.title,
      examples: [kind.example],
      ...(min === undefined ? {} : { 'x-min': min }),
      ...(max === undefined ? {} : { 'x-max': max }),
    })
    .transform(amountOf);
}

/** `10 MiB` → bytes. Set a default with `.prefault('1 MiB')`. */
export const bytes = (bounds: QuantityBounds = {}) => quantity(SIZE, bounds);

/** `5 s` → milliseconds. Set a default with `.prefault('5 s')`. */
export const duration = (bounds: QuantityBounds = {}) => quantity(DURATION, bounds);

const START_EXPECTED = 'expected `oldest`, `now`, or a time with its zone: `2026-03-01T12:00:00Z`';
const ENDS_WITH_ZONE = /[T ].*(Z|[+-]\d\d(:?\d\d)?)$/i;

/** Where a reader begins: `oldest`, `now`, or a time → ms since 1970. */
export const startPosition = () =>
  z
    .string({ error: START_EXPECTED })
    .refine((text) => startOf(text) !== undefined, START_EXPECTED)
    .meta({ title: '`oldest`, `now` or a time', examples: ['2026-03-01T12:00:00Z'] })
    .transform((text) => startOf(text) ?? 'oldest');

/** A time without a zone would be another one on every machine: it is none. */
function startOf(text: string): 'oldest' | 'now' | number | undefined {
  if (text === 'oldest' || text === 'now') return text;
  return ENDS_WITH_ZONE.test(text) ? isoToMs(text) : undefined;
}

/** A value that is never logged or serialised. `reveal()` where it is used, nowhere else. */
export class Secret {
  readonly #value: string;
  constructor(value: string) {
    this.#value = value;
  }
  reveal(): string {
    return this.#value;
  }
  toString(): string {
    return '[secret]';
  }
  toJSON(): string {
    return '[secret]';
  }
}

/**
 * A secret. The loader has already put the text of `${ENV}` or `{ file: PATH }` in its place.
 * `writeOnly` is how the loader and the generated documents recognise it. An empty secret is
 * refused: it would look protected and be open.
 */
export const secret = () =>
  z
    .string({ error: 'expected text, `${ENV_NAME}` or `{ file: PATH }`' })
    .min(1, 'is empty')
    .meta({ title: 'secret', writeOnly: true })
    .transform((text) => new Secret(text));

/** Ids become labels, folder names and parts of event ids: nothing that needs escaping anywhere. */
const ID_CHARACTERS = /^[A-Za-z0-9_-]*$/;
const ID_CHARACTERS_MAX = 64;

/** The name of a hub, a sink or a bridge. */
export const id = () =>
  z
    .string()
    .min(1)
    .max(ID_CHARACTERS_MAX)
    .regex(ID_CHARACTERS, 'may hold only letters, digits, `-` and `_`')
    .meta({ title: 'id' });

const METRIC_CHARACTERS_MAX = 64;

/** Name of a metric in a payload `{"time": ..., "<metric>": value}`. */
export const metric = () =>
  z
    .string()
    .min(1)
    .max(METRIC_CHARACTERS_MAX)
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'may hold only letters, digits and `_`')
    .refine(
      (name) => !['time', 'ts', 'timestamp', 't'].includes(name),
      'is where the time of a message is; name the metric otherwise',
    );

/** What an id would be called if `text` were wanted as one. */
export function asId(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9_-]/g, '-').slice(0, ID_CHARACTERS_MAX);
}

/** 253: the longest name that DNS knows. */
const HOST_CHARACTERS_MAX = 253;

/** A host name or an IP address to listen on or to connect to. */
export const host = () =>
  z
    .string()
    .min(1)
    .max(HOST_CHARACTERS_MAX)
    .regex(/^[A-Za-z0-9_.:%-]*$/, 'is not a host name or an IP address')
    .meta({ title: 'host' });

/** A TCP port to listen on; 0 lets the system choose a free one. */
export const port = () => z.int().min(0).max(65_535);

/** An MQTT topic filter: `+` is one level, a final `#` all further levels. */
export const topicFilter = () =>
  z
    .string()
    .superRefine((text, context) => {
      const problem = topicFilterProblem(text);
      if (problem !== undefined)
        context.addIssue({ code: 'custom', message: `is not a topic filter: ${problem}` });
    })
    .meta({ title: 'topic filter' });

/** An http or https address, as text. */
export const httpUrl = () =>
  z.string().superRefine((text, context) => {
    const problem = httpUrlProblem(text);
    if (problem) context.addIssue({ code: 'custom', message: problem });
  });

/** A secret that is sent in a header. */
export const headerSecret = () =>
  secret().superRefine((value, context) => {
    const problem = headerValueProblem(value.reveal());
    if (problem) context.addIssue({ code: 'custom', message: problem });
  });

/** More would be a mistake: far sides refuse requests with more than 8 to 16 KiB of headers. */
const HEADERS_MAX = 50;

/** Request headers that may be secrets. `own`: lower-case names that are not to be had, and why. */
export const headerSecrets = (own: ReadonlySet<string>, why: string) =>
  z
    .record(z.string(), secret())
    .superRefine((record, context) => {
      if (Object.keys(record).length > HEADERS_MAX)
        context.addIssue({ code: 'custom', message: `more than ${HEADERS_MAX} headers` });
      for (const [name, value] of Object.entries(record)) {
        const taken = own.has(name.toLowerCase()) ? why : undefined;
        const problem = headerNameProblem(name) ?? taken ?? headerValueProblem(value.reveal());
        if (problem)
          context.addIssue({ code: 'custom', path: [name], message: `header ${problem}` });
      }
    })
    .default({});

/** What every far side over HTTP can be asked: compression, patience, and TLS. */
export const httpClientFields = () => ({
  compression: z
    .enum(['gzip', 'none'])
    .default('gzip')
    .describe('Compression of the request body (Content-Encoding).'),
  timeout: duration()
    .prefault('30 s')
    .describe('How long the far side may take to answer, or to take more of the body.'),
  connections_max: z
    .int()
    .min(1)
    .max(32)
    .default(8)
    .describe(
      'Requests under way at once at most, where that makes a long way faster. All events of a ' +
        'device are in one of them. 1 keeps the order of all events.',
    ),
  ca_file: z
    .string()
    .min(1)
    .optional()
    .describe('PEM file of the authority that signed the far side, when it is a private one.'),
  cert_file: z
    .string()
    .min(1)
    .optional()
    .describe('PEM file of our client certificate, for a far side that asks for one.'),
  key_file: z.string().min(1).optional().describe('PEM file of the key of `cert_file`.'),
});

/** For a sink whose events can carry a reference in place of their data. */
export const eventLimitFields = () => ({
  event_bytes_max: bytes({ min: '1 KiB', max: '1 GiB' })
    .optional()
    .describe(
      'The most that one event may take in a request, before compression. The data of a larger ' +
        'one goes to object storage, and the event carries the reference (`dataref`). No limit ' +
        'by default.',
    ),
  claim_check: z
    .union([z.boolean(), id()])
    .optional()
    .meta({ examples: [true] })
    .describe(
      'Where the data of a larger event goes: the id of one of `object_storage`, or `true` for ' +
        'the first of them, which is the default when there is one. `false`, or no object ' +
        'storage: it goes to the dead letters of this sink.',
    ),
});

/** What `eventLimitFields` say. */
export function eventLimitOf(value: {
  readonly event_bytes_max?: number | undefined;
  readonly claim_check?: boolean | string | undefined;
}): EventLimit {
  return { bytesMax: value.event_bytes_max, claimCheck: value.claim_check };
}

/** The first of two keys that is missing while the other is there; undefined when all is well. */
export function missingOfPair<Key extends string>(
  value: Readonly<Partial<Record<Key, unknown>>>,
  ...[first, second]: readonly [Key, Key]
): Key | undefined {
  if ((value[first] === undefined) === (value[second] === undefined)) return undefined;
  return value[first] === undefined ? first : second;
}
