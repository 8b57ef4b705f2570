import type { LogStatus } from '../core/status.ts';
import type { GroupCommit } from './commit/group-commit.ts';
import type { LaneState } from './lane-state.ts';
import type { Losses } from './ledger/losses.ts';
import type { Received } from './ledger/received.ts';
import type { LogOptions } from './log-options.ts';
import { type Room, whenFullByLane } from './room/room.ts';
import type { Thinner } from './room/thinner.ts';
import type { Boots } from './time/boots.ts';

export interface LogStatusSources {
  readonly id: string;
  readonly options: LogOptions;
  readonly lanes: readonly LaneState[];
  readonly room: Room;
  readonly fillBytesPerSecond: number;
  readonly losses: Losses;
  readonly received: Received;
  readonly commits: GroupCommit;
  readonly thinner: Thinner;
  readonly boots: Boots;
}

/** The log as `/api/v1/status` shows it. */
export function logStatus(sources: LogStatusSources): LogStatus {
  const { id, options, lanes, room, fillBytesPerSecond, losses, received, thinner } = sources;
  const { bytesMax, durability, whenFull } = options;
  const { bytes } = room;
  const filling = fillBytesPerSecond >= 1;
  const full = room.full('normal');
  return {
    id,
    events: lanes.reduce((sum, lane) => sum + lane.events, 0),
    bytes,
    bytesMax,
    oldestAgeMs: oldestAgeMs(sources),
    secondsUntilFull: filling ? Math.max(0, bytesMax - bytes) / fillBytesPerSecond : null,
    durability: durability.kind,
    lossWindowMs: durability.kind === 'interval' ? durability.intervalMs : 0,
    whenFull: whenFullByLane(whenFull),
    full,
    fullReason: full ? room.reason('normal') : null,
    acceptedEvents: lanes.reduce((sum, { tail }) => sum + tail, 0),
    lostEvents: losses.total,
    received: received.entries(),
    lost: [...losses.entries()],
    ...written(sources),
    lanes: lanes.map(({ lane, head, tail, bytes: laneBytes }) => ({
      lane,
      head,
      tail,
      bytes: laneBytes,
      refused: received.refused[lane],
      thinned: thinner.status(lane),
    })),
  };
}

function written({ options, commits }: LogStatusSources) {
  const { payloadBytes, writtenBytes: handedBytes, commitsPerSecond } = commits.counts;
  const measuredBytes = options.writtenBytes?.();
  const writtenBytes = measuredBytes ?? handedBytes;
  return {
    writtenBytes,
    writtenBytesMeasured: measuredBytes !== undefined,
    writtenBytesPerPayloadByte: payloadBytes > 0 ? writtenBytes / payloadBytes : null,
    commitsPerSecond,
  };
}

function oldestAgeMs({ lanes, boots }: LogStatusSources): number | null {
  let oldest: number | null = null;
  for (const { headHeader } of lanes) {
    if (!headHeader) continue;
    const { bootId, firstMonotonicMs: monotonicMs } = headHeader;
    oldest = Math.max(oldest ?? 0, boots.ageMs({ bootId, monotonicMs }));
  }
  return oldest;
}
