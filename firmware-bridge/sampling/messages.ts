/** What a bridge that reads values hands to the hub. */
import type { Message } from '../../hub/core/event.ts';
import type { SourceGap } from './source-health.ts';

export type BridgeMessage = Omit<Message, 'source'>;
export type Value = number | string | boolean;

/** As many as the hub decodes from one message (hub/process/decode/harvest.ts). */
export const VALUES_PER_MESSAGE_MAX = 64;

/** Who was away, for the event of a gap; what else names it comes after the device. */
export type SourceName = Readonly<{ device: string } & Record<string, string | number>>;

export function topicOf(template: string, device: string): string {
  return template.replace('{device}', device);
}

/**
 * JSON objects `{ time, <metric>: value, ... }`, more than one when there are many values. Without
 * `timeMs` (ms since 1970) the time of the arrival counts, which the hub can correct later.
 */
export function readingMessages(
  topic: string,
  values: readonly (readonly [string, Value])[],
  timeMs: number | undefined,
): BridgeMessage[] {
  const messages: BridgeMessage[] = [];
  const time = timeMs === undefined ? [] : ([['time', timeMs]] as const);
  for (let i = 0; i < values.length; i += VALUES_PER_MESSAGE_MAX) {
    const part = Object.fromEntries([...time, ...values.slice(i, i + VALUES_PER_MESSAGE_MAX)]);
    messages.push({ topic, payload: Buffer.from(JSON.stringify(part)) });
  }
  return messages;
}

/** That a source was away, told when it is back. `nowMs` in ms since 1970. */
export function gapMessage(
  bridge: string,
  source: SourceName,
  gap: SourceGap,
  nowMs: number,
): BridgeMessage {
  const event = {
    bridge,
    ...source,
    // the wall clock may have been put right since
    from: new Date(nowMs - gap.lengthMs).toISOString(),
    to: new Date(nowMs).toISOString(),
    lengthMs: Math.round(gap.lengthMs),
    failures: gap.failures,
    reason: gap.why,
  };
  const payload = Buffer.from(JSON.stringify(event));
  return { topic: `holdfast/bridge/${bridge}`, payload, kind: 'hub.health' };
}
