/**
 * Decides when a group of events is written: how long it waits for company.
 *
 * Every write costs the card a page of 4 KiB at least, so a steady trickle is gathered. A client
 * that sends the next event only after the answer to the last one would be slowed to a crawl by
 * that, so its groups are brief. The two are told apart from outside, by time alone.
 *
 * Invariants:
 * - a group is written at the latest `waitMs` of its profile after its first event;
 * - a group that fills `fillBytes` or `fillEvents`, or holds an urgent event, waits for BRIEF_MS at
 *   most: enough for the rest of a burst;
 * - a client that waits for each answer, alone or beside a trickle, gets brief groups after a few
 *   long ones; beside a stream of more than about 50 a second it is not told from the stream, and
 *   is answered with it;
 * - a stream that does not wait does not keep brief groups for long: they are doubted on entry and
 *   again and again, by a group that stays open long enough to see who comes without an answer;
 * - time comes in from outside and nothing here has a timer: the same calls give the same answers.
 */

/** How long a group may gather, and what counts as enough, by commit profile. See docs/log.md. */
export const PROFILES = {
  latency: { waitMs: 0, fillBytes: 0, fillEvents: 0 },
  // below a page every write costs a page; 64 events share it well enough
  balanced: { waitMs: 250, fillBytes: 4 * 1024, fillEvents: 64 },
  // deflated, 16 KiB of JSON are about a page
  card: { waitMs: 1_000, fillBytes: 16 * 1024, fillEvents: 256 },
} as const;
export type CommitProfile = keyof typeof PROFILES;

/** Two packets of one burst, or the answers of several clients, come within this. */
export const BRIEF_MS = 5;
/** An event later than this in a group is not part of the burst that opened it. */
const LATE_MS = 8;
/** Between answer and next event: a shell that starts a program for each event takes 5 to 40 ms. */
const PROMPT_MS = 50;
/** Who has answered promptly and is alone for this long waits for us. */
const QUIET_MS = 150;
/** Long enough for two events of a stream of 18 a second, the slowest that looks prompt. */
const PROBE_MS = 120;
/** The groups in which brief groups are doubted: soon, as it may be a mistake, and then rarely. */
const PROBES_FIRST = [4, 16];
const PROBE_EVERY = 128;
/**
 * What comes late in a probe is the stream; from this share of all events on it is not worth it.
 */
const STREAM_SHARE = 0.6;
/** An answer is suspiciously prompt when by chance it would be so in one group of four or five. */
const CHANCE_SHARE = 0.25;
/** Suspicious groups in a row beside a trickle. Doubled each time when it was a mistake. */
const SUSPICIONS_MIN = 4;
const SUSPICIONS_MAX = 32;

/** What a group is in for. `alone`: nothing else was unacknowledged when its first event came. */
export interface Gathered {
  readonly startedMs: number;
  readonly kind: 'full' | 'brief' | 'probe';
  readonly prompt: boolean;
  /** Events that came later than the burst at its beginning. */
  late: number;
  events: number;
  /** Need not gather any longer. */
  enough: boolean;
  /** Somebody has asked for it: what it was in for cannot be seen. */
  urgent: boolean;
}

type Mode =
  | { readonly kind: 'full'; suspicions: number }
  | { readonly kind: 'brief'; groups: number; sinceMs: number; events: number };

export class Gathering {
  readonly #limits: (typeof PROFILES)[CommitProfile];
  #mode: Mode = { kind: 'full', suspicions: 0 };
  #suspicionsNeeded = SUSPICIONS_MIN;
  #acknowledgedMs = Number.NEGATIVE_INFINITY;
  /** From the last acknowledgement to the first event after it; undefined until that comes. */
  #gapMs: number | undefined;

  constructor(profile: CommitProfile) {
    this.#limits = PROFILES[profile];
  }

  /** A group begins with its first event, which is then to be `joined`. */
  opened(nowMs: number, alone: boolean): Gathered {
    const gapMs = nowMs - this.#acknowledgedMs;
    const kind = this.#kindOf(nowMs, alone && gapMs > PROMPT_MS);
    const prompt = alone && gapMs <= PROMPT_MS;
    const enough = this.#limits.waitMs === 0;
    return { startedMs: nowMs, kind, prompt, late: 0, events: 0, enough, urgent: false };
  }

  /** An event has come; the group has `bytes` now. Need not be called once it is `enough`. */
  joined(group: Gathered, nowMs: number, bytes: number, urgent: boolean): void {
    this.#gapMs ??= nowMs - this.#acknowledgedMs;
    group.events += 1;
    if (nowMs - group.startedMs > LATE_MS) group.late += 1;
    const { fillBytes, fillEvents } = this.#limits;
    group.urgent ||= urgent;
    if (urgent || bytes >= fillBytes || group.events >= fillEvents) group.enough = true;
  }

  /** When it should be written, as far as is known now. Later events may bring it forward. */
  dueMs(group: Gathered): number {
    const { waitMs } = this.#limits;
    return group.startedMs + Math.min(waitMs, this.#wantedMs(group));
  }

  #wantedMs(group: Gathered): number {
    if (group.enough || group.kind === 'brief') return BRIEF_MS;
    if (group.kind === 'probe') return PROBE_MS;
    return group.prompt && group.late === 0 ? QUIET_MS : Number.POSITIVE_INFINITY;
  }

  /** It takes no more. `events` in all, also those that were not `joined`. */
  closed(group: Gathered, nowMs: number, events: number): void {
    const mode = this.#mode;
    if (mode.kind === 'full') {
      if (group.kind === 'full' && !group.urgent) this.#suspect(mode, group, nowMs);
      return;
    }
    if (group.kind === 'probe') {
      if (group.urgent)
        mode.groups -= 1; // then the next one is it
      else if (this.#isStream(mode, group, nowMs)) this.#gatherAgain(true);
    }
    mode.events += events;
  }

  /** Everything that had been written by now is acknowledged. */
  acknowledged(nowMs: number): void {
    this.#acknowledgedMs = nowMs;
    this.#gapMs = undefined;
  }

  #kindOf(nowMs: number, idle: boolean): Gathered['kind'] {
    const mode = this.#mode;
    if (mode.kind === 'full') return 'full';
    if (idle) {
      this.#gatherAgain(mode.groups < Math.min(...PROBES_FIRST));
      return 'full';
    }
    mode.groups += 1;
    if (mode.groups === 1) mode.sinceMs = nowMs;
    const doubted = PROBES_FIRST.includes(mode.groups) || mode.groups % PROBE_EVERY === 0;
    return doubted ? 'probe' : 'brief';
  }

  #suspect(mode: Mode & { kind: 'full' }, group: Gathered, nowMs: number): void {
    const lastedMs = nowMs - group.startedMs;
    const quietMs = Math.min(QUIET_MS, this.#limits.waitMs);
    // who comes promptly and then not at all, for as long as nobody answers, waits for the answer
    if (group.prompt && group.late === 0 && lastedMs >= quietMs - 1) {
      this.#beBrief();
      return;
    }
    const spacingMs = (lastedMs - LATE_MS) / group.late;
    const gapMs = this.#gapMs ?? Number.POSITIVE_INFINITY;
    const suspicious = group.late > 0 && gapMs <= Math.min(PROMPT_MS, spacingMs * CHANCE_SHARE);
    mode.suspicions = suspicious ? mode.suspicions + 1 : 0;
    if (mode.suspicions >= this.#suspicionsNeeded) this.#beBrief();
  }

  /** Whether those who come without an answer are (nearly) all that come. */
  #isStream(mode: Mode & { kind: 'brief' }, group: Gathered, nowMs: number): boolean {
    const streamPerMs = group.late / Math.max(1, nowMs - group.startedMs - LATE_MS);
    const allPerMs = mode.events / Math.max(1, group.startedMs - mode.sinceMs);
    if (group.late > 0 && streamPerMs >= allPerMs * STREAM_SHARE) return true;
    this.#suspicionsNeeded = SUSPICIONS_MIN;
    mode.sinceMs = group.startedMs;
    mode.events = 0;
    return false;
  }

  #beBrief(): void {
    this.#mode = { kind: 'brief', groups: 0, sinceMs: 0, events: 0 };
  }

  #gatherAgain(mistaken: boolean): void {
    this.#mode = { kind: 'full', suspicions: 0 };
    if (mistaken) this.#suspicionsNeeded = Math.min(SUSPICIONS_MAX, this.#suspicionsNeeded * 2);
  }
}
