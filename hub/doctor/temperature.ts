import { join } from 'node:path';
import type { Finding } from '../core/finding.ts';
import { namesIn, readFact, readNumber } from '../machine/read-fact.ts';
import type { MachineRoots } from '../machine/roots.ts';
import type { Examination } from './examination.ts';

/** From 80 °C on the firmware of a Pi slows the processor down, at 85 °C it does so hard. */
const HOT_MILLIDEGREES = 80_000;
const WARM_MILLIDEGREES = 70_000;
/** Zones of processors: Raspberry Pi, other boards, PCs. */
const PROCESSOR = /^(cpu.*|soc.*|x86_pkg_temp|acpitz)$/;

/** How hot the processor is. */
export function temperature(roots: MachineRoots): Examination {
  const subject = 'temperature';
  return {
    subject,
    async examine() {
      const highest = await hottest(roots);
      if (highest === undefined)
        return [{ severity: 'unknown', subject, detail: 'nothing here measures it' }];
      return [judge(highest)];
    },
  };
}

async function hottest({ sys }: MachineRoots): Promise<number | undefined> {
  const folder = join(sys, 'class', 'thermal');
  let highest: number | undefined;
  for (const zone of await namesIn(folder)) {
    if (!PROCESSOR.test((await readFact(folder, zone, 'type')) ?? '')) continue;
    const value = await readNumber(folder, zone, 'temp');
    if (value !== undefined) highest = Math.max(highest ?? value, value);
  }
  return highest;
}

function judge(millidegrees: number): Finding {
  const detail = `the processor has ${(millidegrees / 1000).toFixed(0)} °C`;
  const subject = 'temperature';
  if (millidegrees < WARM_MILLIDEGREES) return { severity: 'ok', subject, detail };
  const remedy = 'give it air: a heat sink, a fan, or a case with openings';
  const isHot = millidegrees >= HOT_MILLIDEGREES;
  return { severity: isHot ? 'warning' : 'note', subject, detail, remedy };
}
