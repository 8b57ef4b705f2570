/** Rules for `budget` that concern more than one key. */
import { LANES } from '../hub/core/event.ts';
import { SINKS } from '../sinks/registry.ts';
import { dataAt } from './schema-walk.ts';
import { budget as schema } from './sections/budget.ts';

interface Violation {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint?: string;
}

const LIMIT_KEYS = [
  'bytes_per_day',
  'bytes_per_month',
  'window',
  'bytes_per_second_max',
  'events_per_second_max',
] as const;

/** What contradicts itself, or can do nothing. `sinks` is the data as it was written. */
export function budgetViolations(sinks: readonly unknown[]): Violation[] {
  return sinks.flatMap((sink, i) => {
    const budget = dataAt(sink, ['budget']);
    if (typeof budget !== 'object' || budget === null) return [];
    const path = ['sinks', i, 'budget'];
    const spec = SINKS.find(({ type }) => type === dataAt(sink, ['type']));
    if (spec && !('host' in spec)) {
      const message = `has no effect: a sink of type ${spec.type} sends nothing over a network`;
      return [{ path, message, hint: 'leave it out' }];
    }
    const list = dataAt(budget, ['networks']);
    const networks = Array.isArray(list) ? list : [];
    return [
      ...idle(budget, networks, path),
      ...amounts(budget, path),
      ...networks.flatMap((network, n) => [
        ...networkViolations(networks, n, [...path, 'networks', n]),
        ...amounts(network, [...path, 'networks', n]),
      ]),
    ];
  });
}

function has(data: unknown, key: string): boolean {
  return dataAt(data, [key]) !== undefined;
}

function isLimited(data: unknown): boolean {
  return LIMIT_KEYS.some((key) => has(data, key));
}

function idle(budget: object, networks: readonly unknown[], path: Violation['path']): Violation[] {
  const found: Violation[] = [];
  const hint = `set one of ${LIMIT_KEYS.join(', ')}`;
  if (!isLimited(budget) && !networks.some(isLimited))
    found.push({ path, message: 'limits nothing', hint });
  const exempt = dataAt(budget, ['exempt']);
  if (Array.isArray(exempt) && LANES.every((lane) => exempt.includes(lane)))
    found.push({ path: [...path, 'exempt'], message: 'names every lane: nothing is held back' });
  const monthly = [budget, ...networks].some((limits) => has(limits, 'bytes_per_month'));
  if (has(budget, 'month_starts_on') && !monthly) {
    const message = 'has no meaning without bytes_per_month';
    found.push({ path: [...path, 'month_starts_on'], message });
  }
  return found;
}

function amounts(limits: unknown, path: Violation['path']): Violation[] {
  const day = schema.shape.bytes_per_day.safeParse(dataAt(limits, ['bytes_per_day']));
  const month = schema.shape.bytes_per_month.safeParse(dataAt(limits, ['bytes_per_month']));
  const [perDay, perMonth] = [day.data, month.data];
  if (perDay === undefined || perMonth === undefined || perDay <= perMonth) return [];
  return [{ path: [...path, 'bytes_per_day'], message: 'is more than bytes_per_month' }];
}

function networkViolations(
  networks: readonly unknown[],
  n: number,
  path: Violation['path'],
): Violation[] {
  const network = networks[n];
  const unlimited = dataAt(network, ['unlimited']) === true;
  if (unlimited && isLimited(network))
    return [{ path: [...path, 'unlimited'], message: 'contradicts the limits beside it' }];
  if (!unlimited && !isLimited(network)) {
    const message = 'limits nothing';
    return [{ path, message, hint: '`unlimited: true` says that nothing is held back here' }];
  }
  const patterns = networks.map((item) => dataAt(item, ['interface']));
  const first = patterns.indexOf(patterns[n]);
  if (first < n && patterns[n] !== undefined) {
    const message = `is the interface of networks[${first}] too, which comes first`;
    return [{ path: [...path, 'interface'], message }];
  }
  return [];
}
