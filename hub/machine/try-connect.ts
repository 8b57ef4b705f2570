import { connect } from 'node:net';
import { describeError } from '../core/errors.ts';
import type { HostPort } from '../core/host-port.ts';

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
