/**
 * Whose place in the log is whose, when the sinks of a configuration come, go and are renamed.
 *
 * Invariants:
 * - a place belongs to the id alone: no other option of a sink moves it, and a sink that is not
 *   configured keeps it;
 * - a sink that comes back goes on where it was; what was trimmed while it was away is in its
 *   ledger as lost (`age`) and reported, never passed over in silence;
 * - a new name takes over all that was kept under the old one in a single write, once.
 */
import { HubError } from '../core/errors.ts';
import { LANES, type Lane } from '../core/event.ts';
import type { CursorState } from './cursor-state.ts';
import type { Cursors } from './cursors.ts';
import { eventsIn, givenUp, unsettledBelow } from './give-up.ts';
import { cursorKey, metaKey, renamedKey, sinkRanges } from './keys.ts';
import type { Losses } from './ledger/losses.ts';
import { openRecord, sealRecord } from './record.ts';
import type { Storage, WriteOperation } from './storage/storage.ts';

/** Dead letters take 64 MiB at most: so much of them is in memory at a time. */
const COPIED_BYTES = 1024 * 1024;
const SINKS_KEY = metaKey('sinks');

/** Where a sink begins that has no place yet: a number is a time, in ms since 1970. */
export type SinkStart = 'oldest' | 'now' | number;

export interface SinkPlace {
  readonly id: string;
  readonly start: SinkStart;
  /** The id that it had before. */
  readonly formerly?: string | undefined;
}

/** What became of `formerly`: not `taken` when both names have a place of their own. */
export interface Rename {
  readonly sink: string;
  readonly formerly: string;
  readonly taken: boolean;
}

/** Gives each sink that has no place yet what was kept under its former name. */
export async function takeOver(storage: Storage, sinks: readonly SinkPlace[]): Promise<Rename[]> {
  const renames: Rename[] = [];
  for (const { id, formerly } of sinks) {
    if (formerly === undefined || !(await hasPlace(storage, formerly))) continue;
    const taken = !(await hasPlace(storage, id));
    if (taken) await rename(storage, formerly, id);
    renames.push({ sink: id, formerly, taken });
  }
  return renames;
}

async function hasPlace(storage: Storage, sink: string): Promise<boolean> {
  for (const lane of LANES) if (await storage.get(cursorKey(sink, lane))) return true;
  return false;
}

/**
 * A sink has its place when it has cursors: copies that were written ahead of them are made again
 * after a crash.
 */
async function rename(storage: Storage, from: string, to: string): Promise<void> {
  const last: WriteOperation[] = [];
  const [cursors, ...others] = sinkRanges(from);
  for (const range of others) {
    let copies: WriteOperation[] = [];
    let bytes = 0;
    for await (const [key, value] of readable(storage.entries(range))) {
      copies.push({ type: 'put', key: renamedKey(key, from, to), value });
      last.push({ type: 'del', key });
      bytes += value.length;
      if (bytes < COPIED_BYTES) continue;
      await storage.write(copies, { sync: false });
      copies = [];
      bytes = 0;
    }
    last.push(...copies);
  }
  if (cursors) {
    for await (const [key, value] of readable(storage.entries(cursors))) {
      last.push({ type: 'put', key: renamedKey(key, from, to), value }, { type: 'del', key });
    }
  }
  await storage.write(last, { sync: true });
}

/** As far as it can be read: what comes after damage is lost under any name. */
async function* readable<Entry>(entries: AsyncIterable<Entry>): AsyncGenerator<Entry> {
  try {
    yield* entries;
  } catch (error) {
    if (!(error instanceof HubError) || error.code !== 'LOG_CORRUPT') throw error;
  }
}

/**
 * Counts what was trimmed while a sink was away. Answers the write that takes note of which sinks
 * there are, if there are others than before: it goes with the first commit, like the cursors.
 */
export async function welcomeBack(
  storage: Storage,
  sinks: readonly SinkPlace[],
  { cursors, losses }: { readonly cursors: Cursors; readonly losses: Losses },
  head: (lane: Lane) => number,
): Promise<WriteOperation[]> {
  const known = openRecord<readonly string[]>(await storage.get(SINKS_KEY));
  const ids = sinks.map(({ id }) => id).sort();
  if ((known ?? []).join() === ids.join()) return [];
  for (const id of known ? ids.filter((candidate) => !known.includes(candidate)) : []) {
    for (const lane of LANES) {
      const state = cursors.get(id, lane);
      const gone = unsettledBelow(state, head(lane));
      if (gone.length === 0) continue;
      cursors.set(id, lane, givenUp(state, gone, { lost: { age: eventsIn(gone) } }));
      reportGone(losses, id, lane, state, head(lane), eventsIn(gone));
    }
  }
  return [{ type: 'put', key: SINKS_KEY, value: sealRecord(ids) }];
}

function reportGone(
  losses: Losses,
  sink: string,
  lane: Lane,
  { offset }: CursorState,
  head: number,
  events: number,
): void {
  const range = { firstOffset: offset, lastOffset: head - 1, fromMs: null, toMs: null };
  losses.recordFor(sink, lane, 'age', events, range);
}
