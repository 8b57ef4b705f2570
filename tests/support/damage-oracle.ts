import { LANES, type Lane } from '../../hub/core/event.ts';

export const DAMAGE_SINKS = [{ id: 'cloud', start: 'oldest' }] as const;

/** What the event at an offset says: nothing else can be right there. Some hundred bytes. */
export function payloadOf(lane: Lane, offset: number): Buffer {
  let state = (offset + 1) * 0x9e3779b1 + LANES.indexOf(lane);
  const payload = Buffer.alloc(100 + (offset % 7) * 60);
  for (let at = 0; at < payload.length; at++) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    payload[at] = state >>> 24;
  }
  return payload;
}
