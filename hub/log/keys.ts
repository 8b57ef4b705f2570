import { LANES, type Lane } from '../core/event.ts';
import type { KeyRange } from './storage/storage.ts';

/**
 * Everything the hub keeps is in one ordered key space, so that what belongs together can be
 * written together:
 *
 *   b <lane> <first offset, 8 bytes big endian>   a block
 *   c <sink> 0x00 <lane>                          the cursor of a sink in a lane
 *   d <sink>                                      which numbers its dead letters have had
 *   d <sink> 0x00 <number, 8 bytes>               a dead letter
 *   g <sink>                                      what a sink has sent of its budget
 *   l <lane> <first offset, 8 bytes>              lost+found: a damaged block, or only its place
 *   m <name>                                      the log's own facts: id, lane positions, losses
 *   n <bridge> 0x00 <key>                         what a bridge remembers
 *   o <sink>                                      that a sink was told to pause
 *   r <sink> 0x00 <number, 8 bytes>               a replay of a past range
 *   s <kind> ...                                  MQTT sessions, subscriptions, retained messages
 *   t <boot id>                                   what is known of the clocks of a boot
 *   u <sink> 0x00 <number, 8 bytes>               an outage of a sink
 *   x <number, 8 bytes>                           a command to a device
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

/** A record under it: the sink is paused. */
export function pauseKey(sink: string): Buffer {
  return Buffer.from(`o${sink}`);
}

export function pauseRange(sink: string): KeyRange {
  return { gte: pauseKey(sink), lt: Buffer.from(`o${sink}\0`) };
}

/** What the governor of a sink counts. */
export function governorKey(sink: string): Buffer {
  return Buffer.from(`g${sink}`);
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

export function outageKey(sink: string, number: number): Buffer {
  return numberedKey('u', sink, number);
}

export function outageRange(sink: string): KeyRange {
  return { gte: Buffer.from(`u${sink}\0`), lt: Buffer.from(`u${sink}\u0001`) };
}

/** Which numbers the dead letters of a sink have had. */
export function letterNumbersKey(sink: string): Buffer {
  return Buffer.from(`d${sink}`);
}

/** All that is kept under the name of a sink, the cursors first. */
export function sinkRanges(sink: string): KeyRange[] {
  const numbered = (kind: string) => ({
    gte: Buffer.from(`${kind}${sink}\0`),
    lt: Buffer.from(`${kind}${sink}\u0001`),
  });
  const single = (key: Buffer) => ({ gte: key, lt: Buffer.concat([key, Buffer.of(0)]) });
  return [
    numbered('c'),
    single(letterNumbersKey(sink)),
    numbered('d'),
    single(governorKey(sink)),
    pauseRange(sink),
    numbered('r'),
    numbered('u'),
  ];
}

/** A key of `sink` as it is under another name. */
export function renamedKey(key: Buffer, sink: string, name: string): Buffer {
  const rest = key.subarray(1 + Buffer.byteLength(sink));
  return Buffer.concat([key.subarray(0, 1), Buffer.from(name), rest]);
}

/** The number at the end of the key of a dead letter, a replay or an outage. */
export function numberOfKey(key: Buffer): number {
  return Number(key.readBigUInt64BE(key.length - 8));
}

/** Session state: `kind` is one character, `path` is joined with NUL, which MQTT forbids in ids. */
export function sessionKey(kind: string, ...path: readonly string[]): Buffer {
  return Buffer.from(`s${kind}${path.join('\0')}`);
}

export const SESSION_RANGE: KeyRange = { gte: Buffer.from('s'), lt: Buffer.from('t') };

export function bridgeStateKey(bridge: string, key: string): Buffer {
  return Buffer.from(`n${bridge}\0${key}`);
}

/** What a bridge remembers under keys that begin with `prefix`. 0xff is in no UTF-8. */
export function bridgeStateRange(bridge: string, prefix: string): KeyRange {
  const gte = bridgeStateKey(bridge, prefix);
  return { gte, lt: Buffer.concat([gte, Buffer.of(0xff)]) };
}

/** What `bridgeStateKey` was given as `key`. */
export function nameOfBridgeState(bridge: string, key: Buffer): string {
  return key.toString('utf8', Buffer.byteLength(bridge) + 2);
}

export function commandKey(number: number): Buffer {
  const key = Buffer.allocUnsafe(9);
  key.write('x');
  key.writeBigUInt64BE(BigInt(number), 1);
  return key;
}

export const COMMAND_RANGE: KeyRange = { gte: Buffer.from('x'), lt: Buffer.from('y') };

/** Time: one entry a boot of the machine. */
export function bootKey(bootId: string): Buffer {
  return Buffer.from(`t${bootId}`);
}

export function bootIdOfKey(key: Buffer): string {
  return key.toString('utf8', 1);
}

export const BOOT_RANGE: KeyRange = { gte: Buffer.from('t'), lt: Buffer.from('u') };
