/** The log as its files say, while no hub runs. */
import { join } from 'node:path';
import { HubError } from '../../core/errors.ts';
import { LANES, type Lane } from '../../core/event.ts';
import { type BlockHeader, readHeader } from '../block/block-format.ts';
import { readLost } from '../damage/damage.ts';
import { blockRange, LOST_RANGE, laneOfLostKey, metaKey, offsetOfKey } from '../keys.ts';
import { readMark } from '../mark.ts';
import { openRecord } from '../record.ts';
import { readWhole } from '../storage/leveldb/files.ts';
import type { OfflineStore } from './offline-store.ts';

/** Positions of a lane: what its record and the high-water mark say. */
export interface Positions {
  readonly head: number;
  readonly tail: number;
}

/** `[from, to)` in offsets. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** What lies at one place of a lane. */
export type Found =
  | { readonly kind: 'block'; readonly header: BlockHeader; readonly bytes: Buffer }
  | { readonly kind: 'damaged'; readonly offset: number; readonly problem: string };

type Saved = readonly [head: number, tail: number, headBytes: number, tailBytes: number];

export async function loadId(store: OfflineStore): Promise<string | undefined> {
  return openRecord<{ id: string }>(await store.get(metaKey('identity')))?.id;
}

export async function loadPositions(
  dataDir: string,
  store: OfflineStore,
): Promise<ReadonlyMap<Lane, Positions>> {
  const id = await loadId(store);
  const mark = readMark((await readWhole(join(dataDir, 'log.mark'))) ?? Buffer.alloc(0)).facts;
  const ours = mark && (id === undefined || mark.logId === id) ? mark : undefined;
  const positions = new Map<Lane, Positions>();
  for (const lane of LANES) {
    const saved = openRecord<Saved>(await store.get(metaKey(`lane-${lane}`)));
    const marked = ours?.lanes[lane];
    const head = Math.max(saved?.[0] ?? 0, marked?.head ?? 0);
    positions.set(lane, { head, tail: Math.max(saved?.[1] ?? 0, marked?.tail ?? 0, head) });
  }
  return positions;
}

/** What the log itself knows to be gone, and has reported. */
export async function knownLosses(store: OfflineStore): Promise<ReadonlyMap<Lane, Range[]>> {
  const known = new Map<Lane, Range[]>(LANES.map((lane) => [lane, []]));
  for await (const [key, value] of store.entries(LOST_RANGE)) {
    const from = offsetOfKey(key);
    known.get(laneOfLostKey(key))?.push({ from, to: from + readLost(value).events });
  }
  return known;
}

/** What is stored of a lane from `head` on; of each place the newest version that is whole. */
export async function* foundIn(
  store: OfflineStore,
  lane: Lane,
  head: number,
): AsyncGenerator<Found> {
  for await (const versions of store.versions(blockRange(lane, head, Number.MAX_SAFE_INTEGER))) {
    const newest = versions[0];
    if (!newest?.value) continue; // it was deleted
    const offset = offsetOfKey(newest.key);
    let problem = 'it cannot be read';
    let found: Found | undefined;
    for (const { value } of versions) {
      if (!value) break;
      try {
        found = { kind: 'block', header: readHeader(lane, offset, value), bytes: value };
        break;
      } catch (error) {
        if (!(error instanceof HubError)) throw error;
        problem = error.message;
      }
    }
    yield found ?? { kind: 'damaged', offset, problem };
  }
}
