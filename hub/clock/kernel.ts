/**
 * What the kernel says of its clock, whoever steers it. Node.js cannot call adjtimex(2), so a
 * program that can is asked: timedatectl where there is systemd, else the applet of BusyBox or the
 * program of Debian's package.
 */
import { askProgram, type Printed } from '../machine/ask-program.ts';
import type { SyncAnswer, SyncSource } from './sync-source.ts';

/**
 * systemd's rule, so that all three agree: STA_UNSYNC is also set to keep the kernel's hands off
 * the battery clock, but the error that the kernel allows for reaches 16 s only without steering.
 */
const ERROR_US_MAX = 16_000_000;

const ADJTIMEX = [
  ['busybox', ['adjtimex']],
  ['adjtimex', ['--print']],
] as const;

const TIMEDATECTL = ['show', '-p', 'NTPSynchronized', '--value'];

function textOf(printed: Printed): string {
  return printed.outcome === 'printed' ? printed.text.trim() : '';
}

export function kernel(): SyncSource {
  return {
    name: 'kernel',
    async check(signal): Promise<SyncAnswer> {
      const systemd = await askProgram('timedatectl', TIMEDATECTL, signal);
      if (textOf(systemd) === 'yes') return 'synced';
      if (textOf(systemd) === 'no') return 'unsynced';
      for (const [program, args] of ADJTIMEX) {
        const text = textOf(await askProgram(program, args, signal));
        const errorUs = /\bmaxerror:\s*(\d+)/.exec(text)?.[1];
        if (errorUs !== undefined) return Number(errorUs) < ERROR_US_MAX ? 'synced' : 'unsynced';
      }
      return 'absent';
    },
  };
}
