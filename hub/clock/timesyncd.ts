import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { SyncAnswer, SyncSource } from './sync-source.ts';

/** Exists while systemd-timesyncd runs. */
const FOLDER = '/run/systemd/timesync';
/** Touched with every answer of a time server. */
const FLAG_FILE = 'synchronized';
/**
 * The kernel gives a clock up when it may be off by 16 s, which it reckons after 32,000 s without
 * correction (500 ppm). timesyncd asks every 34 minutes at most.
 */
const FLAG_AGE_MS_MAX = 32_000_000;

/**
 * systemd-timesyncd, the daemon of Raspberry Pi OS. It never takes its flag back, so `kernel` has
 * to agree: setting the clock by hand, for example, only shows there.
 */
export function timesyncd(kernel: SyncSource, folder = FOLDER): SyncSource {
  return {
    name: 'systemd-timesyncd',
    async check(signal): Promise<SyncAnswer> {
      if ((await modifiedMs(folder)) === undefined) return 'absent';
      const flagMs = await modifiedMs(join(folder, FLAG_FILE));
      if (flagMs === undefined || Date.now() - flagMs > FLAG_AGE_MS_MAX) return 'unsynced';
      return (await kernel.check(signal)) === 'unsynced' ? 'unsynced' : 'synced';
    },
  };
}

async function modifiedMs(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs;
  } catch {
    return undefined; // whatever the reason: it tells nothing
  }
}
