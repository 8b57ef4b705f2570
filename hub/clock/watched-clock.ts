import type { Clock } from '../core/clock.ts';
import { chrony } from './chrony.ts';
import { kernel } from './kernel.ts';
import { ntpd } from './ntpd.ts';
import { SyncWatch } from './sync-watch.ts';
import { systemClock, systemMonotonicMs } from './system-clock.ts';
import { timesyncd } from './timesyncd.ts';

/** The clocks of this machine, and whoever watches whether they are right. */
export interface WatchedClock {
  readonly clock: Clock;
  readonly watch: SyncWatch;
}

/** timesyncd first: it is asked without starting a program, and runs on most Pis. */
export function watchedClock(): WatchedClock {
  const fromKernel = kernel();
  const watch = new SyncWatch({
    daemons: [timesyncd(fromKernel), chrony(), ntpd()],
    kernel: fromKernel,
    wallMs: () => Date.now(),
    monotonicMs: systemMonotonicMs,
  });
  return { clock: systemClock(() => watch.sync()), watch };
}
