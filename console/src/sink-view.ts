import type { BridgeStatus, SinkStatus } from '../../hub/core/status.ts';
import { heldDetail } from './budget-view.ts';
import { formatClock, formatCount, formatDuration } from './format.ts';

/** How a part is doing. Colour, icon and words follow from it. */
export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'idle';

export interface PartView {
  readonly tone: Tone;
  /** One line that says what it means for the user. */
  readonly headline: string;
}

/** A sink this little behind is up to date: it is the normal pace of batches. */
const BEHIND_MS_MIN = 15_000;

function movingView(sink: SinkStatus): PartView {
  if (sink.lagEvents > 0 && heldDetail(sink) !== undefined)
    return { tone: 'busy', headline: `Held back by its budget, ${heldText(sink)}` };
  if (sink.lagMs < BEHIND_MS_MIN) return { tone: 'good', headline: 'Up to date' };
  if (sink.etaSeconds !== null)
    return {
      tone: 'busy',
      headline: `Draining, caught up in ${formatDuration(sink.etaSeconds * 1000)}`,
    };
  return { tone: 'warn', headline: 'Behind, and not catching up' };
}

function heldText(sink: SinkStatus): string {
  if (sink.lagEvents === 0) return 'nothing is waiting';
  return `${formatCount(sink.lagEvents)} events safe on disk`;
}

/** `Down since 14:02, next try in 8 s, 412 k events safe on disk`. */
function downView(sink: SinkStatus, next: string, nowMs: number): PartView {
  const since = sink.outage ? ` since ${formatClock(sink.outage.startedMs, nowMs)}` : '';
  return { tone: 'bad', headline: `Down${since}, ${next}, ${heldText(sink)}` };
}

/** What the state of a sink means. `nowMs` is the hub's clock. */
export function sinkView(sink: SinkStatus, nowMs: number): PartView {
  switch (sink.state) {
    case 'reading':
    case 'sending':
      return sink.outage ? downView(sink, 'trying now', nowMs) : movingView(sink);
    case 'connecting':
      if (sink.outage) return downView(sink, 'trying now', nowMs);
      return {
        tone: sink.lagMs < BEHIND_MS_MIN ? 'busy' : 'warn',
        headline: `Connecting, ${heldText(sink)}`,
      };
    case 'backoff': {
      const waitMs = (sink.retryAtMs ?? nowMs) - nowMs;
      const retry = waitMs > 0 ? `next try in ${formatDuration(waitMs + 999)}` : 'trying now';
      return downView(sink, retry, nowMs);
    }
    case 'halted':
      return { tone: 'bad', headline: `Refused, needs you, ${heldText(sink)}` };
    case 'paused':
      return { tone: 'warn', headline: `Paused, ${heldText(sink)}` };
    case 'stopped':
      return { tone: 'idle', headline: `Stopped, ${heldText(sink)}` };
  }
}

/** What the state of a bridge means. */
export function bridgeView(bridge: BridgeStatus): PartView {
  switch (bridge.state) {
    case 'reading':
      return { tone: bridge.degraded ? 'warn' : 'good', headline: bridge.detail ?? 'Reading' };
    case 'connecting':
      return { tone: 'busy', headline: bridge.detail ?? 'Connecting' };
    case 'backoff':
      return { tone: 'bad', headline: bridge.detail ?? 'Not reachable' };
    case 'stopped':
      return { tone: 'idle', headline: bridge.detail ?? 'Stopped' };
  }
}
