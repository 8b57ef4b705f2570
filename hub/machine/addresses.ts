import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { askProgram } from './ask-program.ts';

/**
 * The addresses that a name has on this machine; none when it cannot be resolved, undefined when
 * that takes longer than `timeoutMs`. A program is asked, because it can be ended: the library
 * would hold a thread, and with it the end of this process, until the name server is given up.
 */
export async function addressesOf(
  name: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  if (isIP(name) !== 0) return [name];
  const endMs = performance.now() + timeoutMs;
  const printed = await askProgram('getent', ['ahosts', name], signal, { timeoutMs });
  if (printed.outcome === 'printed') return addressesIn(printed.text);
  if (printed.outcome === 'missing') return await lookedUp(name, timeoutMs);
  return performance.now() < endMs ? [] : undefined;
}

/** `192.0.2.1     STREAM example.org`, each several times. */
function addressesIn(text: string): readonly string[] {
  const first = text.split('\n').map((line) => line.split(/\s+/)[0] ?? '');
  return [...new Set(first.filter((address) => isIP(address) !== 0))];
}

/** Not every system has a getent. */
async function lookedUp(name: string, timeoutMs: number): Promise<readonly string[] | undefined> {
  const found = lookup(name, { all: true }).then((all) => all.map(({ address }) => address));
  return await Promise.race([found.catch(() => []), delay(timeoutMs, undefined, { ref: false })]);
}
