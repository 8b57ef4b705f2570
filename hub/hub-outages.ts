import type { BudgetSection } from '../config/sections/budget.ts';
import type { OutageView } from './api/view.ts';
import type { Clock } from './core/clock.ts';
import type { Message } from './core/event.ts';
import type { Forwarder } from './forward/forwarder.ts';
import { laneStatus } from './forward/lane-status.ts';
import { Outages } from './forward/outages.ts';
import type { FarSideLink, Recovery } from './forward/recovery.ts';
import { SYSTEM_SCHEDULE } from './forward/schedule.ts';
import type { DurableLog } from './log/durable-log.ts';
import { OutageRecords } from './log/outage-records.ts';

/** The outages of one sink, kept in the log. */
export function outagesOf(log: DurableLog, clock: Clock, sink: string): Outages {
  return new Outages({
    sink,
    clock,
    schedule: SYSTEM_SCHEDULE,
    records: new OutageRecords(log, sink),
    lane: (lane) => {
      const cursor = log.cursors.get(sink, lane);
      const { tail } = log.range(lane);
      return { tail, settled: cursor.offset, queued: laneStatus(lane, cursor, tail).queued };
    },
    tell: (message) => tell(log, message),
  });
}

/** A sink's part in what is known of its host. Where bytes are counted, none go into probes. */
export function farSideOf(
  recovery: Recovery,
  host: string | undefined,
  budget: BudgetSection | undefined,
): FarSideLink | undefined {
  if (host === undefined) return undefined;
  const limits = budget ? [budget, ...budget.networks] : [];
  const isMetered = limits.some(
    ({ bytes_per_day, bytes_per_month }) => (bytes_per_day ?? bytes_per_month) !== undefined,
  );
  return recovery.join(host, !isMetered);
}

/** A full log has better use for its room: the outage is in the history all the same. */
function tell(log: DurableLog, message: Message): void {
  if (!log.mustWait('alarm')) log.append(message, 'alarm', () => {});
}

export function outageView(forwarders: readonly Forwarder[]): OutageView {
  return {
    all: () =>
      forwarders.flatMap(({ outages }) => outages.list()).sort((a, b) => b.startedMs - a.startedMs),
    of: (sink) => forwarders.find(({ id }) => id === sink)?.outages.list(),
  };
}
