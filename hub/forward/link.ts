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
  | { readonly state: 'stopped'; readonly failures: number };

export type LinkInput =
  | { readonly input: 'connected' }
  | { readonly input: 'batch' }
  /**
   * `taken`: the far side took something. Nothing was asked of it for a run that is all filtered.
   */
  | { readonly input: 'settled'; readonly taken: boolean }
  | { readonly input: 'failed'; readonly error: unknown }
  | { readonly input: 'waited' }
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
  switch (input.input) {
    case 'connected':
      return { state: 'reading', failures };
    case 'batch':
      return { state: 'sending', failures };
    case 'settled':
      return { state: 'reading', failures: input.taken ? 0 : failures };
    case 'failed':
      return failed(failures + 1, input.error, around);
    case 'waited': {
      const goOn = link.state === 'backoff' && !link.reconnect;
      return { state: goOn ? 'reading' : 'connecting', failures };
    }
    case 'stop':
      return { state: 'stopped', failures };
  }
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
