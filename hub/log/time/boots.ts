/**
 * The `boots` table: what is known of the wall clock in each boot of the machine, and so the time
 * of every event. A Pi has no battery clock; what it believed when an event came may be years off.
 *
 * Invariants:
 * - events are never written again: their blocks hold what the clocks said, this table says what it
 *   meant, and `timeOf` is the one place where the two meet. What is learned later counts at once;
 * - the clocks are looked at every second and before each block, so no block begins between a step
 *   of the wall clock and the point that knows it;
 * - a point rides in the write of the first block that relies on it;
 * - without its entry (damaged, or pruned) a boot is unknown: its events keep the time they were
 *   stamped with.
 */
import type { Clock, ClockState } from '../../core/clock.ts';
import type { HubEvent } from '../../core/event.ts';
import { bootKey } from '../keys.ts';
import type { Storage, WriteOperation } from '../storage/storage.ts';
import {
  type Arrival,
  type BlockStamps,
  BootTable,
  bootOperation,
  lastMonotonicMsOf,
  type OpenBoot,
  readBoots,
} from './boot-table.ts';
import { type ClockPoint, RELEASED_MS } from './boot-times.ts';

/** More than this between two looks is a step: a second of slewing moves a clock by 0.5 ms. */
const STEP_MS = 500;
/** Slews add up: the table follows when they have come to this, a tenth of what is promised. */
const FOLLOW_MS = 100;
/** Half a day of a clock that steps every ten minutes; who has more steps has no clock at all. */
const POINTS_MAX = 64;
/** Boots kept although they own no block: neighbours that place those that do. */
const UNUSED_BOOTS_MAX = 32;
/** A Pi that reboots every three minutes for a week. 4,096 boots are about 1 MB. */
const BOOTS_MAX = 4_096;
/** How old the end of a boot on disk may be; opening looks at the last blocks besides. */
const SAVE_INTERVAL_MS = 60_000;

/** What has happened to the clock, for logs. `movedMs`: how far the wall clock was corrected. */
export interface ClockChange {
  readonly change: 'synced' | 'lost' | 'stepped';
  readonly movedMs: number;
}

/** What is known of the clock now. */
export interface ClockFacts {
  /** `unsynced` also when nothing here tells and the clock shows what cannot be. */
  readonly state: ClockState;
  /** What told so: `chrony`. */
  readonly source?: string;
  /** How far the wall clock was moved by the last correction, in ms; 0 when it was right. */
  readonly offsetMs: number;
}

type Look = ClockPoint;
/** Reads the table. `ends` are the last blocks of the lanes: how long the last boot was in use. */
export async function loadBoots(
  storage: Pick<Storage, 'entries'>,
  clock: Clock,
  ends: readonly BlockStamps[],
): Promise<Boots> {
  return new Boots(clock, await readBoots(storage), ends);
}

export class Boots extends BootTable {
  /** For stamping blocks: each reading of its wall clock is a look. */
  readonly stamping: Clock;
  /** Told of what happens to the clock. */
  changed: ((change: ClockChange) => void) | undefined;
  readonly #clock: Clock;
  readonly #startedMs: number;
  readonly #current: OpenBoot;
  /** The last time that some boot before this one knew for sure. */
  readonly #lastSureMs: number;
  #look: Look | undefined;
  #offsetMs = 0;
  #corrections = 0;
  readonly #unsaved = new Set<OpenBoot>();
  #deletions: WriteOperation[] = [];
  #savedMs: number;

  /** Use `loadBoots`. */
  constructor(clock: Clock, records: OpenBoot[], ends: readonly BlockStamps[]) {
    super(records);
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
    this.#savedMs = this.#startedMs;
    this.#noteEnds(ends);
    this.#current = this.#openCurrent();
    this.#lastSureMs = this.records
      .filter(({ id }) => id !== clock.bootId)
      .map(({ id }) => this.timesOf(id))
      .reduce((last, times) => (times?.sure ? Math.max(last, times.lastMs) : last), 0);
    this.stamping = {
      bootId: clock.bootId,
      monotonicMs: () => clock.monotonicMs(),
      wallMs: () => {
        const { monotonicMs, offsetMs } = this.look();
        return Math.round(monotonicMs + offsetMs);
      },
      sync: () => clock.sync(),
      synced: () => this.#look?.sure ?? false,
    };
    this.look();
  }

  /** Looks at the clocks, and learns what is to be learned from them. */
  look(): Look {
    const monotonicMs = rounded(this.#clock.monotonicMs());
    const offsetMs = rounded(this.#clock.wallMs() - monotonicMs);
    const look = { monotonicMs, offsetMs, sure: this.#clock.sync().state === 'synced' };
    const before = this.#look;
    this.#look = look;
    const current = this.#current;
    current.lastMonotonicMs = Math.max(current.lastMonotonicMs, monotonicMs);
    if (look.sure) this.#follow(look, before);
    else if (before?.sure) this.#lost(before);
    else if (!current.points.some(({ sure }) => sure)) this.#followProvisional(look, before);
    return look;
  }

  /** Counts up when events that were read before may have other times by now. */
  get corrections(): number {
    return this.#corrections;
  }

  /** Looks first: whoever goes on because the clock is right must find the times corrected. */
  get facts(): ClockFacts {
    this.look();
    const { state, source } = this.#clock.sync();
    const impossible = this.#clock.wallMs() < Math.max(RELEASED_MS, this.#lastSureMs);
    const known = state === 'unknown' && impossible ? 'unsynced' : state;
    return { state: known, ...(source && { source }), offsetMs: this.#offsetMs };
  }

  /** How old the last event of a block is, at least: see `ageMs`. */
  blockAgeMs(header: BlockStamps): number {
    return this.ageMs({ bootId: header.bootId, monotonicMs: lastMonotonicMsOf(header) });
  }

  /** The event with the time that is known now. */
  retimed(event: HubEvent): HubEvent {
    const time = this.timeOf(event, event.receivedMs, event.timeQuality === 'synced');
    return { ...event, payload: event.payload, ...time };
  }

  /** Whether a synchronisation that is still to come can change the time of such an event. */
  isProvisional({ bootId, timeQuality }: Pick<HubEvent, 'bootId' | 'timeQuality'>): boolean {
    return timeQuality === 'estimated' && (this.timesOf(bootId)?.provisional ?? false);
  }

  /**
   * How long ago that was, at least. Within one boot by the monotonic clock. Across boots by sure
   * times where both ends have one; and never less than what the machine is known to have been
   * running since. A wall clock that jumps while it claims to be synchronised does not make
   * anything older: the lowest now that it ever showed in this boot counts.
   */
  ageMs({ bootId, monotonicMs }: Arrival): number {
    const now = this.#clock.monotonicMs();
    if (bootId === this.#clock.bootId) return now - monotonicMs;
    const record = this.records.find(({ id }) => id === bootId);
    const times = this.timesOf(bootId);
    if (!record || !times) return now - this.#startedMs;
    const poweredMs = (this.timesOf(this.#current.id)?.poweredMs ?? 0) - times.poweredMs;
    const sinceThen = poweredMs - (monotonicMs - record.firstMonotonicMs);
    const runningMs = Math.max(0, sinceThen) + now - this.#current.firstMonotonicMs;
    const latestMs = times.latestAt(monotonicMs);
    const offsets = this.#current.points.filter(({ sure }) => sure).map((point) => point.offsetMs);
    if (latestMs === undefined || offsets.length === 0) return runningMs;
    return Math.max(runningMs, now + Math.min(...offsets) - latestMs);
  }

  /** Something was learned that should not wait for the next event. */
  get hasChanges(): boolean {
    return this.#unsaved.size > 0 || this.#deletions.length > 0;
  }

  /** What has changed since the last call, to be written; the end of this boot now and then. */
  takeOperations(): WriteOperation[] {
    const { lastMonotonicMs } = this.#current;
    if (lastMonotonicMs - this.#savedMs >= SAVE_INTERVAL_MS) this.#unsaved.add(this.#current);
    if (!this.hasChanges) return [];
    this.#savedMs = lastMonotonicMs;
    const operations = [...this.#deletions, ...Array.from(this.#unsaved, bootOperation)];
    this.#deletions = [];
    this.#unsaved.clear();
    return operations;
  }

  /**
   * Forgets boots that no block is of. `heads` are the oldest blocks of the lanes that have any:
   * a lane is written boot after boot, so what is older than all of them owns nothing.
   */
  prune(heads: readonly BlockStamps[]): void {
    if (this.records.length <= UNUSED_BOOTS_MAX) return;
    const numbers = heads.map(({ bootId }) => this.records.find(({ id }) => id === bootId)?.number);
    const used = numbers.map((number) => number ?? 0); // unknown: nothing can be said
    const oldest = Math.min(this.#current.number, ...used);
    const unused = this.records.filter(({ number }) => number < oldest).length;
    const tooMany = Math.max(0, this.records.length - BOOTS_MAX);
    const gone = Math.max(Math.min(unused, this.records.length - UNUSED_BOOTS_MAX), tooMany);
    if (gone <= 0) return;
    for (const record of this.records.splice(0, gone)) {
      this.#unsaved.delete(record);
      this.#deletions.push({ type: 'del', key: bootKey(record.id) });
    }
    this.relearn();
  }

  /** A power cut takes the end of a boot that no write has carried along; its blocks are there. */
  #noteEnds(ends: readonly BlockStamps[]): void {
    for (const header of ends) {
      const record = this.records.find(({ id }) => id === header.bootId);
      const lastMs = lastMonotonicMsOf(header);
      if (!record || lastMs <= record.lastMonotonicMs) continue;
      record.lastMonotonicMs = lastMs;
      this.#unsaved.add(record);
    }
  }

  #openCurrent(): OpenBoot {
    const { bootId } = this.#clock;
    const known = this.records.find(({ id }) => id === bootId);
    if (known) return known;
    const monotonicMs = rounded(this.#startedMs);
    const record: OpenBoot = {
      id: bootId,
      number: (this.records.at(-1)?.number ?? 0) + 1,
      firstMonotonicMs: monotonicMs,
      lastMonotonicMs: monotonicMs,
      points: [{ monotonicMs, offsetMs: rounded(this.#clock.wallMs() - monotonicMs), sure: false }],
    };
    this.records.push(record);
    this.#unsaved.add(record);
    return record;
  }

  /** The clock is synchronised: what it says is so. */
  #follow(look: Look, before: Look | undefined): void {
    const known = this.#current.points.findLast(({ sure }) => sure);
    const movedMs = look.offsetMs - (known ?? this.#current.points[0] ?? look).offsetMs;
    const stepMs = before?.sure ? look.offsetMs - before.offsetMs : 0;
    const regained = before !== undefined && !before.sure;
    if (!known || regained || Math.abs(movedMs) > FOLLOW_MS) this.#learn(look);
    if (!known || regained || Math.abs(stepMs) > STEP_MS) this.#offsetMs = movedMs;
    if (!known || Math.abs(stepMs) > STEP_MS || Math.abs(movedMs) > STEP_MS) this.#corrections++;
    if (!before?.sure) this.changed?.({ change: 'synced', movedMs });
    else if (Math.abs(stepMs) > STEP_MS) this.changed?.({ change: 'stepped', movedMs: stepMs });
  }

  /** Up to `before` the clock was right; from there on time is counted by the monotonic clock. */
  #lost(before: Look): void {
    this.#learn(before);
    this.changed?.({ change: 'lost', movedMs: 0 });
  }

  /** Never synchronised in this boot: what the clock says is all there is. */
  #followProvisional(look: Look, before: Look | undefined): void {
    const known = this.#current.points.at(-1);
    const stepMs = look.offsetMs - (before ?? known ?? look).offsetMs;
    if (!known || Math.abs(look.offsetMs - known.offsetMs) > FOLLOW_MS) this.#learn(look);
    if (Math.abs(stepMs) <= STEP_MS) return;
    this.#corrections++;
    this.changed?.({ change: 'stepped', movedMs: stepMs });
  }

  #learn(point: ClockPoint): void {
    const current = this.#current;
    const earlier = current.points.filter(
      // what was provisional has been replaced; what lies ahead is of a machine that was set back
      ({ monotonicMs, sure }) => monotonicMs < point.monotonicMs && (sure || !point.sure),
    );
    current.points = thinned([...earlier, point]);
    this.#unsaved.add(current);
    this.relearn();
  }
}

/** Gives up the point that says least beside the one before it when there are too many. */
function thinned(points: readonly ClockPoint[]): readonly ClockPoint[] {
  if (points.length <= POINTS_MAX) return points;
  const newsOf = (index: number): number =>
    Math.abs((points[index]?.offsetMs ?? 0) - (points[index - 1]?.offsetMs ?? 0));
  let least = 1;
  for (let index = 2; index < points.length - 1; index++) {
    if (newsOf(index) < newsOf(least)) least = index;
  }
  return points.toSpliced(least, 1);
}

/** To a microsecond: enough for clocks, and short as text. */
function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
