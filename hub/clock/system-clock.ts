import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Clock, ClockSync } from '../core/clock.ts';

const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';

function readBootId(): string {
  try {
    return readFileSync(BOOT_ID_FILE, 'utf8').trim().replaceAll('-', '').slice(0, 16);
  } catch {
    return randomBytes(8).toString('hex'); // not Linux: every start of the process counts as a boot
  }
}

/** performance.now() begins with the process, and the log compares across restarts. */
const PROCESS_STARTED_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** The same clock as process.hrtime.bigint(), without a BigInt for each look at it. */
export function systemMonotonicMs(): number {
  return PROCESS_STARTED_MS + performance.now();
}

/** The clocks of this machine. `sync` says what is known of them; by default nothing is. */
export function systemClock(sync: () => ClockSync = () => ({ state: 'unknown' })): Clock {
  return {
    wallMs: () => Date.now(),
    monotonicMs: systemMonotonicMs,
    synced: () => sync().state === 'synced',
    sync,
    bootId: readBootId(),
  };
}
