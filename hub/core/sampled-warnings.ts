/** As much of a pino logger as a warning needs. */
export interface WarnLogger {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export interface SampledWarningsOptions {
  readonly logger: WarnLogger;
  /** Monotonic, in ms. */
  readonly monotonicMs: () => number;
  /** At most one line per key in this time. */
  readonly perKeyMs: number;
  /** At most one line over all keys in this time. Default 0: no such bound. */
  readonly overallMs?: number;
}

/** `fields` is called only when the line is written. */
export type SampledWarn = (
  key: string,
  message: string,
  fields: () => Readonly<Record<string, unknown>>,
) => void;

/**
 * Keys remembered; the longest silent is forgotten first. A kind of trouble more than that is
 * noise.
 */
const KEYS_MAX = 1_000;

/**
 * Warnings about something that can happen to every event: at most one line per key and time, and
 * each line says how many were held back before it (field `heldBack`).
 */
export function sampledWarnings(options: SampledWarningsOptions): SampledWarn {
  const { logger, monotonicMs, perKeyMs, overallMs = 0 } = options;
  const keys = new Map<string, { loggedMs: number; heldBack: number }>();
  let anyLoggedMs = Number.NEGATIVE_INFINITY;
  return (key, message, fields) => {
    const now = monotonicMs();
    const seen = keys.get(key);
    if (now - anyLoggedMs < overallMs || (seen !== undefined && now - seen.loggedMs < perKeyMs)) {
      if (seen === undefined) {
        keys.set(key, { loggedMs: Number.NEGATIVE_INFINITY, heldBack: 1 });
        forgetOldest(keys);
      } else seen.heldBack++;
      return;
    }
    const heldBack = seen?.heldBack ?? 0;
    anyLoggedMs = now;
    keys.delete(key); // to the end of the map: the first one is the longest silent
    keys.set(key, { loggedMs: now, heldBack: 0 });
    forgetOldest(keys);
    if (heldBack === 0) logger.warn({ ...fields() }, message);
    else logger.warn({ ...fields(), heldBack }, `${message} (and ${heldBack} more like it before)`);
  };
}

function forgetOldest(keys: Map<string, unknown>): void {
  if (keys.size <= KEYS_MAX) return;
  for (const key of keys.keys()) {
    keys.delete(key);
    return;
  }
}
