import { setTimeout as delay } from 'node:timers/promises';
import { SerialPort } from 'serialport';
import { describeError, HubError } from '../../hub/core/errors.ts';
import { endAtHangUp } from './hang-up.ts';
import type { SerialOptions } from './spec.ts';

/** A terminal gives at most 4 KiB at a time; this much is read ahead of a log that is full. */
const READ_AHEAD_BYTES = 16 * 1024;
/** The system may want to send what is left before it closes; we do not wait for it. */
const CLOSE_TIMEOUT_MS = 500;
/** What was unplugged is looked for this often: a second, so that it is back within five. */
export const RETRY_DELAY_MS = 1_000;

/** BRIDGE_LOST that is tried again soon, however often it failed. */
export function lost(problem: string, cause?: unknown): HubError {
  return new HubError('BRIDGE_LOST', problem, { cause, retryAfterMs: RETRY_DELAY_MS });
}

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
  await new Promise<void>((resolve, reject) => {
    port.open((error) => {
      if (error) reject(lost(openProblem(path, error, options), error));
      else resolve();
    });
  });
  endAtHangUp(port.port);
  return port;
}

function openProblem(path: string, error: Error, { baud_rate }: SerialOptions): string {
  const text = describeError(error);
  if (/permission denied/i.test(text))
    return (
      `no permission for ${path}: add the user of the hub to the group of the port ` +
      '(`sudo usermod -aG dialout $USER`, then log in again)'
    );
  if (/cannot lock|busy/i.test(text))
    return `${path} is used by another program: \`fuser -v ${path}\` shows which; stop it`;
  if (/no such (file|device)/i.test(text)) return `${path} is gone: is it plugged in?`;
  if (/inappropriate ioctl/i.test(text)) return `${path} is no serial port`;
  if (/baud/i.test(text)) return `${path} does not take baud_rate ${baud_rate}: ${text}`;
  return `cannot open ${path}: ${text}`;
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
