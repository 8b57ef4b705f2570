import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';

/** Time, injected so that tests can own it. Durations are measured on the monotonic clock only. */
export interface Clock {
  /** Wall clock in ms since 1970. On a Pi without a battery it can be in the past. */
  wallMs(): number;
  /** Monotonic, in ms since the boot that `bootId` names, or a moment near it; never jumps. */
  monotonicMs(): number;
  /** Whether something keeps the wall clock synchronised. */
  synced(): boolean;
  /** Names this boot of the machine: monotonic times compare only within one boot. */
  readonly bootId: string;
}

/** systemd-timesyncd creates it with the first synchronisation after a boot. */
const TIMESYNC_FLAG_FILE = '/run/systemd/timesync/synchronized';
const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';
/** The flag is a file in memory that changes once per boot: looking every 5 s is plenty. */
const SYNC_CHECK_INTERVAL_MS = 5_000;

function readBootId(): string {
  try {
    return readFileSync(BOOT_ID_FILE, 'utf8').trim().replaceAll('-', '').slice(0, 16);
  } catch {
    return randomBytes(8).toString('hex'); // not Linux: every start of the process counts as a boot
  }
}

/** The clocks of this machine. */
export function systemClock(): Clock {
  let checkedAtMs = Number.NEGATIVE_INFINITY;
  let synced = false;
  return {
    wallMs: () => Date.now(),
    // not performance.now(), which begins with the process: the log compares across restarts
    monotonicMs: () => Number(process.hrtime.bigint()) / 1e6,
    synced() {
      const now = performance.now();
      if (!synced && now - checkedAtMs >= SYNC_CHECK_INTERVAL_MS) {
        checkedAtMs = now;
        synced = existsSync(TIMESYNC_FLAG_FILE);
      }
      return synced;
    },
    bootId: readBootId(),
  };
}
