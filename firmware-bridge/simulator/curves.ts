const DAY_HOURS = 24;

/**
 * Hour of the day in local time, with its fraction: the curves should follow the user's own sun.
 */
export function hourOfDay(timeMs: number): number {
  const date = new Date(timeMs);
  return date.getHours() + date.getMinutes() / 60 + date.getSeconds() / 3600;
}

/** 1 at `peakHour`, -1 twelve hours from it. */
export function dayCurve(timeMs: number, peakHour: number): number {
  return Math.cos(((hourOfDay(timeMs) - peakHour) / DAY_HOURS) * 2 * Math.PI);
}

/** 0 at night, 1 at noon between `sunrise` and `sunset` (hours). */
export function sunCurve(timeMs: number, sunrise: number, sunset: number): number {
  const share = (hourOfDay(timeMs) - sunrise) / (sunset - sunrise);
  return share <= 0 || share >= 1 ? 0 : Math.sin(share * Math.PI);
}

/** Where `timeMs` is in a cycle of `periodMs`, in [0, 1); `phase` moves devices apart. */
export function cycle(timeMs: number, periodMs: number, phase: number): number {
  const position = timeMs / periodMs + phase;
  return position - Math.floor(position);
}

/** How much of the deviation is left after one reading: sensors drift, they do not jump. */
const DRIFT_KEPT = 0.95;
/** With it two of three deviations are within a third of the amplitude. */
const STEP_SHARE = 0.2;

/** Noise that drifts around 0 and never exceeds `amplitude`. */
export function driftingNoise(amplitude: number, random: () => number): () => number {
  let deviation = 0;
  return () => {
    deviation = DRIFT_KEPT * deviation + STEP_SHARE * amplitude * (2 * random() - 1);
    return Math.max(-amplitude, Math.min(amplitude, deviation));
  };
}
