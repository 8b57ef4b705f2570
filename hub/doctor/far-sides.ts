import type { Finding } from '../core/finding.ts';
import { parseHostPort } from '../core/host-port.ts';
import { addressesOf } from '../machine/addresses.ts';
import { tryConnectAny } from '../machine/try-connect.ts';
import type { Examination } from './examination.ts';

/** Less than an examination may take: the answer says more than that it took too long. */
const TIMEOUT_MS = 2_500;

/** A sink, and `host:port` that it connects to. */
export interface FarSide {
  readonly id: string;
  readonly type: string;
  readonly host: string;
}

/** Whether far sides can be reached: connects and closes, sends nothing. */
export function farSides(sides: readonly FarSide[]): readonly Examination[] {
  return sides.map((side) => ({
    subject: `sink ${side.id}`,
    examine: (signal) => examine(side, signal),
  }));
}

async function examine(
  { id, type, host: text }: FarSide,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const subject = `sink ${id}`;
  const to = parseHostPort(text);
  if (!to) return [{ severity: 'unknown', subject, detail: `${text} is no host and port` }];
  const unreachable = (detail: string, remedy: string): readonly Finding[] => {
    return [{ severity: 'warning', subject, detail, remedy }];
  };
  const endMs = performance.now() + TIMEOUT_MS;
  const found = await addressesOf(to.host, TIMEOUT_MS, signal);
  if (found === undefined)
    return unreachable(`the name ${to.host} takes too long to resolve`, NAME);
  if (found.length === 0) return unreachable(`the name ${to.host} cannot be resolved`, NAME);
  const leftMs = Math.max(1, Math.round((endMs - performance.now()) / 100) * 100);
  const why = await tryConnectAny(found, to.port, leftMs, signal);
  if (why === undefined)
    return [{ severity: 'ok', subject, detail: `${type} ${text} takes connections` }];
  const remedy = 'check the network, a firewall, and the address; events are kept meanwhile';
  return unreachable(`${text} cannot be connected: ${why}`, remedy);
}

const NAME = 'check the network (`ping -c1 1.1.1.1`), DNS (`resolvectl status`) and the name';
