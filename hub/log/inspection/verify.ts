/**
 * Finds every damaged spot of the files and every damaged or missing block.
 *
 * A loss that the log has found and reported itself is no damage any more; it is counted apart.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LANES, type Lane } from '../../core/event.ts';
import { readMark } from '../mark.ts';
import { openRecord } from '../record.ts';
import { readWhole } from '../storage/leveldb/files.ts';
import { readFramed } from '../storage/leveldb/framing.ts';
import {
  contradiction,
  readCurrent,
  readManifest,
  type StoreFiles,
} from '../storage/leveldb/inspect.ts';
import { manifestName } from '../storage/leveldb/names.ts';
import { openTable } from '../storage/leveldb/table-reader.ts';
import { foundIn, knownLosses, loadId, loadPositions, type Range } from './offline-log.ts';
import { type OfflineStore, openOffline } from './offline-store.ts';

/** Something that is not as it should be. */
export type Defect =
  | {
      readonly kind: 'file';
      /** Relative to the data directory. */
      readonly file: string;
      readonly offset: number | null;
      readonly bytes: number | null;
      readonly problem: string;
    }
  | {
      readonly kind: 'block';
      readonly lane: Lane;
      readonly firstOffset: number;
      readonly lastOffset: number;
      readonly problem: string;
    }
  | { readonly kind: 'record'; readonly key: string; readonly problem: string };

export interface Verified {
  readonly logId: string | undefined;
  readonly blocks: number;
  readonly events: number;
  /** Lost, and reported by the log already. */
  readonly knownLostEvents: number;
  readonly defects: number;
}

export interface VerifyOptions {
  readonly dataDir: string;
  defect(defect: Defect): void;
  /** Bytes read so far, of all there are. */
  progress?(bytes: number, of: number): void;
}

/** Values under these keys begin with their checksum: cursors, facts of the log, boots. */
const SEALED: readonly (readonly [from: string, to: string])[] = [
  ['c', 'd'],
  ['m', 'n'],
  ['t', 'u'],
  ['x', 'y'],
];

/** Errors: those of the file system. */
export async function verifyLog(options: VerifyOptions): Promise<Verified> {
  let defects = 0;
  const report = (defect: Defect) => {
    defects++;
    options.defect(defect);
  };
  const folder = join(options.dataDir, 'log');
  const store = await openOffline(folder);
  if (store.files) await verifyFiles(store.files, options, report);
  const mark = readMark((await readWhole(join(options.dataDir, 'log.mark'))) ?? Buffer.alloc(0));
  if (mark.problem) report(fileDefect('log.mark', mark.problem));
  await verifyRecords(store, report);
  const known = await knownLosses(store);
  const positions = await loadPositions(options.dataDir, store);
  const facts = { logId: await loadId(store), blocks: 0, events: 0, knownLostEvents: 0 };
  for (const lane of LANES) {
    const ranges = known.get(lane) ?? [];
    const { head, tail } = positions.get(lane) ?? { head: 0, tail: 0 };
    facts.knownLostEvents += ranges.reduce((sum, { from, to }) => sum + to - from, 0);
    await verifyLane({ store, lane, head, tail, known: ranges }, facts, report);
  }
  return { ...facts, defects };
}

function fileDefect(file: string, problem: string, offset?: number, bytes?: number): Defect {
  return { kind: 'file', file, offset: offset ?? null, bytes: bytes ?? null, problem };
}

async function verifyFiles(
  files: StoreFiles,
  { progress }: VerifyOptions,
  report: (defect: Defect) => void,
): Promise<void> {
  const { folder, tables, logs } = files;
  const all = [...tables.values(), ...logs.values()];
  const bytesOfAll = all.reduce((sum, { bytes }) => sum + bytes, 0);
  let bytesRead = 0;
  if (all.length > 0 || files.manifests.length > 0) await verifyManifest(files, report);
  for (const { name } of logs.values()) {
    const whole = (await readWhole(join(folder, name))) ?? Buffer.alloc(0);
    for (const spot of readFramed(whole).damage) {
      report(fileDefect(`log/${name}`, spot.problem, spot.offset, spot.bytes));
    }
    bytesRead += whole.length;
    progress?.(bytesRead, bytesOfAll);
  }
  for (const { name, bytes } of tables.values()) {
    const table = await openTable(join(folder, name));
    try {
      if (table.problem !== undefined) report(fileDefect(`log/${name}`, table.problem));
      for await (const part of table.parts()) {
        if (part.kind === 'block') continue;
        report(fileDefect(`log/${name}`, part.problem, part.offset, part.bytes));
      }
    } finally {
      await table.close();
    }
    bytesRead += bytes;
    progress?.(bytesRead, bytesOfAll);
  }
}

async function verifyManifest(files: StoreFiles, report: (defect: Defect) => void) {
  const number = await readCurrent(files.folder);
  if (number === undefined) {
    const problem = files.hasCurrent ? 'it names no MANIFEST' : 'it is missing';
    report(fileDefect('log/CURRENT', problem));
    return;
  }
  const name = manifestName(number);
  const view = await readManifest(files.folder, name);
  if (!view) {
    report(fileDefect(`log/${name}`, 'it is missing'));
    return;
  }
  for (const { offset, bytes, problem } of view.damage) {
    report(fileDefect(`log/${name}`, problem, offset, bytes));
  }
  if (view.damage.length > 0) return;
  const problem = view.state ? contradiction(view.state, files) : 'it is incomplete';
  if (problem) report(fileDefect(`log/${name}`, problem));
  for (const table of view.state?.tables.values() ?? []) {
    const file = files.tables.get(table.number);
    if (!file || file.bytes === table.bytes) continue;
    const text = `it has ${file.bytes} bytes instead of ${table.bytes}`;
    report(fileDefect(`log/${file.name}`, text));
  }
}

async function verifyRecords(store: OfflineStore, report: (defect: Defect) => void) {
  for (const [from, to] of SEALED) {
    const range = { gte: Buffer.from(from), lt: Buffer.from(to) };
    for await (const [key, value] of store.entries(range)) {
      if (value.length === 0 || openRecord(value) !== undefined) continue; // some are only keys
      const name = key.toString('utf8').replaceAll('\0', '/');
      report({ kind: 'record', key: name, problem: 'its checksum does not match' });
    }
  }
}

interface LaneToVerify {
  readonly store: OfflineStore;
  readonly lane: Lane;
  readonly head: number;
  readonly tail: number;
  readonly known: readonly Range[];
}

async function verifyLane(
  { store, lane, head, tail, known }: LaneToVerify,
  facts: { blocks: number; events: number },
  report: (defect: Defect) => void,
): Promise<void> {
  let next = head;
  let damage: string | undefined;
  const gapUntil = (to: number) => {
    for (const gap of without({ from: next, to }, known)) {
      const problem = damage ?? 'it is missing';
      const [firstOffset, lastOffset] = [gap.from, gap.to - 1];
      report({ kind: 'block', lane, firstOffset, lastOffset, problem });
    }
    damage = undefined;
  };
  for await (const found of foundIn(store, lane, head)) {
    if (found.kind === 'damaged') {
      if (found.offset < next) continue;
      if (found.offset > next) gapUntil(found.offset);
      [next, damage] = [found.offset, found.problem];
      continue;
    }
    const { firstOffset, span, count } = found.header;
    if (firstOffset < next) continue; // what a thinned block stands for came to light again
    if (firstOffset > next) gapUntil(firstOffset);
    damage = undefined;
    next = firstOffset + span;
    facts.blocks++;
    facts.events += count;
  }
  // how many events a damaged last block had is known only from the tail
  if (damage !== undefined) gapUntil(Math.max(tail, next + 1));
  else if (next < tail) gapUntil(tail);
}

/** What is left of a range without those that are known. */
export function without({ from, to }: Range, known: readonly Range[]): Range[] {
  const parts: Range[] = [];
  let next = from;
  for (const range of [...known].sort((a, b) => a.from - b.from)) {
    if (range.to <= next || range.from >= to) continue;
    if (range.from > next) parts.push({ from: next, to: range.from });
    next = range.to;
  }
  if (next < to) parts.push({ from: next, to });
  return parts;
}

/** Whether there is a log to look at. Errors: those of the file system but ENOENT. */
export async function hasLog(dataDir: string): Promise<boolean> {
  const facts = await stat(join(dataDir, 'log')).catch(() => undefined);
  return facts?.isDirectory() ?? false;
}
