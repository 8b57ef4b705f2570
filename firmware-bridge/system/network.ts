import { join } from 'node:path';
import { namesIn, readFact, readNumber } from '../../hub/machine/read-fact.ts';
import type { MachineRoots } from '../../hub/machine/roots.ts';
import type { Sample } from '../sampling/sensor.ts';
import type { SystemOptions } from './fields.ts';
import { metricPart, rounded, type Values } from './values.ts';

/** Ways out without hardware of their own: tunnels, and modems that speak PPP. */
const WITHOUT_HARDWARE = /^(wg|ppp|tun|tap|tailscale|wwan)\d*/;
const NO_ROUTE = 'none';
/** Destination 0, up. */
const ANYWHERE = '00000000';
const ANYWHERE_6 = '0'.repeat(32);
const ROUTE_UP = 1;

export async function readNetwork(options: SystemOptions, roots: MachineRoots): Promise<Sample> {
  const { interfaces, interfaces_max: most } = options;
  const all = await namesIn(roots.sys, 'class', 'net');
  const found = interfaces ?? (await realOnes(all, roots));
  const names = found.slice(0, interfaces ? undefined : most);
  const wireless = await signals(roots);
  const values: Values = [['default_route', await defaultRoute(roots)]];
  const problems =
    found.length > names.length
      ? [`${found.length - names.length} more interfaces are not read: see \`interfaces_max\``]
      : [];
  for (const name of names) {
    if (all.includes(name)) values.push(...(await readInterface(name, roots)));
    else values.push([`net_${metricPart(name)}_up`, false]);
    const signal = wireless.get(name);
    if (signal !== undefined)
      values.push(...rounded(`net_${metricPart(name)}_signal_dbm`, signal, 0));
  }
  return { values, problems };
}

async function realOnes(names: readonly string[], { sys }: MachineRoots): Promise<string[]> {
  const isReal = await Promise.all(
    names.map(async (name) => {
      if (WITHOUT_HARDWARE.test(name)) return true;
      return (await namesIn(sys, 'class', 'net', name, 'device')).length > 0;
    }),
  );
  return names.filter((_, i) => isReal[i]);
}

async function readInterface(name: string, { sys }: MachineRoots): Promise<Values> {
  const folder = join(sys, 'class', 'net', name);
  const prefix = `net_${metricPart(name)}`;
  const state = await readFact(folder, 'operstate');
  // tunnels have no state of their own
  const isUp =
    state === 'up' || (state === 'unknown' && (await readFact(folder, 'carrier')) === '1');
  const counter = (file: string) => readNumber(folder, 'statistics', file);
  return [
    [`${prefix}_up`, isUp],
    ...rounded(`${prefix}_received_bytes`, await counter('rx_bytes'), 0),
    ...rounded(`${prefix}_sent_bytes`, await counter('tx_bytes'), 0),
    ...rounded(`${prefix}_receive_errors`, await counter('rx_errors'), 0),
    ...rounded(`${prefix}_send_errors`, await counter('tx_errors'), 0),
  ];
}

/** ` wlan0: 0000   54.  -56.  -256  0 0 0 0 0 0`: the third number is the level in dBm. */
async function signals({ proc }: MachineRoots): Promise<ReadonlyMap<string, number>> {
  const lines = ((await readFact(proc, 'net', 'wireless')) ?? '').split('\n');
  return new Map(
    lines.flatMap((line) => {
      const [, name, level] = /^\s*(\S+): \S+\s+\S+\s+(-?\d+)\.?\s/.exec(line) ?? [];
      // other drivers give shares of a maximum, which is never below 0
      return name === undefined || Number(level) >= 0 ? [] : [[name, Number(level)] as const];
    }),
  );
}

/** The interface by which everything else is reached. */
async function defaultRoute({ proc }: MachineRoots): Promise<string> {
  const rows = async (file: string) =>
    ((await readFact(proc, 'net', file)) ?? '').split('\n').map((line) => line.trim().split(/\s+/));
  const v4 = (await rows('route')).flatMap(([name, to, , flags, , , metric, mask]) =>
    to === ANYWHERE && mask === ANYWHERE && (Number(`0x${flags}`) & ROUTE_UP) !== 0
      ? [{ name, metric: Number(metric) }]
      : [],
  );
  const v6 = (await rows('ipv6_route')).flatMap((row) => {
    const [to, bits, , , , metric] = row;
    const name = row.at(-1);
    const fits = to === ANYWHERE_6 && bits === '00' && name !== 'lo';
    return fits ? [{ name, metric: Number(`0x${metric}`) }] : [];
  });
  const [best] = (v4.length > 0 ? v4 : v6).toSorted((a, b) => a.metric - b.metric);
  return best?.name ?? NO_ROUTE;
}
