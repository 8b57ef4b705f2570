import { askProgram } from '../machine/ask-program.ts';
import type { SyncAnswer, SyncSource } from './sync-source.ts';

/** RFC 5905: a leap indicator of 3, in binary 11, is "clock unsynchronised". */
const LEAP_UNSYNCED = ['11', '3'];

/** ntpd or ntpsec: the system variables, in which `leap=00` is a synchronised clock. */
export function ntpd(): SyncSource {
  return {
    name: 'ntpd',
    async check(signal): Promise<SyncAnswer> {
      const printed = await askProgram('ntpq', ['-n', '-c', 'rv'], signal);
      if (printed.outcome !== 'printed') return printed.outcome === 'missing' ? 'absent' : 'silent';
      const leap = /\bleap=(\d+)/.exec(printed.text)?.[1];
      if (leap === undefined) return 'silent'; // ntpq succeeds also when there is no ntpd
      return LEAP_UNSYNCED.includes(leap) ? 'unsynced' : 'synced';
    },
  };
}
