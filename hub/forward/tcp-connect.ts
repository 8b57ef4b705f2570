import { type LookupAddress, lookup } from 'node:dns';
import { connect as connectTo, isIP, type LookupFunction } from 'node:net';
import type { HostPort } from '../core/host-port.ts';
import type { Connect } from './probe.ts';

/** A far side that moves to another address in an outage is found again after this time. */
const ADDRESSES_FRESH_MS = 10_000;

/** What is known of one name. */
interface Known {
  addresses: readonly LookupAddress[];
  askedMs: number;
  asking: Promise<void> | undefined;
}

/**
 * Connects and closes. Names are looked up beside the probes, one at a time for the whole process:
 * without a network the system's resolver blocks for 20 s and more, in one of the four threads that
 * the log writes with. Until it answers, the last known addresses are used.
 */
export function tcpConnect(): Connect {
  const names = new Map<string, Known>(); // as many as there are sinks
  let turn: Promise<void> = Promise.resolve();

  function ask(name: string, known: Known): Promise<void> {
    if (known.asking !== undefined) return known.asking;
    known.asking = turn.then(async () => {
      const addresses = await addressesNow(name);
      known.asking = undefined;
      if (addresses.length === 0) return;
      known.addresses = addresses;
      known.askedMs = performance.now();
    });
    turn = known.asking;
    return turn;
  }

  async function addressesOf(name: string): Promise<readonly LookupAddress[]> {
    const family = isIP(name);
    if (family !== 0) return [{ address: name, family }];
    const known = names.get(name) ?? { addresses: [], askedMs: 0, asking: undefined };
    names.set(name, known);
    const isOld = performance.now() - known.askedMs > ADDRESSES_FRESH_MS;
    if (known.addresses.length === 0) await ask(name, known);
    else if (isOld) void ask(name, known);
    return known.addresses;
  }

  return async (to, signal) => {
    const addresses = await Promise.race([addressesOf(to.host), aborted(signal)]);
    signal.throwIfAborted();
    if (addresses.length === 0) throw new Error(`${to.host} has no address`);
    await touch(to, addresses, signal);
  };
}

/** None when it cannot be resolved now. */
function addressesNow(name: string): Promise<readonly LookupAddress[]> {
  return new Promise((resolve) => {
    lookup(name, { all: true }, (error, addresses) => resolve(error ? [] : addresses));
  });
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

function touch(to: HostPort, addresses: readonly LookupAddress[], signal: AbortSignal) {
  const known: LookupFunction = (_name, options, answer) => {
    const [first] = addresses;
    if (options.all) answer(null, [...addresses]);
    else answer(null, first?.address ?? '', first?.family ?? 4);
  };
  return new Promise<void>((resolve, reject) => {
    const socket = connectTo({ ...to, lookup: known, noDelay: true });
    const onAbort = () => socket.destroy(signal.reason);
    const settle = (then: () => void) => {
      signal.removeEventListener('abort', onAbort);
      then();
    };
    socket.unref();
    socket.once('connect', () => {
      socket.destroy();
      settle(resolve);
    });
    socket.on('error', (error) => settle(() => reject(error)));
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
