import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { describeError, HubError } from '../../hub/core/errors.ts';
import { findPort } from '../port/find-port.ts';
import { endAtHangUp } from '../port/hang-up.ts';
import { lost, openError, RETRY_DELAY_MS } from '../port/open-problem.ts';
import type { TransportFields } from './fields.ts';

/** Bytes in both directions, open. */
export interface Line {
  readonly name: string;
  readonly stream: Duplex;
  /** When to open it again after it was lost, in ms; undefined: with a back-off. */
  readonly retryAfterMs?: number;
}

/** A host that does not answer at all is one that is off; the back-off tries again. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Tells of a peer that vanished without a word while nothing is asked. */
const KEEP_ALIVE_MS = 30_000;

export function lineName(transport: TransportFields): string {
  if (transport.type === 'rtu') return transport.port;
  const { host, port } = transport;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Opens the line. Throws HubError BRIDGE_LOST that says what to do. */
export async function openLine(transport: TransportFields, signal: AbortSignal): Promise<Line> {
  const name = lineName(transport);
  if (transport.type === 'rtu')
    return { name, stream: await openSerial(transport), retryAfterMs: RETRY_DELAY_MS };
  return { name, stream: await openSocket(name, transport.host, transport.port, signal) };
}

async function openSocket(name: string, host: string, port: number, signal: AbortSignal) {
  const socket: Socket = createConnection({ host, port, noDelay: true });
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  // AbortSignal.timeout within AbortSignal.any is collected as garbage: it never fires (Node.js 20)
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), CONNECT_TIMEOUT_MS);
  const limit = AbortSignal.any([signal, late.signal]);
  try {
    await once(socket, 'connect', { signal: limit });
  } catch (cause) {
    socket.destroy();
    socket.on('error', () => {}); // told below
    const timedOut = limit.aborted && !signal.aborted;
    const why = timedOut ? `no connection in ${CONNECT_TIMEOUT_MS / 1000} s` : describeError(cause);
    const advice = 'check that the device is on, the address, and that Modbus TCP is enabled on it';
    throw new HubError('BRIDGE_LOST', `${name}: ${why}; ${advice}`, { cause });
  } finally {
    clearTimeout(timer);
  }
  return socket;
}

type SerialFields = TransportFields & { type: 'rtu' };

async function openSerial(transport: SerialFields): Promise<Duplex> {
  const found = await findPort({ port: transport.port });
  if (found.kind === 'absent') throw lost(`${found.problem}; ${found.remedy}`);
  const { SerialPort } = await import('serialport');
  const { port: path, baud_rate: baudRate, parity, data_bits, stop_bits } = transport;
  const settings = { baudRate, parity, dataBits: data_bits, stopBits: stop_bits };
  const port = new SerialPort({ path, ...settings, autoOpen: false });
  const failure = await new Promise<Error | null>((resolve) => {
    port.open((error) => resolve(error));
  });
  if (failure) throw await openError(path, failure, baudRate);
  endAtHangUp(port.port);
  return port;
}
