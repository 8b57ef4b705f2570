/**
 * From what is known of each boot's clocks to the time of anything that happened in it.
 *
 * Invariants (what is read from the log in the order of its offsets has ascending times):
 * - within a boot the time is a non-decreasing function of the monotonic clock: between two points
 *   it goes on at the speed of the clock (or is stretched by at most `DRIFT_MAX`), forward steps
 *   are jumps, and before a point nothing is later than the point: what is learned later is right;
 * - across boots no time is earlier than the end of the boot before, nor later than the first sure
 *   time of a boot after it; a lane is written boot after boot;
 * - a boot that was ever synchronised is placed by its sure points alone. One that never was keeps
 *   its own durations and is moved as little as its neighbours ask.
 */

/** A moment at which both clocks were looked at. */
export interface ClockPoint {
  readonly monotonicMs: number;
  /** Wall clock minus monotonic clock. */
  readonly offsetMs: number;
  /** Whether the wall clock was synchronised. */
  readonly sure: boolean;
}

/** What is known of the clocks of one boot of the machine. */
export interface BootRecord {
  readonly id: string;
  /** Boots in their order; monotonic clocks of two boots say nothing about it. */
  readonly number: number;
  readonly firstMonotonicMs: number;
  readonly lastMonotonicMs: number;
  /** Ascending, never empty. */
  readonly points: readonly ClockPoint[];
}

/**
 * No hub of this kind ran before: a wall clock that says so is wrong. Moved on with a release.
 */
export const RELEASED_MS = Date.UTC(2026, 0, 1);

/**
 * A crystal is off by at most 100 ppm, and the kernel steers it by at most 500 ppm. Two points
 * that differ by more lie on both sides of a step.
 */
const DRIFT_MAX = 0.0005;
/** Far below what clocks show; keeps the sum of two floats from counting as one ms more. */
const ROUNDING_MS = 0.01;

/** The wall clock's view of one boot by its points: see the invariants. */
class Curve {
  readonly #points: readonly ClockPoint[];
  /** The earliest time of the points from an index on: nothing before it may be later. */
  readonly #caps: readonly number[];

  constructor(points: readonly ClockPoint[]) {
    this.#points = points;
    const caps: number[] = [];
    let cap = Number.POSITIVE_INFINITY;
    for (const point of points.toReversed()) {
      cap = Math.min(cap, timeOf(point));
      caps.unshift(cap);
    }
    this.#caps = caps;
  }

  at(monotonicMs: number): number {
    const points = this.#points;
    let index = points.length - 1; // the newest is what is asked for most
    while (index > 0 && (points[index]?.monotonicMs ?? 0) > monotonicMs) index--;
    const point = points[index];
    if (!point) return Number.NaN;
    if (monotonicMs < point.monotonicMs) {
      return Math.min(monotonicMs + point.offsetMs, this.#caps[index] ?? Number.POSITIVE_INFINITY);
    }
    const next = points[index + 1];
    const time = monotonicMs + point.offsetMs + (next ? drifted(point, next, monotonicMs) : 0);
    return Math.min(time, this.#caps[index + 1] ?? Number.POSITIVE_INFINITY);
  }
}

function timeOf({ monotonicMs, offsetMs }: ClockPoint): number {
  return monotonicMs + offsetMs;
}

/** What the crystal has lost since `from`, when `to` says that it was the crystal; else 0. */
function drifted(from: ClockPoint, to: ClockPoint, monotonicMs: number): number {
  const spanMs = to.monotonicMs - from.monotonicMs;
  const driftMs = to.offsetMs - from.offsetMs;
  if (spanMs <= 0 || Math.abs(driftMs) > spanMs * DRIFT_MAX) return 0;
  return (driftMs * (monotonicMs - from.monotonicMs)) / spanMs;
}

/** What a boot may not leave, by the boots around it. */
interface Bounds {
  readonly fromMs: number;
  /** The first sure time after it; infinite when there is none. */
  readonly toMs: number;
  /** The same, less what the boots between are known to have lasted. */
  readonly endMs: number;
}

/** The times of one boot, as far as is known now. */
export class BootTimes {
  /** Whether the boot was ever synchronised. */
  readonly sure: boolean;
  /** Whether a later synchronisation can still change its times. */
  readonly provisional: boolean;
  /** How long the boots before this one are known to have lasted, together. */
  readonly poweredMs: number;
  readonly #record: BootRecord;
  readonly #bounds: Bounds;
  readonly #curve: Curve;
  readonly #shiftMs: number;

  constructor(record: BootRecord, bounds: Bounds, poweredMs: number) {
    this.#record = record;
    this.#bounds = bounds;
    this.poweredMs = poweredMs;
    this.sure = isSure(record);
    this.provisional = !this.sure && bounds.toMs === Number.POSITIVE_INFINITY;
    this.#curve = new Curve(believed(record, bounds));
    this.#shiftMs = this.sure ? 0 : this.#shift();
  }

  /** When it was, in whole ms since 1970. */
  at(monotonicMs: number): number {
    const { fromMs, toMs } = this.#bounds;
    const time = this.#curve.at(monotonicMs) + this.#shiftMs;
    return Math.ceil(Math.min(Math.max(time, fromMs), toMs) - ROUNDING_MS);
  }

  /** The latest it can have been, by sure times only; undefined when there are none. */
  latestAt(monotonicMs: number): number | undefined {
    if (this.sure) return this.at(monotonicMs);
    const { toMs, endMs } = this.#bounds;
    if (toMs === Number.POSITIVE_INFINITY) return undefined;
    return endMs - Math.max(0, this.#record.lastMonotonicMs - monotonicMs);
  }

  get lastMs(): number {
    return this.at(this.#record.lastMonotonicMs);
  }

  /** Moves the boot between its neighbours, as a whole: what lay a minute apart still does. */
  #shift(): number {
    const { firstMonotonicMs, lastMonotonicMs } = this.#record;
    const { fromMs, endMs } = this.#bounds;
    const late = Math.max(0, fromMs - this.#curve.at(firstMonotonicMs));
    return late + Math.min(0, endMs - (this.#curve.at(lastMonotonicMs) + late));
  }
}

function isSure({ points }: BootRecord): boolean {
  return points.some(({ sure }) => sure);
}

/**
 * The points that place a boot: the sure ones; without any those that are possible; and when none
 * is, the last one, which is moved.
 */
function believed({ points }: BootRecord, { fromMs, toMs }: Bounds): readonly ClockPoint[] {
  const sure = points.filter((point) => point.sure);
  if (sure.length > 0) return sure;
  const earliestMs = Math.max(fromMs, RELEASED_MS);
  const possible = points.filter((point) => timeOf(point) >= earliestMs && timeOf(point) <= toMs);
  return possible.length > 0 ? possible : points.slice(-1);
}

/** The times of every boot, by its id. `records` ascend by number. */
export function resolveBoots(records: readonly BootRecord[]): ReadonlyMap<string, BootTimes> {
  const bounds = upperBounds(records);
  const resolved = new Map<string, BootTimes>();
  let fromMs = Number.NEGATIVE_INFINITY;
  let poweredMs = 0;
  for (const [index, record] of records.entries()) {
    const { toMs, endMs } = bounds[index] ?? UNBOUNDED;
    const times = new BootTimes(record, { fromMs, toMs, endMs }, poweredMs);
    resolved.set(record.id, times);
    fromMs = times.lastMs;
    poweredMs += record.lastMonotonicMs - record.firstMonotonicMs;
  }
  return resolved;
}

const UNBOUNDED = { toMs: Number.POSITIVE_INFINITY, endMs: Number.POSITIVE_INFINITY };

function upperBounds(records: readonly BootRecord[]): Omit<Bounds, 'fromMs'>[] {
  const bounds: Omit<Bounds, 'fromMs'>[] = [];
  let { toMs, endMs } = UNBOUNDED;
  for (const record of records.toReversed()) {
    bounds.unshift({ toMs, endMs });
    const { points, firstMonotonicMs, lastMonotonicMs } = record;
    if (isSure(record)) {
      const curve = new Curve(points.filter(({ sure }) => sure));
      toMs = Math.min(toMs, curve.at(firstMonotonicMs));
      endMs = toMs;
    } else endMs -= lastMonotonicMs - firstMonotonicMs;
  }
  return bounds;
}
