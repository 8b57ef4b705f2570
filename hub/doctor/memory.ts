import { join } from 'node:path';
import { sizeText } from '../core/size-text.ts';
import { readFact } from '../machine/read-fact.ts';
import type { MachineRoots } from '../machine/roots.ts';
import type { Examination } from './examination.ts';

const MIB = 1024 * 1024;
/** A hub takes 120 to 180 MiB (docs/BENCH.md), and its system some as well. */
const LIMIT_BYTES_MIN = 200 * MIB;
const TOTAL_BYTES_MIN = 400 * MIB;
const AVAILABLE_BYTES_MIN = 150 * MIB;
/** Version 1 of cgroups says "no limit" with a number near 2^63. */
const LIMIT_BYTES_MAX = 2 ** 50;

/** Whether a hub has the memory that it needs. `hubRuns`: what it has is not available any more. */
export function memory(roots: MachineRoots, hubRuns: () => Promise<boolean>): Examination {
  const subject = 'memory';
  return {
    subject,
    async examine() {
      const text = (await readFact(roots.proc, 'meminfo')) ?? '';
      const [total, available] = [kibOf(text, 'MemTotal'), kibOf(text, 'MemAvailable')];
      if (total === undefined || available === undefined)
        return [{ severity: 'unknown', subject, detail: 'nothing here tells how much there is' }];
      const limit = await limitBytes(roots);
      const limited = limit === undefined ? '' : `, limited to ${sizeText(limit)}`;
      const detail = `${sizeText(available)} of ${sizeText(total)} are available${limited}`;
      if (limit !== undefined && limit < LIMIT_BYTES_MIN) {
        const remedy =
          'let the hub have 256 MiB: MemoryMax= of its unit, or --memory of its container';
        return [{ severity: 'warning', subject, detail, remedy }];
      }
      if (total < TOTAL_BYTES_MIN) {
        const remedy = 'stop what is not needed (a desktop: sudo raspi-config, Boot, Console)';
        return [{ severity: 'note', subject, detail, remedy }];
      }
      if (available < AVAILABLE_BYTES_MIN && !(await hubRuns())) {
        const remedy = 'a hub takes up to 180 MiB: stop what takes the rest (`ps aux --sort=-rss`)';
        return [{ severity: 'warning', subject, detail, remedy }];
      }
      return [{ severity: 'ok', subject, detail }];
    },
  };
}

function kibOf(text: string, name: string): number | undefined {
  const kib = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}

/** The tightest limit on the way from this process's group to the root, of either version. */
async function limitBytes({ sys, proc }: MachineRoots): Promise<number | undefined> {
  const groups = (await readFact(proc, 'self', 'cgroup')) ?? '';
  const folder = join(sys, 'fs', 'cgroup');
  const unified = /^0::(\/.*)$/m.exec(groups)?.[1] ?? '/';
  const own = /^\d+:(?:\S*,)?memory(?:,\S*)?:(\/.*)$/m.exec(groups)?.[1] ?? '/';
  const files = [
    ...upwards(unified).map((path) => join(folder, path, 'memory.max')),
    ...upwards(own).map((path) => join(folder, 'memory', path, 'memory.limit_in_bytes')),
  ];
  const limits: number[] = [];
  for (const file of files) {
    const limit = Number((await readFact(file)) || Number.NaN);
    if (limit > 0 && limit < LIMIT_BYTES_MAX) limits.push(limit);
  }
  return limits.length === 0 ? undefined : Math.min(...limits);
}

/** `/a/b`, `/a`, `/`. */
function upwards(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '');
  return parts.map((_, index) => `/${parts.slice(0, parts.length - index).join('/')}`).concat('/');
}
