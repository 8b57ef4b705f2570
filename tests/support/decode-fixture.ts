import type { Clock } from '../../hub/core/clock.ts';
import type { EventKind, HubEvent } from '../../hub/core/event.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import type { DecodeRule } from '../../hub/process/decode/rule.ts';

/** 2026-03-01T12:00:00Z, when the events of these tests arrive. */
export const ARRIVAL_MS = Date.UTC(2026, 2, 1, 12);

export function stillClock(synced = true): Clock {
  return {
    wallMs: () => ARRIVAL_MS,
    monotonicMs: () => performance.now(),
    synced: () => synced,
    bootId: 'boot',
  };
}

export function eventOf(
  topic: string,
  payload: string | Buffer,
  kind: EventKind = 'message',
): HubEvent {
  return {
    lane: 'normal',
    offset: 7,
    kind,
    topic,
    payload: Buffer.from(payload),
    source: 'mqtt',
    receivedMs: ARRIVAL_MS,
    monotonicMs: 1,
    bootId: 'boot',
  };
}

/** Decodes one payload by one rule. */
export function decodeOne(rule: DecodeRule, topic: string, payload: string | Buffer) {
  return createDecoder([rule], stillClock())(eventOf(topic, payload));
}

/** The readings as `metric=value unit`. */
export function readingTexts(
  rule: DecodeRule,
  topic: string,
  payload: string | Buffer,
): readonly string[] {
  return decodeOne(rule, topic, payload).readings.map(
    ({ metric, value, unit }) =>
      `${metric}=${JSON.stringify(value)}${unit === undefined ? '' : ` ${unit}`}`,
  );
}
