/**
 * One error class, one table. `recovery` says what the code that catches it does:
 * `exit` the process ends with `exitCode` · `wait` until there is room · `reconnect` and go on ·
 * `backoff` for `retryAfterMs` · `halt` this part only, shown in health · `drop` this item,
 * counted.
 */
export const ERRORS = {
  USAGE: { recovery: 'exit', exitCode: 64, help: 'See `holdfast --help`.' },
  SERVICE_UNAVAILABLE: {
    recovery: 'exit',
    exitCode: 69,
    help: 'Something needed is not there: a hub that runs, or a port that no other process holds.',
  },
  INTERNAL: { recovery: 'exit', exitCode: 70, help: 'A defect of the hub. Please report it.' },
  CONFIG_INVALID: {
    recovery: 'exit',
    exitCode: 78,
    help: 'Correct the lines that are named; `holdfast check` shows them all.',
  },
  CONFIG_UNREADABLE: {
    recovery: 'exit',
    exitCode: 78,
    help: 'The configuration file is missing or cannot be read.',
  },
  LOG_LOCKED: {
    recovery: 'exit',
    exitCode: 73,
    help: 'Another hub uses this data directory. Stop it, or set another hub.data_dir.',
  },
  LOG_NOT_OPEN: {
    recovery: 'exit',
    exitCode: 73,
    help: 'The data directory cannot be opened or written. Check its owner and free space.',
  },
  LOG_CORRUPT: {
    recovery: 'drop',
    help: 'A block of the log failed its checksum. It is counted as lost; the rest is served.',
  },
  LOG_FULL: {
    recovery: 'wait',
    help: 'The log is at log.capacity. Publishers wait until a sink has taken events.',
  },
  LOG_CLOSED: { recovery: 'wait', help: 'The hub is stopping; publish again after its restart.' },
  SINK_DISCONNECTED: { recovery: 'reconnect', help: 'The far side cannot be reached.' },
  SINK_TIMEOUT: { recovery: 'reconnect', help: 'The far side did not answer in time.' },
  SINK_THROTTLED: { recovery: 'backoff', help: 'The far side asked for fewer requests.' },
  SINK_REFUSED: {
    recovery: 'halt',
    help: 'The far side refuses us: check the address, the credentials and the target name.',
  },
  SINK_REJECTED: {
    recovery: 'drop',
    help: 'The far side will never take this event. It goes to the dead letters of the sink.',
  },
  BRIDGE_LOST: { recovery: 'reconnect', help: 'The hardware of a bridge is not reachable.' },
} as const satisfies Record<
  string,
  {
    recovery: 'exit' | 'wait' | 'reconnect' | 'backoff' | 'halt' | 'drop';
    exitCode?: number;
    help: string;
  }
>;

export type ErrorCode = keyof typeof ERRORS;

/** The only error class of the hub. `code` decides what happens; the message is for people. */
export class HubError extends Error {
  readonly code: ErrorCode;
  /** How long the far side asked us to wait, in ms. */
  readonly retryAfterMs: number | undefined;
  /** What the far side said in its own words, shortened. */
  readonly response: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; retryAfterMs?: number; response?: string } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'HubError';
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
    this.response = options.response;
  }
}

/** The text of whatever was thrown, with the system's code and the causes, on one bounded line. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let e = error, depth = 0; e !== undefined && depth < 4; depth++) {
    const text = e instanceof Error ? e.message : String(e);
    const code = e instanceof Error && 'code' in e && typeof e.code === 'string' ? e.code : '';
    const line =
      code && !(e instanceof HubError) && !text.includes(code) ? `${text} (${code})` : text;
    if (line && !parts.some((part) => part.includes(line))) parts.push(line);
    e = e instanceof Error ? e.cause : undefined;
  }
  return parts.join(': ').replaceAll(/\s+/g, ' ').slice(0, 500); // 500: one screen line or five
}
