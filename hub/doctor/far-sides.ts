import { lookup } from 'node:dns/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { describeError } from '../core/errors.ts';
import type { Finding } from '../core/finding.ts';
import { parseHostPort } from '../core/host-port.ts';
import { tryConnect } from '../machine/try-connect.ts';
import type { Examination } from './examination.ts';

/** Less than an examination may take: the answer says more than that it took too long. */
const TIMEOUT_MS = 2_500;
/** Of IPv6 and of IPv4: one of them may lead nowhere. */
const ADDRESSES_MAX = 4;

/** A sink, and `host:port` that it connects to. */
export interface FarSide {
  readonly id: string;
  readonly type: string;
  readonly host: string;
}

/**
 * Whether far sides can be reached: connects and closes, sends nothing. Names are looked up one
 * after the other: without a network each blocks one of the few threads that files are read with.
 */
export function farSides(sides: readonly FarSide[]): readonly Examination[] {
  let turn: Promise<unknown> = Promise.resolve();
  function addressesOf(name: string): Promise<readonly string[]> {
    const answer = turn.then(async () => {
      const found = await lookup(name, { all: true });
      return found.slice(0, ADDRESSES_MAX).map(({ address }) => address);
    });
    turn = answer.catch(() => undefined);
    return answer;
  }
  return sides.map((side) => ({
    subject: `sink ${side.id}`,
    examine: (signal) => examine(side, addressesOf, signal),
  }));
}

async function examine(
  { id, type, host: text }: FarSide,
  addressesOf: (name: string) => Promise<readonly string[]>,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const subject = `sink ${id}`;
  const to = parseHostPort(text);
  if (!to) return [{ severity: 'unknown', subject, detail: `${text} is no host and port` }];
  const unreachable = (detail: string, remedy: string): readonly Finding[] => {
    return [{ severity: 'warning', subject, detail, remedy }];
  };
  const endMs = performance.now() + TIMEOUT_MS;
  const found = await Promise.race([
    addressesOf(to.host).catch((error: unknown) => ({ error })),
    delay(TIMEOUT_MS, undefined, { ref: false }),
  ]);
  if (found === undefined)
    return unreachable(`the name ${to.host} takes too long to resolve`, NAME);
  if ('error' in found) {
    const why = describeError(found.error);
    return unreachable(`the name ${to.host} cannot be resolved: ${why}`, NAME);
  }
  const leftMs = Math.max(1, Math.round((endMs - performance.now()) / 100) * 100);
  const tries = found.map((host) => tryConnect({ host, port: to.port }, leftMs, signal));
  const outcomes = await Promise.all(tries);
  if (outcomes.includes(undefined))
    return [{ severity: 'ok', subject, detail: `${type} ${text} takes connections` }];
  const remedy = 'check the network, a firewall, and the address; events are kept meanwhile';
  return unreachable(`${text} cannot be connected: ${outcomes[0]}`, remedy);
}

const NAME = 'check the network (`ping -c1 1.1.1.1`), DNS (`resolvectl status`) and the name';
