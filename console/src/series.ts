import type { History } from '../../hub/core/status.ts';

/** What the small charts show. */
export const WINDOW_MS = 30 * 60_000;
/** One point for every 3 s of the window: more than a chart of 600 pixels can tell apart. */
const POINTS_MAX = 600;
/** Shorter silences are drawn through: history has one point per 15 s. */
const GAP_MS_MIN = 60_000;
/** A sensor that misses three of its readings has a gap. */
const GAP_INTERVALS = 3.5;

/** Times in seconds since 1970 and values, as uPlot takes them; null is a gap. */
export type ChartData = [number[], (number | null)[]];

/** The last window of one number, bounded: live values are averaged into equal buckets. */
export interface Series {
  /** Changes whenever the data do. */
  readonly version: number;
  readonly length: number;
  append(timeMs: number, value: number): void;
  /** Puts the past before the live part; where both exist, history is the more complete. */
  load(history: Pick<History, 'points' | 'sampled'>): void;
  /** Whether the past is a sample of what there is. */
  readonly sampled: boolean;
  /** Smallest and largest value of the window; undefined when there is none. */
  range(nowMs: number): { readonly min: number; readonly max: number } | undefined;
  chart(nowMs: number): ChartData;
}

interface Point {
  readonly timeMs: number;
  readonly mean: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

function gapMsOf(points: readonly Point[]): number {
  const spacings: number[] = [];
  for (let i = 1; i < points.length; i++)
    spacings.push((points[i]?.timeMs ?? 0) - (points[i - 1]?.timeMs ?? 0));
  spacings.sort((a, b) => a - b);
  const median = spacings[Math.floor(spacings.length / 2)] ?? 0;
  return Math.max(GAP_MS_MIN, GAP_INTERVALS * median);
}

function averaged(last: Point, value: number): Point {
  const count = last.count + 1;
  return {
    timeMs: last.timeMs,
    mean: last.mean + (value - last.mean) / count,
    min: Math.min(last.min, value),
    max: Math.max(last.max, value),
    count,
  };
}

export function boundedSeries(windowMs = WINDOW_MS): Series {
  const bucketMs = windowMs / POINTS_MAX;
  let points: Point[] = [];
  let version = 0;
  let sampled = false;

  const inWindow = (nowMs: number) => points.filter(({ timeMs }) => timeMs >= nowMs - windowMs);

  return {
    get version() {
      return version;
    },
    get sampled() {
      return sampled;
    },
    get length() {
      return points.length;
    },
    append(timeMs, value) {
      if (!Number.isFinite(value)) return;
      const last = points.at(-1);
      if (last && timeMs < last.timeMs) return; // late: the next load of the history has it
      version++;
      if (last && timeMs - last.timeMs < bucketMs) {
        points[points.length - 1] = averaged(last, value);
        return;
      }
      points.push({ timeMs, mean: value, min: value, max: value, count: 1 });
      if (points.length > POINTS_MAX) points.splice(0, points.length - POINTS_MAX);
    },
    load({ points: history, sampled: isSampled }) {
      sampled = isSampled;
      const lastMs = history.at(-1)?.timeMs ?? Number.NEGATIVE_INFINITY;
      points = [...history, ...points.filter(({ timeMs }) => timeMs > lastMs)].slice(-POINTS_MAX);
      version++;
    },
    range(nowMs) {
      const shown = inWindow(nowMs);
      if (shown.length === 0) return undefined;
      return {
        min: Math.min(...shown.map(({ min }) => min)),
        max: Math.max(...shown.map(({ max }) => max)),
      };
    },
    chart(nowMs) {
      const shown = inWindow(nowMs);
      const gapMs = gapMsOf(shown);
      const times: number[] = [];
      const values: (number | null)[] = [];
      let previousMs: number | undefined;
      for (const { timeMs, mean } of shown) {
        if (previousMs !== undefined && timeMs - previousMs > gapMs) {
          times.push((previousMs + 1) / 1000);
          values.push(null);
        }
        times.push(timeMs / 1000);
        values.push(mean);
        previousMs = timeMs;
      }
      return [times, values];
    },
  };
}
