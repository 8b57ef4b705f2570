/**
 * Opening a log, whatever has happened to it.
 *
 * Invariants:
 * - it does not walk the log: two blocks and one record a lane, the cursors, the ledger, the boots;
 * - nothing damaged keeps it from opening: files are set aside by the storage, blocks by `Damage`;
 * - a lane's tail is the greatest that the lane's record, its last block, the high-water mark and
 *   any cursor know: offsets are never given twice, also when the newest part is gone.
 */
import { describeError, HubError } from '../core/errors.ts';
import { LANES, type Lane } from '../core/event.ts';
import { isOutOfSpace } from './commit/out-of-space.ts';
import { cursorAt } from './cursor-state.ts';
import { Cursors } from './cursors.ts';
import { salvage } from './damage/salvage.ts';
import { DurableLog } from './durable-log.ts';
import { loadIdentity } from './identity.ts';
import { LaneState } from './lane-state.ts';
import { Losses } from './ledger/losses.ts';
import { Received } from './ledger/received.ts';
import type { LoadedLog, LogOptions } from './log-options.ts';
import type { MarkFacts } from './mark.ts';
import { Blocks } from './read/blocks.ts';
import { offsetAt } from './read/offset-at.ts';
import { ReplayRecords } from './replay-records.ts';
import { whenFullByLane } from './room/room.ts';
import { takeOver, welcomeBack } from './sink-places.ts';
import type { Finding, WriteOperation } from './storage/storage.ts';
import { loadBoots } from './time/boots.ts';

/**
 * Opens the log in `options.storage`, creating it when it is new. What is damaged in it is set
 * aside. On a full volume it goes on with the space of the reserve. Errors: LOG_LOCKED;
 * LOG_NOT_OPEN when the folder cannot be written.
 */
export async function openLog(options: LogOptions): Promise<DurableLog> {
  try {
    return await open(options);
  } catch (error) {
    if (isOutOfSpace(error) && (await options.reserve.release())) return await open(options);
    throw error;
  }
}

async function open(options: LogOptions): Promise<DurableLog> {
  const { storage, mark, observer } = options;
  const found = (findings: readonly Finding[]) => {
    for (const finding of findings) observer?.found?.(finding);
  };
  const findings = await storage.open();
  found(findings);
  try {
    const marked = await mark.load();
    if (marked.problem) found([{ file: 'log.mark', problem: marked.problem }]);
    const blocks = new Blocks(storage);
    const identity = await loadIdentity(storage, blocks, marked.facts?.logId);
    found(identity.findings);
    const ours = marked.facts?.logId === identity.id ? marked.facts : undefined;
    const loaded = await load(options, identity.id, blocks, ours, findings.length > 0);
    const log = new DurableLog(loaded, options);
    log.defer(loaded.deferred);
    await log.start(loaded);
    await placeByTime(log, options);
    return log;
  } catch (error) {
    await storage.close().catch(() => undefined); // the first error says why
    if (error instanceof HubError) throw error;
    throw new HubError('LOG_NOT_OPEN', `cannot open the log: ${describeError(error)}`, {
      cause: error,
    });
  }
}

async function load(
  { storage, clock, sinks, whenFull, observer }: LogOptions,
  id: string,
  blocks: Blocks,
  marked: MarkFacts | undefined,
  damaged: boolean,
): Promise<LoadedLog> {
  let lanes = new Map<Lane, LaneState>();
  let readableEnds = new Map<Lane, number>();
  const loadLanes = async () => {
    lanes = new Map(LANES.map((lane) => [lane, new LaneState(lane)]));
    readableEnds = new Map();
    for (const [lane, state] of lanes) {
      readableEnds.set(lane, await state.load(storage, blocks, marked?.lanes[lane]));
    }
  };
  await loadLanes();
  const write = (operations: readonly WriteOperation[]) =>
    storage.write(operations, { sync: true });
  if (damaged && (await salvage(storage, blocks, lanes.values(), write)) > 0) await loadLanes();
  for (const rename of await takeOver(storage, sinks)) observer?.renamed?.(rename);
  const cursors = new Cursors();
  for (const sink of sinks) {
    await cursors.load(storage, sink.id, (lane, lost) => {
      const state = lanes.get(lane);
      // where a damaged cursor was is not known: duplicates rather than a loss
      return cursorAt((sink.start === 'now' && !lost ? state?.tail : state?.head) ?? 0);
    });
  }
  const whenFullIn = whenFullByLane(whenFull);
  for (const state of lanes.values()) {
    const { lane, head, recordIsOld } = state;
    // where nothing unsettled is ever dropped, what is trimmed was delivered: the cursors are old
    const keepsAll = whenFullIn[lane] === 'block' || whenFullIn[lane] === 'drop_newest';
    if (recordIsOld && keepsAll) cursors.catchUp(lane, head);
    state.seen(cursors.seen(lane));
    await state.oldest(blocks);
  }
  const replays = new ReplayRecords();
  for (const sink of sinks) await replays.load(storage, sink.id);
  const losses = new Losses();
  await losses.load(storage, marked?.lost);
  const head = (lane: Lane) => lanes.get(lane)?.head ?? 0;
  const deferred = await welcomeBack(storage, sinks, { cursors, losses }, head);
  const received = new Received();
  await received.load(storage, (lane) => lanes.get(lane)?.tail ?? 0, marked?.refused);
  const ends = Array.from(lanes.values(), ({ lastLoaded }) => lastLoaded ?? []).flat();
  const boots = await loadBoots(storage, clock, ends);
  const parts = { lanes, blocks, boots, cursors, losses, received, replays };
  return { id, ...parts, readableEnds, deferred };
}

/**
 * A sink that begins at a time has its place when the log can be asked for it. Nothing reads for it
 * before.
 */
async function placeByTime(log: DurableLog, { sinks }: LogOptions): Promise<void> {
  for (const { id, start } of sinks) {
    if (typeof start !== 'number') continue;
    for (const lane of LANES) {
      if (!log.cursors.isNew(id, lane)) continue;
      log.cursors.set(id, lane, cursorAt(await offsetAt(log, lane, start)));
    }
  }
}
