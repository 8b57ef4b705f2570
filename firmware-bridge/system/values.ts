import { readFact } from '../../hub/machine/read-fact.ts';
import type { Value } from '../sampling/messages.ts';

export type Values = (readonly [string, Value])[];

/** One value with so many digits after the point, or none where there is no number. */
export function rounded(metric: string, value: number | undefined, digits: number): Values {
  if (value === undefined || !Number.isFinite(value)) return [];
  return [[metric, Number(value.toFixed(digits))]];
}

/** Names of the kernel hold `-` and `.`, those of metrics do not. */
export const metricPart = (name: string): string => name.replaceAll(/[^A-Za-z0-9_]/g, '_');

/** `some avg10=0.12 avg60=0.05 ...`: how much of the last minute somebody waited for it, in %. */
export async function pressure(proc: string, what: 'cpu' | 'memory' | 'io'): Promise<Values> {
  const text = (await readFact(proc, 'pressure', what)) ?? '';
  const [, share] = /^some .*avg60=([\d.]+)/m.exec(text) ?? [];
  return rounded(`${what}_pressure`, share === undefined ? undefined : Number(share), 2);
}
