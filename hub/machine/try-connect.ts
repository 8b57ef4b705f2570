import { connect } from 'node:net';
import { describeError } from '../core/errors.ts';
import type { HostPort } from '../core/host-port.ts';

/** Of one host; a name of a service can have hundreds. */
const ADDRESSES_MAX = 4;

/**
 * Connects and closes, sending nothing. Resolves with why it could not, or undefined. Never
 * rejects; settles in `timeoutMs`, or with the signal.
 */
export function tryConnect(
  to: HostPort,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(to);
    const settle = (why?: string) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(why);
    };
    const onAbort = () => settle('nobody waits for it any more');
    const timer = setTimeout(() => settle(`no answer in ${timeoutMs / 1000} s`), timeoutMs);
    socket.once('connect', () => settle());
    socket.on('error', (error) => settle(describeError(error)));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}

/** The same for a host with several addresses, as of IPv6 and IPv4: one that answers is enough. */
export async function tryConnectAny(
  addresses: readonly string[],
  port: number,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const few = addresses.slice(0, ADDRESSES_MAX);
  const answers = few.map((host) => tryConnect({ host, port }, timeoutMs, signal));
  const outcomes = await Promise.all(answers);
  return outcomes.includes(undefined) ? undefined : outcomes[0];
}
