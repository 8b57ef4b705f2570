/**
 * Writes to a log until somebody cuts the power: `writer.js FOLDER SEED BOOT DURABILITY [STAMPED]`.
 * Says on stdout, one line each, written at once:
 *
 * - `OPENING`, then `OPENED`;
 * - `ACK lane offset number count stamp`: these were acknowledged just now; numbers and offsets
 *   count on from the first ones;
 * - `SETTLE lane offset`: about to move the cursor there;
 * - `WRONG text`: what must not happen.
 *
 * `stamp` is the size of the file STAMPED at that moment, or 0. Bursts are waited for, so that most
 * stamps are taken while no write is under way.
 */
import { statSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { LANES, type Lane } from '../../hub/core/event.ts';
import type { Durability } from '../../hub/log/commit/group-commit.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { settleTo } from '../support/log-fixture.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { numberedMessage, numberOf } from './event-payload.ts';
import { openDataFolder, SINK } from './open-data-folder.ts';

/** Little, so that trimming never stops: LevelDB's write buffer alone is larger. */
const BYTES_MAX = 3 * 1024 * 1024;
const AGE_MAX_MS = 500;
const BURST_EVENTS_MAX = 300;
/** So far behind the tail the cursor may be: together less than the capacity. */
const LAG_EVENTS_MAX = 250;
const READ_BYTES = 64 * 1024;
/** Nobody runs a hub in a million bursts: numbers of two boots never meet. */
const NUMBERS_PER_BOOT = 1_000_000;
const FREE_BYTES = 1024 ** 3;
const FREE_BYTES_MIN = 1024 ** 2;
/** Free space seems to be short now and then, so that the log compacts. */
const SHORT_OF_SPACE_EVERY = 3;
const MARK_WRITTEN_BACK_MS_MAX = 30;
/** Long enough that nothing is synced in any run: the control. */
const NEVER_MS = 3_600_000;

const [folder = '', seed = '0', boot = '0', durability = 'fsync', stamped = ''] =
  process.argv.slice(2);
const random = seededRandom(Number(seed) + Number(boot));

interface Run {
  readonly offset: number;
  readonly number: number;
  count: number;
}
const acknowledged = new Map<Lane, Run>();

function say(...words: readonly (string | number)[]): void {
  writeSync(1, `${words.join(' ')}\n`);
}

/** All that one commit acknowledges is one line a lane. */
function tell(): void {
  const stamp = stamped === '' ? 0 : statSync(stamped).size;
  for (const [lane, { offset, number, count }] of acknowledged)
    say('ACK', lane, offset, number, count, stamp);
  acknowledged.clear();
}

function note(lane: Lane, offset: number, number: number): void {
  if (acknowledged.size === 0) queueMicrotask(tell);
  const run = acknowledged.get(lane);
  if (run) run.count += 1;
  else acknowledged.set(lane, { offset, number, count: 1 });
}

let measured = 0;
async function freeBytes(): Promise<number> {
  measured += 1;
  return measured % SHORT_OF_SPACE_EVERY === 0 ? 0 : FREE_BYTES;
}

function laneAtRandom(): Lane {
  const share = random();
  return share < 0.2 ? 'alarm' : share < 0.7 ? 'normal' : 'bulk';
}

async function appendForever(log: DurableLog): Promise<never> {
  const start = Number(boot) * NUMBERS_PER_BOOT;
  const firstOffset = new Map(LANES.map((lane) => [lane, log.range(lane).tail]));
  const appended = new Map<Lane, number>();
  const append = (lane: Lane): Promise<void> => {
    const index = appended.get(lane) ?? 0;
    appended.set(lane, index + 1);
    return new Promise((resolve) => {
      log.append(numberedMessage(lane, start + index), lane, (error) => {
        if (error) say('WRONG', `refused: ${error.message}`);
        else note(lane, (firstOffset.get(lane) ?? 0) + index, start + index);
        resolve();
      });
    });
  };
  for (;;) {
    const burst: Promise<void>[] = [];
    const size = 1 + Math.floor(random() ** 4 * BURST_EVENTS_MAX);
    for (let i = 0; i < size; i++) {
      burst.push(append(laneAtRandom()));
      if (random() < 0.02) await nextTurn(); // so that one burst makes several commits
    }
    await Promise.all(burst);
  }
}

/** Reads back, checks, and moves the cursor to somewhere in what it has read. */
async function settle(log: DurableLog, lane: Lane): Promise<void> {
  const goal = log.range(lane).tail - Math.floor(random() * LAG_EVENTS_MAX);
  for (;;) {
    const { offset } = log.cursors.get(SINK, lane);
    if (offset >= goal) return;
    const blocks = await log.read(lane, offset, READ_BYTES);
    let next = offset;
    for (const block of blocks) {
      for (let index = 0; index < block.count && next < goal; index++) {
        const event = block.eventAt(index);
        if (event.offset < next) continue;
        if (event.offset > next) say('WRONG', `${lane} ${event.offset} read instead of ${next}`);
        if (numberOf(lane, event) === undefined) say('WRONG', `${lane} ${next} is another event`);
        next = event.offset + 1;
      }
    }
    say('SETTLE', lane, next);
    settleTo(log, SINK, lane, next);
  }
}

async function settleForever(log: DurableLog): Promise<never> {
  for (;;) {
    for (const lane of LANES) await settle(log, lane);
    await delay(random() * 20);
  }
}

/**
 * The kernel writes pages back when it likes, some 30 s after they changed, in any order. Here it
 * likes to write the high-water mark early and often, before what the log has not synced.
 */
async function writeMarkBackForever(): Promise<never> {
  for (;;) {
    await delay(random() * MARK_WRITTEN_BACK_MS_MAX);
    const handle = await open(join(folder, 'log.mark'), 'r').catch(() => undefined);
    await handle?.datasync();
    await handle?.close();
  }
}

const chosen: Durability =
  durability === 'fsync' ? { kind: 'fsync' } : { kind: 'interval', intervalMs: NEVER_MS };
say('OPENING');
const { log } = await openDataFolder(folder, {
  durability: chosen,
  profile: Number(boot) % 2 === 0 ? 'latency' : 'balanced',
  bytesMax: BYTES_MAX,
  ageMaxMs: AGE_MAX_MS,
  freeBytesMin: FREE_BYTES_MIN,
  freeBytes,
});
say('OPENED');
const forever = [appendForever(log), settleForever(log)];
if (durability === 'fsync') forever.push(writeMarkBackForever()); // the journal would sync the rest
await Promise.all(forever);
