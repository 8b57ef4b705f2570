/**
 * The state of the link to a far side, as one pure machine: `next(link, input)`. Time and chance
 * come in from outside; the forwarder does what the state says, and health, metrics and console
 * show it.
 */
import { describeError, type ErrorCode, HubError } from '../core/errors.ts';

/** `failures` counts in a row; only what the far side takes sets it back to 0. */
export type Link =
  | { readonly state: 'connecting' | 'reading' | 'sending'; readonly failures: number }
  | {
      readonly state: 'backoff';
      readonly failures: number;
      readonly untilMs: number;
      readonly detail: string;
      /** Whether `connect` comes first when the wait is over. */
      readonly reconnect: boolean;
    }
  | {
      readonly state: 'halted';
      readonly failures: number;
      readonly untilMs: number;
      readonly detail: string;
    }
  /** By a person: nothing but another instruction ends it. */
  | { readonly state: 'paused' | 'stopped'; readonly failures: number };

export type LinkInput =
  | { readonly input: 'connected' }
  | { readonly input: 'batch' }
  /** The far side took something. */
  | { readonly input: 'taken' }
  /** Nothing is on its way any more. */
  | { readonly input: 'settled' }
  | { readonly input: 'failed'; readonly error: unknown }
  /** `isBack`: the far side cannot have been reached before, and can now. */
  | { readonly input: 'waited'; readonly isBack?: boolean }
  | { readonly input: 'pause' }
  | { readonly input: 'resume' }
  /** Something that it stumbled over is out of the way: no more waiting. */
  | { readonly input: 'again' }
  | { readonly input: 'stop' };

export interface RetryDelays {
  readonly delayMinMs: number;
  readonly delayMaxMs: number;
}

export interface Surroundings {
  /** Monotonic. */
  readonly nowMs: number;
  /** In [0, 1). */
  readonly random: number;
  readonly retry: RetryDelays;
}

export const START: Link = { state: 'connecting', failures: 0 };

export function nextLink(link: Link, input: LinkInput, around: Surroundings): Link {
  if (link.state === 'stopped') return link;
  const { failures } = link;
  if (link.state === 'paused') return whilePaused(link, input);
  switch (input.input) {
    case 'connected':
      return { state: 'reading', failures };
    case 'batch':
      return { state: 'sending', failures };
    case 'taken':
      return { ...link, failures: 0 };
    case 'settled':
      return { state: 'reading', failures };
    case 'failed':
      return failed(failures + 1, input.error, around);
    case 'waited': {
      const goOn = link.state === 'backoff' && !link.reconnect;
      // one that is starting takes connections before it takes events: asked again soon
      const known = input.isBack ? Math.min(failures, 1) : failures;
      return { state: goOn ? 'reading' : 'connecting', failures: known };
    }
    case 'pause':
      return { state: 'paused', failures };
    case 'resume':
      return link;
    case 'again':
      return link.state === 'reading' ? link : { state: 'connecting', failures };
    case 'stop':
      return { state: 'stopped', failures };
  }
}

/** What was under way may end as it likes. */
function whilePaused(link: Link, { input }: LinkInput): Link {
  if (input === 'resume') return { state: 'connecting', failures: link.failures };
  return input === 'stop' ? { state: 'stopped', failures: link.failures } : link;
}

function failed(failures: number, error: unknown, around: Surroundings): Link {
  const detail = describeError(error);
  const code: ErrorCode = error instanceof HubError ? error.code : 'SINK_DISCONNECTED';
  if (code === 'SINK_REFUSED') {
    // credentials and names are mended by people: tried slowly, so that mending is enough
    return { state: 'halted', failures, untilMs: around.nowMs + around.retry.delayMaxMs, detail };
  }
  const delayMs = askedMs(error, around) ?? fullJitterMs(failures, around);
  const reconnect = code !== 'SINK_THROTTLED';
  return { state: 'backoff', failures, untilMs: around.nowMs + delayMs, detail, reconnect };
}

/** What the far side asked for. Never 0: "at once" from a far side in trouble would be a storm. */
function askedMs(error: unknown, { retry }: Surroundings): number | undefined {
  const asked = error instanceof HubError ? error.retryAfterMs : undefined;
  if (asked === undefined || !Number.isFinite(asked)) return undefined;
  return Math.max(asked, retry.delayMinMs / 2);
}

/**
 * Doubling, with full jitter: a thousand hubs that lost the same far side do not return at once.
 */
function fullJitterMs(failures: number, { random, retry }: Surroundings): number {
  const ceiling = Math.min(retry.delayMaxMs, retry.delayMinMs * 2 ** Math.min(failures - 1, 30));
  return Math.max(retry.delayMinMs / 2, ceiling * random);
}
