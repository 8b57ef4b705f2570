import { setTimeout as delay } from 'node:timers/promises';
import { SerialPort } from 'serialport';
import { endAtHangUp } from '../port/hang-up.ts';
import { openError } from '../port/open-problem.ts';
import type { SerialOptions } from './spec.ts';

/** A terminal gives at most 4 KiB at a time; this much is read ahead of a log that is full. */
const READ_AHEAD_BYTES = 16 * 1024;
/** The system may want to send what is left before it closes; we do not wait for it. */
const CLOSE_TIMEOUT_MS = 500;
/**
 * Opens the port for us alone.
 * @throws HubError BRIDGE_LOST that names the port and says what to do.
 */
export async function openPort(path: string, options: SerialOptions): Promise<SerialPort> {
  const port = new SerialPort({
    path,
    baudRate: options.baud_rate,
    dataBits: options.data_bits,
    parity: options.parity,
    stopBits: options.stop_bits,
    rtscts: options.flow_control === 'rts_cts',
    xon: options.flow_control === 'xon_xoff',
    xoff: options.flow_control === 'xon_xoff',
    highWaterMark: READ_AHEAD_BYTES,
    autoOpen: false,
  });
  const failure = await new Promise<Error | null>((resolve) => {
    port.open((error) => resolve(error));
  });
  if (failure) throw await openError(path, failure, options.baud_rate);
  endAtHangUp(port.port);
  return port;
}

/** Ends within half a second, whatever the port does. */
export async function closePort(port: SerialPort): Promise<void> {
  if (!port.isOpen) return;
  const closed = new Promise<void>((resolve) => port.close(() => resolve()));
  const patience = new AbortController();
  const timeout = delay(CLOSE_TIMEOUT_MS, undefined, { signal: patience.signal }).catch(() => {});
  await Promise.race([closed, timeout]);
  patience.abort();
}
