import type { BridgeContext } from '../../hub/core/bridge.ts';
import type { Message } from '../../hub/core/event.ts';

/** Since when there are no readings, and why; told once, when they are back. */
export class Absence {
  #began: { readonly monotonicMs: number; readonly reason: string } | undefined;
  #failures = 0;

  failed({ clock }: BridgeContext, reason: string): void {
    this.#began ??= { monotonicMs: clock.monotonicMs(), reason };
    this.#failures++;
  }

  /** The event of the gap that is over now; none when there was no gap. */
  over({ id, clock }: BridgeContext): Omit<Message, 'source'>[] {
    const began = this.#began;
    const failures = this.#failures;
    this.#began = undefined;
    this.#failures = 0;
    if (!began) return [];
    const nowMs = clock.wallMs();
    const lengthMs = Math.round(clock.monotonicMs() - began.monotonicMs);
    const event = {
      bridge: id,
      // the wall clock may have been put right since
      from: new Date(nowMs - lengthMs).toISOString(),
      to: new Date(nowMs).toISOString(),
      lengthMs,
      failures,
      reason: began.reason,
    };
    const payload = Buffer.from(JSON.stringify(event));
    return [{ topic: `holdfast/bridge/${id}`, payload, kind: 'hub.health' }];
  }
}
