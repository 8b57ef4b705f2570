import type { Clock } from '../core/clock.ts';
import { sumOfLost } from '../core/lost-counts.ts';
import type { SinkLaneStatus, SinkStatus } from '../core/status.ts';
import { etaSeconds } from './eta.ts';
import type { Link } from './link.ts';

/** Events per second that are settled and that come in. */
interface Flow {
  readonly link: Link;
  readonly settled: number;
  readonly ingest: number;
}

type LinkPart = Pick<SinkStatus, 'state' | 'detail' | 'retryAtMs'>;
type LedgerPart = Pick<
  SinkStatus,
  'lanes' | 'lagEvents' | 'etaSeconds' | 'deliveredEvents' | 'filteredEvents' | 'lostEvents'
>;

/** The link, and what it is about, for people. */
export function linkStatus(link: Link, detail: string | undefined, clock: Clock): LinkPart {
  const waiting = link.state === 'backoff' || link.state === 'halted';
  return {
    state: link.state,
    ...(detail === undefined ? {} : { detail }),
    ...(waiting ? { retryAtMs: clock.wallMs() + link.untilMs - clock.monotonicMs() } : {}),
  };
}

/** The outgoing side of the ledger, and how long the rest of it takes. */
export function ledgerStatus(
  lanes: readonly SinkLaneStatus[],
  { link, settled, ingest }: Flow,
  lingerMs: number,
): LedgerPart {
  const sum = { lagEvents: 0, deliveredEvents: 0, filteredEvents: 0, lostEvents: 0 };
  for (const { queued, delivered, filtered, lost } of lanes) {
    sum.lagEvents += queued;
    sum.deliveredEvents += delivered;
    sum.filteredEvents += filtered;
    sum.lostEvents += sumOfLost(lost);
  }
  const moving = link.state === 'reading' || link.state === 'sending';
  const rate = moving ? { settled, ingest } : { settled: 0, ingest: 0 };
  return {
    ...sum,
    lanes,
    etaSeconds: etaSeconds(sum.lagEvents, rate.settled, rate.ingest, lingerMs),
  };
}
