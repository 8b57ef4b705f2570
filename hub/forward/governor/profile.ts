import type { Budget, BudgetLimits } from '../../core/budget.ts';
import { isLimited } from '../../core/budget.ts';
import type { GovernorRecord } from '../../log/governor-record.ts';
import { Allowance } from './allowance.ts';
import { DAY, MONTH, Period } from './period.ts';

/** What the limits outside of `networks` are called. */
export const DEFAULT_PROFILE = 'default';

/** The limits for one kind of network, and what was sent under them. */
export interface Profile {
  readonly name: string;
  readonly matches: (networkInterface: string) => boolean;
  readonly limits: BudgetLimits;
  readonly limited: boolean;
  readonly day: Period;
  readonly month: Period;
  readonly bytes: Allowance | undefined;
  readonly events: Allowance | undefined;
}

/** One for each entry of `networks`, in their order, and the default one last. */
export function profilesOf(
  budget: Budget,
  saved: GovernorRecord | undefined,
  wasOff: boolean,
  nowMs: number,
): readonly Profile[] {
  const profile = (
    name: string,
    matches: (networkInterface: string) => boolean,
    limits: BudgetLimits,
    limited: boolean,
  ): Profile => {
    const kept = saved?.profiles[name];
    const { bytesPerSecondMax, eventsPerSecondMax } = limits;
    return {
      name,
      matches,
      limits,
      limited,
      day: new Period(DAY, kept?.day, wasOff),
      month: new Period(MONTH, kept?.month, wasOff),
      bytes: bytesPerSecondMax === undefined ? undefined : new Allowance(bytesPerSecondMax, nowMs),
      events:
        eventsPerSecondMax === undefined ? undefined : new Allowance(eventsPerSecondMax, nowMs),
    };
  };
  return [
    ...budget.networks.map((network) =>
      profile(
        network.interface,
        interfaceMatcher(network.interface),
        network,
        !network.unlimited && isLimited(network),
      ),
    ),
    profile(DEFAULT_PROFILE, () => true, budget, isLimited(budget)),
  ];
}

/** `eth*` → a test for names of interfaces. */
function interfaceMatcher(pattern: string): (name: string) => boolean {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[^\w]/g, '\\$&'));
  const form = new RegExp(`^${parts.join('.*')}$`);
  return (name) => form.test(name);
}

/**
 * The profile for the interface that is used now. While that is not known the limits count that
 * were set for what is not named, and without any the first that there are: a guess must not cost
 * money.
 */
export function profileFor(
  profiles: readonly Profile[],
  networkInterface: string | undefined,
): Profile | undefined {
  const fallback = profiles.at(-1);
  if (networkInterface !== undefined) {
    return profiles.find((profile) => profile.matches(networkInterface));
  }
  return fallback?.limited ? fallback : profiles.find(({ limited }) => limited);
}
