import { readFact } from '../machine/read-fact.ts';
import type { MachineRoots } from '../machine/roots.ts';
import type { Examination } from './examination.ts';

/** LevelDB has 74 tables open; logs, sinks, timers and libraries a hundred more at most. */
const FILES_OF_HUB = 200;

/** Each client takes a descriptor. */
export function fileLimit(roots: MachineRoots, clientsMax: number): Examination {
  const subject = 'open files';
  return {
    subject,
    async examine() {
      const text = (await readFact(roots.proc, 'self', 'limits')) ?? '';
      // Node.js raises the soft limit to the hard one when it starts
      const hard = /^Max open files\s+\S+\s+(\d+|unlimited)/m.exec(text)?.[1];
      if (hard === undefined)
        return [{ severity: 'unknown', subject, detail: 'nothing here tells the limit' }];
      const detail = `${hard} may be open at once`;
      const needed = clientsMax + FILES_OF_HUB;
      if (hard === 'unlimited' || Number(hard) >= needed)
        return [{ severity: 'ok', subject, detail }];
      const remedy =
        `mqtt.limits.clients_max (${clientsMax}) needs ${needed}: LimitNOFILE=${needed} in the ` +
        'unit of systemd, `ulimit -Hn` in a shell, or fewer clients';
      return [{ severity: 'warning', subject, detail, remedy }];
    },
  };
}
