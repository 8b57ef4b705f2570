import type { Batch, Decode, EventKind, HubEvent, Lane, Reading } from '../../hub/core/event.ts';

/** What an event of a test is made from; the rest has defaults. */
export interface EventSeed {
  readonly offset: number;
  readonly lane?: Lane;
  readonly kind?: EventKind;
  readonly topic?: string;
  readonly payload?: string | Buffer;
  readonly receivedMs?: number;
}

/** Fixed, and recent enough for every far side. */
export const START_MS = Math.floor(Date.now() / 1000) * 1000 - 3_600_000;

export function eventOf(seed: EventSeed): HubEvent {
  return {
    lane: seed.lane ?? 'normal',
    offset: seed.offset,
    kind: seed.kind ?? 'message',
    topic: seed.topic ?? 'site/house/dev1/temp',
    payload: Buffer.from(seed.payload ?? String(seed.offset)),
    source: 'mqtt',
    receivedMs: seed.receivedMs ?? START_MS + seed.offset,
    timeQuality: 'synced',
    monotonicMs: seed.offset,
    bootId: 'boot',
  };
}

/** Events whose payload is their offset, so that a far side can be asked what it holds. */
export function batchOf(first: number, count: number, lane: Lane = 'normal'): Batch {
  const offsets = Array.from({ length: count }, (_, i) => first + i);
  return { lane, events: offsets.map((offset) => eventOf({ offset, lane })) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** `site/<area>/<device>/<metric>` with a JSON number, text or boolean as payload. */
export const decodeForTest: Decode = (event) => {
  const [, area = '', device = '', metric = ''] = event.topic.split('/');
  const text = event.payload.toString();
  const value = parsed(text);
  const about = { device, timeMs: event.receivedMs, timeQuality: 'synced' } as const;
  const readings: Reading[] = [];
  if (typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean')
    readings.push({ ...about, metric, value, tags: { area } });
  return { ...about, ...(value !== undefined && { json: text }), readings };
};
