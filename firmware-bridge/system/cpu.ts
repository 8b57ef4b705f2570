import { join } from 'node:path';
import { namesIn, readFact, readNumber } from '../../hub/machine/read-fact.ts';
import type { MachineRoots } from '../../hub/machine/roots.ts';
import { pressure, rounded, type Values } from './values.ts';

/** What drivers call the zone of the processor, on a Pi and elsewhere. */
const CPU_ZONE = /cpu|soc|x86_pkg/i;
const PERCENT = 100;

interface Ticks {
  readonly all: number;
  readonly idle: number;
  readonly wait: number;
}

/** What the processor does. Its use is that since the reading before. */
export class Cpu {
  readonly #roots: MachineRoots;
  #before: Ticks | undefined;

  constructor(roots: MachineRoots) {
    this.#roots = roots;
  }

  async read(): Promise<Values> {
    const { proc, sys } = this.#roots;
    const [load = '', load5 = '', load15 = ''] = words(await readFact(proc, 'loadavg'));
    const [uptime] = words(await readFact(proc, 'uptime'));
    const policy = join(sys, 'devices', 'system', 'cpu', 'cpufreq', 'policy0');
    const kilohertz = await readNumber(policy, 'scaling_cur_freq');
    return [
      ...(await temperature(sys)),
      ...rounded('cpu_frequency', kilohertz === undefined ? undefined : kilohertz / 1000, 0),
      ...this.#use(ticksIn((await readFact(proc, 'stat')) ?? '')),
      ...(load === '' ? [] : rounded('load_1', Number(load), 2)),
      ...(load5 === '' ? [] : rounded('load_5', Number(load5), 2)),
      ...(load15 === '' ? [] : rounded('load_15', Number(load15), 2)),
      ...(await pressure(proc, 'cpu')),
      ...(uptime === undefined ? [] : rounded('uptime', Number(uptime), 0)),
    ];
  }

  #use(now: Ticks | undefined): Values {
    const before = this.#before;
    this.#before = now;
    if (before === undefined || now === undefined || now.all <= before.all) return [];
    const all = now.all - before.all;
    const idle = Math.max(0, now.idle - before.idle);
    const wait = Math.max(0, now.wait - before.wait);
    return [
      ...rounded('cpu_use', (PERCENT * Math.max(0, all - idle - wait)) / all, 1),
      ...rounded('cpu_wait', (PERCENT * wait) / all, 1),
    ];
  }
}

const words = (text: string | undefined): readonly string[] =>
  text === undefined || text === '' ? [] : text.split(/\s+/);

/** `cpu user nice system idle iowait irq softirq steal guest ...`; guests are in user already. */
function ticksIn(stat: string): Ticks | undefined {
  const [, line] = /^cpu +([\d ]+)$/m.exec(stat) ?? [];
  if (line === undefined) return undefined;
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, ...rest] = line.split(' ').map(Number);
  const [irq = 0, softirq = 0, steal = 0] = rest;
  return { all: user + nice + system + idle + wait + irq + softirq + steal, idle, wait };
}

async function temperature(sys: string): Promise<Values> {
  const folder = join(sys, 'class', 'thermal');
  const zones = (await namesIn(folder)).filter((name) => name.startsWith('thermal_zone'));
  for (const zone of zones) {
    if (!CPU_ZONE.test((await readFact(folder, zone, 'type')) ?? '')) continue;
    const millidegrees = await readNumber(folder, zone, 'temp');
    if (millidegrees !== undefined) return rounded('cpu_temperature', millidegrees / 1000, 1);
  }
  return [];
}
