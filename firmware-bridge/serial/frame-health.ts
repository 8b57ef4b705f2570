import type { BadFrameReason } from '../../hub/core/bridge.ts';

/** Fewer say nothing: the first frame after opening is often half of one. */
const JUDGED_FRAMES_MIN = 4;

const WIRE = 'check `baud_rate`, `parity`, `framing` and `checksum`';
const ADVICE: Readonly<Partial<Record<BadFrameReason, string>>> = {
  format: 'check `format` and what belongs to it',
  topic: 'check `topic`: a name in it is no field of the frames',
};

/** A line of the log for a bad frame. */
export function warningOf(reason: BadFrameReason): string {
  if (reason === 'partial')
    return `half a frame is left out, as is usual when a port is opened; when it goes on, ${WIRE}`;
  return `frames from the port cannot be used: ${ADVICE[reason] ?? WIRE}`;
}

/** Whether what comes from a port can be used, in words for the status. */
export class FrameHealth {
  readonly #port: string;
  #good = 0;
  readonly #bad = new Map<BadFrameReason, number>();

  constructor(port: string) {
    this.#port = port;
  }

  good(): void {
    this.#good++;
  }

  bad(reason: BadFrameReason, count: number): void {
    this.#bad.set(reason, (this.#bad.get(reason) ?? 0) + count);
  }

  /** What to say of the frames since the last judgement; undefined when it is too early for one. */
  judge(): { readonly detail: string | undefined } | undefined {
    const reasons = [...this.#bad].sort(([, a], [, b]) => b - a);
    const bad = reasons.reduce((sum, [, count]) => sum + count, 0);
    const good = this.#good;
    if (good + bad < JUDGED_FRAMES_MIN) return undefined;
    this.#good = 0;
    this.#bad.clear();
    const [[most] = []] = reasons;
    if (most === undefined || bad <= good) return { detail: undefined };
    const advice = ADVICE[most] ?? WIRE;
    return { detail: `${this.#port}: most frames cannot be used (${most}): ${advice}` };
  }
}
