/** A sink that keeps up always has a second's work under way; that is no backlog. */
const KEEPING_UP_S = 1;
/** Longer than this is no answer. */
const ETA_S_MAX = 365 * 24 * 3600;

/** Seconds until `lagEvents` are drained; null when they are not. Rates are per second. */
export function etaSeconds(
  lagEvents: number,
  settledRate: number,
  ingestRate: number,
  lingerMs: number,
): number | null {
  if (lagEvents === 0) return 0;
  const keepsUp = lagEvents <= settledRate * (KEEPING_UP_S + lingerMs / 1000);
  const seconds = lagEvents / (keepsUp ? settledRate : settledRate - ingestRate);
  return seconds > 0 && seconds <= ETA_S_MAX ? seconds : null;
}
