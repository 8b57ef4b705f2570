import type { Writable } from 'node:stream';
import pino, { type Logger } from 'pino';
import { HubError } from '../core/errors.ts';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LoggerOptions {
  /** HOLDFAST_LOG_LEVEL. Default `info`. */
  readonly level?: LogLevel;
  /**
   * HOLDFAST_LOG_FORMAT. `pretty`: one line for people; `json`: one JSON object a line. Default:
   * pretty
   * on a terminal, else json.
   */
  readonly format?: 'pretty' | 'json';
  /** Where lines go. Default: standard output. */
  readonly destination?: Writable;
}

/** A line longer than some screens is a payload or a page of HTML that an error brought along. */
const TEXT_CHARS_MAX = 2_000;

/**
 * Fields that hold a secret whatever their value. Values of the class Secret print as `[secret]` by
 * themselves; these are for the text of a client library's error or options.
 */
const SECRET_FIELDS = ['password', 'token', 'secret', 'authorization', 'passphrase'] as const;

function cut(text: string): string {
  const more = text.length - TEXT_CHARS_MAX;
  return more > 0 ? `${text.slice(0, TEXT_CHARS_MAX)}… (${more} more characters)` : text;
}

function cutFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const short: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields))
    short[name] = typeof value === 'string' ? cut(value) : value;
  return short;
}

/** A cause of a cause of a cause; libraries have been seen to make circles of them. */
const CAUSES_MAX = 4;

/** Errors as fields: of our own only what users need, of others also where they came from. */
function errorFields(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return {
    type: error.name,
    message: cut(error.message),
    ...(code !== undefined && { code }),
    ...(error.cause !== undefined &&
      depth < CAUSES_MAX && { cause: errorFields(error.cause, depth + 1) }),
    ...(!(error instanceof HubError) && { stack: cut(error.stack ?? '') }),
  };
}

/** Loaded only when a person looks: it is 2 MB of memory that a service does not need. */
async function prettyStream(destination: Writable | undefined) {
  const { default: pretty } = await import('pino-pretty');
  return pretty({
    colorize: destination === undefined && process.stdout.isTTY === true,
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname',
    sync: true,
    ...(destination !== undefined && { destination }),
  });
}

/**
 * The logger of the process; parts take `logger.child({ component: 'log' })`. Messages are
 * sentences,
 * data is in the fields, an error is the field `err`.
 */
export async function createLogger(options: LoggerOptions = {}): Promise<Logger> {
  const { level = 'info', destination } = options;
  const format = options.format ?? (process.stdout.isTTY === true ? 'pretty' : 'json');
  const stream =
    format === 'pretty' ? await prettyStream(destination) : (destination ?? pino.destination(1));
  return pino(
    {
      level,
      base: null, // the journal knows pid and host
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: cutFields },
      serializers: { err: (error: unknown) => errorFields(error) },
      redact: {
        paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]),
        censor: '[secret]',
      },
      hooks: {
        logMethod(args, method) {
          const [first, ...rest] = args;
          const short = [first, ...rest].map((arg) => (typeof arg === 'string' ? cut(arg) : arg));
          Reflect.apply(method, this, short);
        },
      },
    },
    stream,
  );
}
