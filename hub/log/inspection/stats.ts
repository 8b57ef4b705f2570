/** What is in a data directory, without a hub: lanes, cursors, losses, files. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LANES, type Lane } from '../../core/event.ts';
import { type CursorState, countsOf, settledAhead } from '../cursor-state.ts';
import { metaKey } from '../keys.ts';
import { openRecord } from '../record.ts';
import { errorCode } from '../storage/leveldb/files.ts';
import { BootTable, readBoots } from '../time/boot-table.ts';
import { foundIn, loadId, loadPositions, type Positions } from './offline-log.ts';
import { type OfflineStore, openOffline } from './offline-store.ts';

export interface LaneStats {
  readonly lane: Lane;
  readonly head: number;
  readonly tail: number;
  /** Records that can be read; fewer than `tail - head` after damage or thinning. */
  readonly events: number;
  readonly blocks: number;
  readonly bytes: number;
  /** ISO 8601, of arrival; null when the lane is empty. */
  readonly firstTime: string | null;
  readonly lastTime: string | null;
}

export interface CursorStats {
  readonly sink: string;
  readonly lane: Lane;
  readonly offset: number;
  readonly lag: number;
  readonly delivered: number;
  /** Given up before the sink had them, by reason. */
  readonly lost: Readonly<Record<string, number>>;
}

export interface FileStats {
  readonly file: string;
  readonly bytes: number;
}

export interface LogStats {
  readonly logId: string | null;
  readonly lanes: readonly LaneStats[];
  readonly cursors: readonly CursorStats[];
  /** Events lost since the log was created, by `lane/reason`. */
  readonly losses: Readonly<Record<string, number>>;
  /** Of the log itself, by kind. */
  readonly files: readonly FileStats[];
  readonly lostAndFound: readonly FileStats[];
}

/** Reads every block's header, so it takes as long as reading the files. */
export async function readLogStats(dataDir: string): Promise<LogStats> {
  const store = await openOffline(join(dataDir, 'log'));
  const positions = await loadPositions(dataDir, store);
  const boots = new BootTable(await readBoots(store));
  const lanes: LaneStats[] = [];
  for (const lane of LANES) {
    const range = positions.get(lane) ?? { head: 0, tail: 0 };
    lanes.push(await laneStats(store, lane, range, boots));
  }
  const ledger = openRecord<{ totals: Record<string, number> }>(await store.get(metaKey('losses')));
  return {
    logId: (await loadId(store)) ?? null,
    lanes,
    cursors: await cursorStats(store, lanes),
    losses: ledger?.totals ?? {},
    files: await filesIn(join(dataDir, 'log')),
    lostAndFound: await filesIn(join(dataDir, 'lost+found')),
  };
}

async function laneStats(
  store: OfflineStore,
  lane: Lane,
  { head, tail }: Positions,
  boots: BootTable,
): Promise<LaneStats> {
  let [events, blocks, bytes, end] = [0, 0, 0, tail];
  let [firstMs, lastMs]: (number | undefined)[] = [undefined, undefined];
  for await (const found of foundIn(store, lane, head)) {
    if (found.kind === 'damaged') continue;
    const { header } = found;
    events += header.count;
    bytes += header.storedBytes;
    blocks++;
    end = Math.max(end, header.firstOffset + header.span);
    firstMs ??= boots.firstMs(header);
    lastMs = boots.lastMs(header);
  }
  const [firstTime, lastTime] = [isoTime(firstMs), isoTime(lastMs)];
  return { lane, head, tail: end, events, blocks, bytes, firstTime, lastTime };
}

function isoTime(timeMs: number | undefined): string | null {
  const date = new Date(timeMs ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

async function cursorStats(
  store: OfflineStore,
  lanes: readonly LaneStats[],
): Promise<CursorStats[]> {
  const cursors: CursorStats[] = [];
  const range = { gte: Buffer.from('c'), lt: Buffer.from('d') };
  for await (const [key, value] of store.entries(range)) {
    const [sink = '', name] = key.toString('utf8', 1).split('\0');
    const lane = lanes.find((candidate) => candidate.lane === name);
    const state = openRecord<CursorState>(value);
    if (!lane || !state) continue;
    const { offset, delivered, lost } = state;
    const lag = Math.max(0, lane.tail - offset - settledAhead(countsOf(state)));
    cursors.push({ sink, lane: lane.lane, offset, lag, delivered, lost: { ...lost } });
  }
  return cursors;
}

async function filesIn(folder: string): Promise<FileStats[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  });
  const files: FileStats[] = [];
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      const inside = await filesIn(path);
      files.push({ file: entry.name, bytes: inside.reduce((sum, { bytes }) => sum + bytes, 0) });
    } else files.push({ file: entry.name, bytes: (await stat(path)).size });
  }
  return files.sort((a, b) => a.file.localeCompare(b.file));
}
