import { LANES, type Lane } from '../core/event.ts';
import type { KeyRange } from './storage/storage.ts';

/**
 * Everything the hub keeps is in one ordered key space, so that what belongs together can be
 * written together:
 *
 *   b <lane> <first offset, 8 bytes big endian>   a block
 *   c <sink> 0x00 <lane>                          the cursor of a sink in a lane
 *   d <sink> 0x00 <number, 8 bytes>               a dead letter
 *   l <lane> <first offset, 8 bytes>              lost+found: a damaged block, or only its place
 *   m <name>                                      the log's own facts: id, lane positions, losses
 *   r <sink> 0x00 <number, 8 bytes>               a replay of a past range
 *   s <kind> ...                                  MQTT sessions, subscriptions, retained messages
 *   t <boot id>                                   what is known of the clocks of a boot
 */
const BLOCK = 0x62;
const LOST = 0x6c;
const KEY_BYTES = 10;

export function laneIndex(lane: Lane): number {
  return LANES.indexOf(lane);
}

function placeKey(kind: number, lane: Lane, firstOffset: number): Buffer {
  const key = Buffer.allocUnsafe(KEY_BYTES);
  key[0] = kind;
  key[1] = laneIndex(lane);
  key.writeBigUInt64BE(BigInt(firstOffset), 2);
  return key;
}

export function blockKey(lane: Lane, firstOffset: number): Buffer {
  return placeKey(BLOCK, lane, firstOffset);
}

/** Where a block that cannot be read is kept. */
export function lostKey(lane: Lane, firstOffset: number): Buffer {
  return placeKey(LOST, lane, firstOffset);
}

export const LOST_RANGE: KeyRange = { gte: Buffer.from('l'), lt: Buffer.from('m') };

export function laneOfLostKey(key: Buffer): Lane {
  return LANES[key[1] ?? 0] ?? 'normal';
}

/** The first offset that the key of a block names. */
export function offsetOfKey(key: Buffer): number {
  return Number(key.readBigUInt64BE(2));
}

/** Keys of blocks with `from <= first offset < to`. */
export function blockRange(lane: Lane, from: number, to: number): KeyRange {
  return { gte: blockKey(lane, from), lt: blockKey(lane, to) };
}

export function metaKey(name: string): Buffer {
  return Buffer.from(`m${name}`);
}

export function cursorKey(sink: string, lane: Lane): Buffer {
  return Buffer.from(`c${sink}\0${lane}`);
}

function numberedKey(kind: string, sink: string, number: number): Buffer {
  const prefix = Buffer.from(`${kind}${sink}\0`);
  const key = Buffer.allocUnsafe(prefix.length + 8);
  prefix.copy(key);
  key.writeBigUInt64BE(BigInt(number), prefix.length);
  return key;
}

export function deadLetterKey(sink: string, number: number): Buffer {
  return numberedKey('d', sink, number);
}

export function deadLetterRange(sink: string): KeyRange {
  return { gte: Buffer.from(`d${sink}\0`), lt: Buffer.from(`d${sink}\u0001`) };
}

export function replayKey(sink: string, number: number): Buffer {
  return numberedKey('r', sink, number);
}

export function replayRange(sink: string): KeyRange {
  return { gte: Buffer.from(`r${sink}\0`), lt: Buffer.from(`r${sink}\u0001`) };
}

/** The number at the end of the key of a dead letter or a replay. */
export function numberOfKey(key: Buffer): number {
  return Number(key.readBigUInt64BE(key.length - 8));
}

/** Session state: `kind` is one character, `path` is joined with NUL, which MQTT forbids in ids. */
export function sessionKey(kind: string, ...path: readonly string[]): Buffer {
  return Buffer.from(`s${kind}${path.join('\0')}`);
}

export const SESSION_RANGE: KeyRange = { gte: Buffer.from('s'), lt: Buffer.from('t') };

/** Time: one entry a boot of the machine. */
export function bootKey(bootId: string): Buffer {
  return Buffer.from(`t${bootId}`);
}

export function bootIdOfKey(key: Buffer): string {
  return key.toString('utf8', 1);
}

export const BOOT_RANGE: KeyRange = { gte: Buffer.from('t'), lt: Buffer.from('u') };
