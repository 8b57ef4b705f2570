import { askProgram } from '../machine/ask-program.ts';
import type { SyncAnswer, SyncSource } from './sync-source.ts';

/**
 * `chronyc -c tracking` prints 14 fields: the reference as 8 hex digits first, the leap status
 * last. Names as of chrony 2.0 (2015) and later.
 */
const FIELDS = 14;
const LEAP_SYNCED = ['Normal', 'Insert second', 'Delete second'];
/** The reference of a chrony that takes its own clock for the time (`local stratum`). */
const REFERENCE_LOCAL = '7F7F0101';

/** chronyd, asked over its own socket. */
export function chrony(): SyncSource {
  return {
    name: 'chrony',
    async check(signal): Promise<SyncAnswer> {
      const printed = await askProgram('chronyc', ['-n', '-c', 'tracking'], signal);
      if (printed.outcome !== 'printed') return printed.outcome === 'missing' ? 'absent' : 'silent';
      const fields = printed.text.trim().split(',');
      if (fields.length !== FIELDS) return 'silent';
      const synced = LEAP_SYNCED.includes(fields.at(-1) ?? '') && fields[0] !== REFERENCE_LOCAL;
      return synced ? 'synced' : 'unsynced';
    },
  };
}
