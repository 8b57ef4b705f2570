import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { describeError, HubError } from '../../hub/core/errors.ts';
import { endAtHangUp } from '../serial/hang-up.ts';
import type { TransportFields } from './fields.ts';

/** Bytes in both directions, open. */
export interface Line {
  readonly name: string;
  readonly stream: Duplex;
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
  const stream =
    transport.type === 'rtu'
      ? await openSerial(transport)
      : await openSocket(name, transport.host, transport.port, signal);
  return { name, stream };
}

async function openSocket(name: string, host: string, port: number, signal: AbortSignal) {
  const socket: Socket = createConnection({ host, port, noDelay: true });
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  const limit = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]);
  try {
    await once(socket, 'connect', { signal: limit });
  } catch (cause) {
    socket.destroy();
    socket.on('error', () => {}); // told below
    const timedOut = limit.aborted && !signal.aborted;
    const why = timedOut ? `no connection in ${CONNECT_TIMEOUT_MS / 1000} s` : describeError(cause);
    const advice = 'check that the device is on, the address, and that Modbus TCP is enabled on it';
    throw new HubError('BRIDGE_LOST', `${name}: ${why}; ${advice}`, { cause });
  }
  return socket;
}

type SerialFields = TransportFields & { type: 'rtu' };

async function openSerial(transport: SerialFields): Promise<Duplex> {
  const { SerialPort } = await import('serialport');
  const { port: path, baud_rate: baudRate, parity, data_bits, stop_bits } = transport;
  return new Promise((resolve, reject) => {
    const settings = { baudRate, parity, dataBits: data_bits, stopBits: stop_bits };
    const port = new SerialPort({ path, ...settings, autoOpen: false });
    port.open((cause) => {
      if (cause === null || cause === undefined) {
        endAtHangUp(port.port);
        resolve(port);
      } else reject(new HubError('BRIDGE_LOST', `${path}: ${serialAdvice(cause)}`, { cause }));
    });
  });
}

function serialAdvice(error: Error): string {
  const { message } = error;
  if (/ENOENT|No such file/i.test(message))
    return 'there is no such port; is the adapter plugged in? `ls /dev/serial/by-id` shows all';
  if (/EACCES|Permission denied/i.test(message))
    return 'no permission to open it; add the user of the hub to the group `dialout`';
  if (/lock|EBUSY|temporarily unavailable/i.test(message))
    return 'another program has it open; `fuser -v` names it';
  return `${message}; check the port and its settings`;
}
