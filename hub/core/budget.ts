import type { Lane } from './event.ts';
import type { TimeWindow } from './time-window.ts';

/** What a sink may send, as far as it is limited. */
export interface BudgetLimits {
  readonly bytesPerDay?: number | undefined;
  readonly bytesPerMonth?: number | undefined;
  /** Open at least one of them; empty: always. */
  readonly windows: readonly TimeWindow[];
  readonly bytesPerSecondMax?: number | undefined;
  readonly eventsPerSecondMax?: number | undefined;
}

/** Limits that stand in the place of all others while the route leaves by such an interface. */
export interface NetworkBudget extends BudgetLimits {
  /** A name, with `*` for any characters: `eth*`. */
  readonly interface: string;
  readonly unlimited: boolean;
}

/** What the user lets one sink send. */
export interface Budget extends BudgetLimits {
  /** Lanes that are counted and never held back. */
  readonly exempt: readonly Lane[];
  /** IANA name; undefined: that of the machine. */
  readonly timezone?: string | undefined;
  /** Day of the month, from 1; the last day of a month that has fewer. */
  readonly monthStartsOn: number;
  /** The first that matches counts. */
  readonly networks: readonly NetworkBudget[];
}

/** Whether there is anything that it could hold back. */
export function isLimited(limits: BudgetLimits): boolean {
  return (
    limits.windows.length > 0 ||
    limits.bytesPerDay !== undefined ||
    limits.bytesPerMonth !== undefined ||
    limits.bytesPerSecondMax !== undefined ||
    limits.eventsPerSecondMax !== undefined
  );
}
