import type { SinkConfig } from '../config/schema.ts';
import type { Budget, BudgetLimits } from './core/budget.ts';
import type { Clock } from './core/clock.ts';
import { parseHostPort } from './core/host-port.ts';
import { Governor } from './forward/governor/governor.ts';
import { Route } from './forward/governor/route.ts';
import type { SinkBudget } from './forward/governor/sink-governor.ts';
import type { DurableLog } from './log/durable-log.ts';
import { governorOperation, loadGovernorRecord } from './log/governor-record.ts';

type BudgetSection = NonNullable<SinkConfig['budget']>;

/** What `budget` of a sink says, with what it has sent so far; undefined when it has none. */
export async function budgetOf(
  sink: SinkConfig,
  host: string | undefined,
  log: DurableLog,
  clock: Clock,
): Promise<SinkBudget | undefined> {
  if (!sink.budget) return undefined;
  const budget = budgetFrom(sink.budget);
  const to = host === undefined ? undefined : (parseHostPort(host)?.host ?? host);
  const route =
    to === undefined || budget.networks.length === 0
      ? undefined
      : new Route({ host: to, monotonicMs: () => clock.monotonicMs() });
  const governor = new Governor({
    budget,
    clock: {
      bootId: clock.bootId,
      monotonicMs: () => clock.monotonicMs(),
      wallMs: () => log.boots.stamping.wallMs(),
      calendarKnown: () => log.boots.facts.state !== 'unsynced',
    },
    networkInterface: () => route?.networkInterface,
    saved: await loadGovernorRecord(log, sink.id),
  });
  return {
    governor,
    ...(route && { route }),
    save: (record) => log.defer([governorOperation(sink.id, record)]),
    saveNow: (record) =>
      new Promise((resolve, reject) => {
        const operations = [governorOperation(sink.id, record)];
        log.write(operations, (error) => (error ? reject(error) : resolve()));
      }),
  };
}

function budgetFrom(section: BudgetSection): Budget {
  return {
    ...limitsFrom(section),
    exempt: section.exempt,
    timezone: section.timezone,
    monthStartsOn: section.month_starts_on,
    networks: section.networks.map((network) => ({
      ...limitsFrom(network),
      interface: network.interface,
      unlimited: network.unlimited,
    })),
  };
}

function limitsFrom(section: BudgetSection | BudgetSection['networks'][number]): BudgetLimits {
  const { window = [] } = section;
  return {
    bytesPerDay: section.bytes_per_day,
    bytesPerMonth: section.bytes_per_month,
    windows: 'text' in window ? [window] : window,
    bytesPerSecondMax: section.bytes_per_second_max,
    eventsPerSecondMax: section.events_per_second_max,
  };
}
