import type { Clock } from '../../hub/core/clock.ts';
import type { ArrivalQuality, EventKind, HubEvent } from '../../hub/core/event.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import type { DecodeRule } from '../../hub/process/decode/rule.ts';

/** 2026-03-01T12:00:00Z, when the events of these tests arrive. */
export const ARRIVAL_MS = Date.UTC(2026, 2, 1, 12);

export function stillClock(): Clock {
  return {
    wallMs: () => ARRIVAL_MS,
    monotonicMs: () => performance.now(),
    synced: () => true,
    sync: () => ({ state: 'synced' }),
    bootId: 'boot',
  };
}

export function eventOf(
  topic: string,
  payload: string | Buffer,
  kind: EventKind = 'message',
  timeQuality: ArrivalQuality = 'synced',
): HubEvent {
  return {
    lane: 'normal',
    offset: 7,
    kind,
    topic,
    payload: Buffer.from(payload),
    source: 'mqtt',
    receivedMs: ARRIVAL_MS,
    timeQuality,
    monotonicMs: 1,
    bootId: 'boot',
  };
}

/** Decodes one payload by one rule. */
export function decodeOne(rule: DecodeRule, topic: string, payload: string | Buffer) {
  return createDecoder([rule])(eventOf(topic, payload));
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
