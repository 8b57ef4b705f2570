/**
 * Keeps what one sink sends within what the user has set: bytes per day and per month, windows, a
 * rate; by network interface.
 *
 * Invariants:
 * - no socket and no timer is in here: what goes over the wire is told with `sent`, time is asked
 *   for, the interface too;
 * - all bytes are counted, also those of lanes that are exempt and of tries that failed;
 * - what was reserved counts as used until it is released: requests side by side cannot each take
 *   the same rest of a budget;
 * - nothing waits for ever: one event that is larger than a whole budget goes when nothing was
 *   delivered in the period and the budget is not used up.
 */
import type { Budget } from '../../core/budget.ts';
import type { Lane } from '../../core/event.ts';
import { sizeText } from '../../core/size-text.ts';
import type { BudgetUse, GovernorStatus, HoldReason } from '../../core/status.ts';
import type { GovernorRecord } from '../../log/governor-record.ts';
import { Calendar } from './calendar.ts';
import type { Period } from './period.ts';
import { type Profile, profileFor, profilesOf } from './profile.ts';

/** What a hub that is not stopped properly finds counted too much, as a share of a day's budget. */
const LEAD_SHARE = 0.01;
const MONTH_DAYS = 30;
/** Less than this share of a budget is not worth cutting a batch for. */
const WORTH_SHARE = 0.01;
/** A window that never opens is looked at again: the time zone rules may be new. */
const NEVER_OPEN_MS = 3_600_000;

export interface GovernorClock {
  readonly bootId: string;
  /** Corrected as far as is known. */
  wallMs(): number;
  monotonicMs(): number;
  /** Whether days and months are known: false while something should keep time and does not. */
  calendarKnown(): boolean;
}

export interface GovernorOptions {
  readonly budget: Budget;
  readonly clock: GovernorClock;
  /** The interface that the route to the far side leaves by, if it is known. */
  networkInterface(): string | undefined;
  readonly saved: GovernorRecord | undefined;
}

/** Why something may not be sent now. */
export interface Hold {
  readonly reason: HoldReason;
  /** Ask again then; on the monotonic clock. */
  readonly untilMs: number;
  /** For people. */
  readonly detail: string;
}

/** What was held back last: it is asked for again. */
interface Asked {
  readonly bytes: number;
  readonly whole: boolean;
}

interface Now {
  readonly wallMs: number;
  readonly monotonicMs: number;
  readonly calendarKnown: boolean;
}

type Kind = 'day' | 'month';

export class Governor {
  readonly #options: GovernorOptions;
  readonly #calendar: Calendar;
  readonly #profiles: readonly Profile[];
  /** The size of what was held back last, by lane. */
  readonly #held = new Map<Lane, Asked>();
  #reserved = 0;
  #advancedMs: number;
  #windowChange = { profile: '', askedMs: 0, atMs: 0, open: false, never: false };

  constructor(options: GovernorOptions) {
    const { budget, clock, saved } = options;
    this.#options = options;
    this.#calendar = new Calendar(budget.timezone, budget.monthStartsOn);
    const nowMs = clock.monotonicMs();
    const sameBoot = saved?.bootId === clock.bootId && saved.monotonicMs <= nowMs;
    this.#advancedMs = saved && sameBoot ? saved.monotonicMs : nowMs;
    this.#profiles = profilesOf(budget, saved, !sameBoot, nowMs);
    this.#advance();
  }

  /**
   * What keeps a request of `bytes` from being sent now; undefined when nothing does. `whole`: it
   * cannot be cut into smaller ones.
   */
  hold(lane: Lane, bytes: number, whole = false): Hold | undefined {
    const now = this.#advance();
    const profile = this.#profile();
    const hold = this.#isFree(lane, profile)
      ? undefined
      : this.#strictest(profile, { bytes, whole }, now);
    if (hold) this.#held.set(lane, { bytes, whole });
    else this.#held.delete(lane);
    return hold;
  }

  /** The same for what belongs to no lane: connecting, asking how the far side is. */
  holdConnecting(bytes: number): Hold | undefined {
    const now = this.#advance();
    const profile = this.#profile();
    return profile?.limited ? this.#strictest(profile, { bytes, whole: false }, now) : undefined;
  }

  /** What a request may weigh now; 0 when it is hardly anything, Infinity without a limit. */
  remainingBytes(lane: Lane): number {
    const now = this.#advance();
    const profile = this.#profile();
    if (this.#isFree(lane, profile)) return Number.POSITIVE_INFINITY;
    if (!this.#calendar.isOpen(profile.limits.windows, now.wallMs)) return 0;
    let left = Number.POSITIVE_INFINITY;
    for (const kind of ['day', 'month'] as const) {
      const limit = limitOf(profile, kind);
      if (limit === undefined) continue;
      const rest = limit - profile[kind].usedBytes - this.#reserved;
      left = Math.min(left, rest < limit * WORTH_SHARE ? 0 : rest);
    }
    return left;
  }

  /** A request of about `bytes` is under way until the function that it answers is called. */
  reserve(bytes: number): () => void {
    this.#reserved += bytes;
    let held = bytes;
    return () => {
      this.#reserved -= held;
      held = 0;
    };
  }

  /** So much went over the wire. Without a lane: connecting, asking how the far side is. */
  sent(lane: Lane | undefined, bytes: number, events: number): void {
    const { monotonicMs } = this.#advance();
    const profile = this.#profile();
    if (!profile) return;
    const counts = lane !== undefined && !this.#options.budget.exempt.includes(lane);
    for (const period of [profile.day, profile.month]) period.add(bytes, counts && events > 0);
    profile.bytes?.take(bytes, monotonicMs);
    profile.events?.take(events, monotonicMs);
  }

  /**
   * To be kept. `ahead`: while the hub runs a little is counted in advance, so that whoever kills
   * it again and again does not get a new budget each time.
   */
  record({ ahead }: { readonly ahead: boolean }): GovernorRecord {
    const { monotonicMs } = this.#advance();
    const profiles = this.#profiles.map((profile) => {
      const lead = ahead ? leadOf(profile) : 0;
      return [profile.name, { day: profile.day.record(lead), month: profile.month.record(lead) }];
    });
    const { bootId } = this.#options.clock;
    return { bootId, monotonicMs, profiles: Object.fromEntries(profiles) };
  }

  /** Times are on the wall clock. */
  status(): GovernorStatus | undefined {
    const now = this.#advance();
    const { budget, networkInterface } = this.#options;
    const profile = this.#profile();
    if (!profile) return undefined;
    const held = [...this.#held].flatMap(([lane, asked]) => {
      const hold = this.#isFree(lane, profile) ? undefined : this.#strictest(profile, asked, now);
      if (!hold) return [];
      return { ...hold, lane, untilMs: Math.round(now.wallMs + hold.untilMs - now.monotonicMs) };
    });
    return {
      profile: profile.name,
      interface: networkInterface() ?? null,
      unlimited: !profile.limited,
      day: this.#use(profile, 'day', now),
      month: this.#use(profile, 'month', now),
      window: this.#windowStatus(profile, now),
      exempt: budget.exempt,
      held,
    };
  }

  #isFree(lane: Lane, profile: Profile | undefined): profile is undefined {
    return !profile?.limited || this.#options.budget.exempt.includes(lane);
  }

  #profile(): Profile | undefined {
    return profileFor(this.#profiles, this.#options.networkInterface());
  }

  /** Of all that holds it back, what does so longest. */
  #strictest(profile: Profile, asked: Asked, now: Now): Hold | undefined {
    const holds = [
      this.#windowHold(profile, now),
      this.#budgetHold(profile, 'day', asked, now),
      this.#budgetHold(profile, 'month', asked, now),
      this.#rateHold(profile, now),
    ];
    return holds.reduce((longest, hold) =>
      !longest || (hold && hold.untilMs > longest.untilMs) ? hold : longest,
    );
  }

  #windowHold(profile: Profile, now: Now): Hold | undefined {
    const { windows } = profile.limits;
    if (windows.length === 0) return undefined;
    const { open, atMs } = this.#nextChange(profile, now);
    if (open) return undefined;
    const untilMs = now.monotonicMs + Math.max(1, atMs - now.wallMs);
    const until = this.#calendar.text(atMs, now.wallMs);
    const detail = `held until ${until}: outside of the window ${windowsText(profile)}`;
    return { reason: 'window', untilMs, detail };
  }

  #budgetHold(profile: Profile, kind: Kind, asked: Asked, now: Now): Hold | undefined {
    const limit = limitOf(profile, kind);
    if (limit === undefined) return undefined;
    const { bytes, whole } = asked;
    const period = profile[kind];
    const used = period.usedBytes + this.#reserved;
    if (used + bytes <= limit) return undefined;
    if (whole && bytes > limit && !period.delivered && used < limit) return undefined;
    const remainingMs = Math.max(1, this.#remainingMs(period, kind, now));
    const until = this.#calendar.text(now.wallMs + remainingMs, now.wallMs);
    const left = sizeText(Math.max(0, limit - used));
    const detail =
      `held until ${until}: ${left} are left of ${sizeText(limit)} a ${kind}, ` +
      `the next batch has ${sizeText(bytes)}`;
    const reason = kind === 'day' ? 'budget_day' : 'budget_month';
    return { reason, untilMs: now.monotonicMs + remainingMs, detail };
  }

  #rateHold({ bytes, events }: Profile, { monotonicMs }: Now): Hold | undefined {
    const readyMs = Math.max(
      bytes?.readyMs(monotonicMs) ?? monotonicMs,
      events?.readyMs(monotonicMs) ?? monotonicMs,
    );
    if (readyMs <= monotonicMs) return undefined;
    return { reason: 'rate', untilMs: readyMs, detail: 'held back to keep the maximum rate' };
  }

  #use(profile: Profile, kind: Kind, now: Now): BudgetUse {
    return {
      usedBytes: Math.round(profile[kind].usedBytes),
      limitBytes: limitOf(profile, kind) ?? null,
      resetsAtMs: Math.round(now.wallMs + this.#remainingMs(profile[kind], kind, now)),
    };
  }

  #remainingMs(period: Period, kind: Kind, { calendarKnown, wallMs }: Now): number {
    const next = (after: number) =>
      kind === 'day' ? this.#calendar.nextDayStart(after) : this.#calendar.nextMonthStart(after);
    return period.remainingMs(next, calendarKnown ? wallMs : undefined);
  }

  #windowStatus(profile: Profile, now: Now): GovernorStatus['window'] {
    if (profile.limits.windows.length === 0) return null;
    const { open, atMs, never } = this.#nextChange(profile, now);
    return { text: windowsText(profile), open, changesAtMs: never ? null : atMs };
  }

  /** Looking a week ahead takes a moment: what was found counts until then. */
  #nextChange(profile: Profile, { wallMs }: Now) {
    const { windows } = profile.limits;
    const known = this.#windowChange;
    const current =
      known.profile === profile.name && wallMs >= known.askedMs && wallMs < known.atMs;
    if (!current) {
      const open = this.#calendar.isOpen(windows, wallMs);
      const changeMs = this.#calendar.nextChange(windows, wallMs);
      const atMs = changeMs ?? wallMs + NEVER_OPEN_MS;
      const never = changeMs === undefined;
      this.#windowChange = { profile: profile.name, askedMs: wallMs, atMs, open, never };
    }
    return this.#windowChange;
  }

  #advance(): Now {
    const { clock } = this.#options;
    const now = {
      wallMs: clock.wallMs(),
      monotonicMs: clock.monotonicMs(),
      calendarKnown: clock.calendarKnown(),
    };
    const deltaMs = Math.max(0, now.monotonicMs - this.#advancedMs);
    this.#advancedMs = now.monotonicMs;
    const { wallMs, calendarKnown } = now;
    const day = calendarKnown ? { wallMs, startMs: this.#calendar.dayStart(wallMs) } : undefined;
    const month = calendarKnown
      ? { wallMs, startMs: this.#calendar.monthStart(wallMs) }
      : undefined;
    for (const profile of this.#profiles) {
      profile.day.advance(deltaMs, day, limitOf(profile, 'day'));
      profile.month.advance(deltaMs, month, limitOf(profile, 'month'));
    }
    return now;
  }
}

function limitOf({ limits }: Profile, kind: Kind): number | undefined {
  return kind === 'day' ? limits.bytesPerDay : limits.bytesPerMonth;
}

function windowsText({ limits }: Profile): string {
  return limits.windows.map(({ text }) => text).join(', ');
}

function leadOf({ limits: { bytesPerDay, bytesPerMonth } }: Profile): number {
  const aDay = bytesPerDay ?? (bytesPerMonth ?? 0) / MONTH_DAYS;
  return Math.ceil(aDay * LEAD_SHARE);
}
