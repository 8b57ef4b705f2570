/**
 * The events of a log in the order of its lanes and offsets, read from its files without a hub.
 *
 * With `lost`, also what lies in lost+found: damaged files fill the gaps of the log; logs that were
 * set aside as a whole come after it, with ids of their own. Only what has a good checksum is an
 * event. One block is in memory at a time.
 */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { HubError } from '../../core/errors.ts';
import { type HubEvent, LANES, type Lane } from '../../core/event.ts';
import { topicMatcher } from '../../core/topic.ts';
import { StoredBlock } from '../block/block-body.ts';
import { type BlockHeader, readBody, readHeader } from '../block/block-format.ts';
import { readLost } from '../damage/damage.ts';
import { LOST_RANGE, laneOfLostKey, offsetOfKey } from '../keys.ts';
import { errorCode } from '../storage/leveldb/files.ts';
import { parseName } from '../storage/leveldb/names.ts';
import { BootTable, readBoots } from '../time/boot-table.ts';
import { foundIn, loadId } from './offline-log.ts';
import { type OfflineStore, openOffline } from './offline-store.ts';

export interface ExportOptions {
  readonly dataDir: string;
  readonly lanes: readonly Lane[];
  /** Times of arrival in ms since 1970, `from <= time < to`. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Filters; undefined for every topic, also those that no filter matches. */
  readonly topics: readonly string[] | undefined;
  /** Also what lies in lost+found. */
  readonly lost: boolean;
}

export interface ExportedEvent {
  readonly logId: string;
  readonly event: HubEvent;
}

/** Logs that were damaged beyond knowing their id. */
const UNKNOWN_ID = 'unknown';

/** Errors: those of the file system. */
export async function* exportEvents(options: ExportOptions): AsyncGenerator<ExportedEvent> {
  const lost = options.lost ? await findLost(join(options.dataDir, 'lost+found')) : undefined;
  yield* eventsOf(join(options.dataDir, 'log'), options, lost?.files ?? []);
  for (const folder of lost?.logs ?? []) yield* eventsOf(folder, options, []);
}

interface LostFiles {
  readonly files: readonly { readonly path: string; readonly kind: 'table' | 'log' }[];
  readonly logs: readonly string[];
}

async function findLost(folder: string): Promise<LostFiles> {
  const files: { path: string; kind: 'table' | 'log' }[] = [];
  const logs: string[] = [];
  for (const path of await listed(folder)) {
    const name = basename(path).replace(/^\d+-/, '');
    const kind = parseName(name)?.kind;
    if (kind === 'table' || kind === 'log') files.push({ path, kind });
    // kept-<n> holds files of this log; anything else that is a folder was a log of its own
    const inside = await listed(path);
    if (/^kept-\d+$/.test(basename(path))) {
      for (const file of inside) {
        const keptKind = parseName(basename(file))?.kind;
        if (keptKind === 'table' || keptKind === 'log') files.push({ path: file, kind: keptKind });
      }
    } else if (inside.length > 0) logs.push(path);
  }
  return { files, logs };
}

/** Paths in a folder; none when it is no folder. */
async function listed(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).map((name) => join(folder, name));
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return [];
    throw error;
  }
}

async function* eventsOf(
  folder: string,
  options: ExportOptions,
  more: LostFiles['files'],
): AsyncGenerator<ExportedEvent> {
  const store = await openOffline(folder, more);
  const logId = (await loadId(store)) ?? UNKNOWN_ID;
  const boots = new BootTable(await readBoots(store));
  const matches = options.topics ? topicMatcher(options.topics) : () => true;
  const select = { ...options, matches, boots };
  for (const lane of options.lanes.length > 0 ? options.lanes : LANES) {
    let next = 0;
    for await (const found of foundIn(store, lane, 0)) {
      // below `next`: what a thinned block stands for, come to light again
      if (found.kind === 'damaged' || found.header.firstOffset < next) continue;
      next = found.header.firstOffset + found.header.span;
      for await (const event of eventsIn(found.header, found.bytes, select)) yield { logId, event };
    }
    if (!options.lost) continue;
    for await (const { header, bytes } of blocksSetAside(store, lane)) {
      for await (const event of eventsIn(header, bytes, select)) yield { logId, event };
    }
  }
}

/** Blocks that the log itself has set aside and that are whole after all. */
async function* blocksSetAside(store: OfflineStore, lane: Lane) {
  for await (const [key, value] of store.entries(LOST_RANGE)) {
    if (laneOfLostKey(key) !== lane) continue;
    const { bytes } = readLost(value);
    try {
      yield { header: readHeader(lane, offsetOfKey(key), bytes), bytes };
    } catch (error) {
      if (!(error instanceof HubError)) throw error;
    }
  }
}

interface Selection {
  readonly fromMs: number;
  readonly toMs: number;
  readonly boots: BootTable;
  matches(topic: string): boolean;
}

async function* eventsIn(
  header: BlockHeader,
  bytes: Buffer,
  { fromMs, toMs, matches, boots }: Selection,
): AsyncGenerator<HubEvent> {
  if (boots.lastMs(header) < fromMs || boots.firstMs(header) >= toMs) return;
  let block: StoredBlock;
  try {
    block = new StoredBlock(header, await readBody(header, bytes), boots);
  } catch (error) {
    // it does not decompress: a defect of the hub that wrote it
    if (error instanceof HubError) return;
    throw error;
  }
  const wanted = block.topics.map((topic) => matches(topic));
  for (let index = 0; index < block.count; index++) {
    if (!wanted[block.topicIndexAt(index)]) continue;
    const event = block.eventAt(index);
    if (event.receivedMs >= fromMs && event.receivedMs < toMs) yield event;
  }
}
