/**
 * One scenario on a real log, for every-step.test.ts: `every-step-child.js FOLDER SCENARIO FIRST`.
 * Events are numbered from FIRST. Says on stdout, one line each, written at once:
 *
 * - `ACK lane number`: it was acknowledged just now;
 * - `TAIL lane offset`: offsets below it have been given;
 * - `SETTLE lane offset`: about to move the cursor there;
 * - `REPLAY id`: it was asked for; `REPLAYED lane/offset`: the far side has taken that again;
 * - `REFUSED code`: the log did not open. Ends with 3;
 * - `DONE`.
 */
import { writeSync } from 'node:fs';
import { HubError } from '../../hub/core/errors.ts';
import { LANES, type Lane } from '../../hub/core/event.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import type { LogOptions } from '../../hub/log/log-options.ts';
import { numberedMessage } from '../power-cut/event-payload.ts';
import { openDataFolder, SINK } from '../power-cut/open-data-folder.ts';
import { settleTo } from '../support/log-fixture.ts';
import { prepareReplay, replay } from './every-step-replay.ts';
import { prepareThin, thin } from './every-step-thin.ts';

const EVERYTHING = { gte: Buffer.alloc(0), lt: Buffer.from([0xff]) };
const REFUSED_EXIT_CODE = 3;
/** Of 2 KB on average: so much that trimming gives back what a short volume lacks. */
const ROUNDS = 4;
/** Who waits for room waits for the log's housekeeping, which keeps no process alive. */
const alive = setInterval(() => {}, 1_000);

const [folder = '', scenario = '', first = '0'] = process.argv.slice(2);
let nextNumber = Number(first);

function say(...words: readonly (string | number)[]): void {
  writeSync(1, `${words.join(' ')}\n`);
}

async function append(log: DurableLog, lane: Lane, events: number): Promise<void> {
  const all = Array.from({ length: events }, () => {
    const number = nextNumber++;
    return new Promise<void>((resolve) => {
      log.append(numberedMessage(lane, number), lane, (error) => {
        if (!error) say('ACK', lane, number);
        resolve();
      });
    });
  });
  await Promise.all(all);
  say('TAIL', lane, log.range(lane).tail);
}

/** Two commits a lane, of different sizes. */
async function appendRound(log: DurableLog, events: number): Promise<void> {
  for (const lane of LANES) await append(log, lane, 1);
  await Promise.all(LANES.map((lane) => append(log, lane, events)));
}

/** Moves the cursors, and writes that. */
async function settle(log: DurableLog, share: number): Promise<void> {
  for (const lane of LANES) {
    const { offset } = log.cursors.get(SINK, lane);
    const { tail } = log.range(lane);
    const to = offset + Math.floor((tail - offset) * share);
    say('SETTLE', lane, to);
    settleTo(log, SINK, lane, to);
  }
  await new Promise<void>((resolve) => log.write([], () => resolve()));
}

async function withLog(
  options: Partial<LogOptions>,
  use: (log: DurableLog) => Promise<void>,
): Promise<void> {
  const { log } = await openDataFolder(folder, options);
  await use(log);
  await log.close();
}

/** Every other look at the volume finds it short, so that the log trims and compacts. */
function shortNowAndThen(): Partial<LogOptions> {
  let looks = 0;
  return {
    ageMaxMs: 0,
    freeBytesMin: 1024 ** 2,
    freeBytes: async () => (++looks % 2 === 1 ? 0 : 1024 ** 3),
  };
}

const SCENARIOS: Readonly<Record<string, () => Promise<void>>> = {
  /** Tables and a write-ahead log, for others to begin with. */
  async prepare() {
    const { log, storage } = await openDataFolder(folder);
    for (let round = 0; round < 2 * ROUNDS; round++) await appendRound(log, 6);
    await storage.compact(EVERYTHING);
    for (let round = 0; round < ROUNDS; round++) await appendRound(log, 6);
    await settle(log, 0.5);
    await log.close();
    await withLog({}, async (again) => {
      for (let round = 0; round < ROUNDS; round++) await appendRound(again, 6);
    });
  },
  async create() {
    await withLog({}, (log) => appendRound(log, 2));
  },
  async commit() {
    await withLog({}, async (log) => {
      for (let round = 0; round < ROUNDS; round++) {
        await appendRound(log, 5);
        await settle(log, 0.5);
      }
    });
    await withLog({}, (log) => appendRound(log, 2));
  },
  async trim() {
    await withLog(shortNowAndThen(), async (log) => {
      await settle(log, 0.5);
      await appendRound(log, 3);
      await settle(log, 1);
      await appendRound(log, 3);
    });
    await withLog(shortNowAndThen(), (log) => appendRound(log, 2));
  },
  async repair() {
    await withLog({}, async (log) => {
      await log.checked();
      await appendRound(log, 2);
    });
    await withLog({}, (log) => log.checked());
  },
  async 'prepare-thin'() {
    say('TAIL', 'normal', await prepareThin(folder));
  },
  async thin() {
    await thin(folder, (tail) => say('TAIL', 'normal', tail));
  },
  async 'prepare-replay'() {
    await prepareReplay(folder);
  },
  async replay() {
    await replay(folder, {
      requested: (id) => say('REPLAY', id),
      replayed: (what) => say('REPLAYED', what),
    });
  },
};

const run = SCENARIOS[scenario];
if (!run) throw new Error(`no scenario ${scenario}`);
try {
  await run();
  say('DONE');
} catch (error) {
  if (!(error instanceof HubError)) throw error;
  say('REFUSED', error.code);
  process.exitCode = REFUSED_EXIT_CODE;
} finally {
  clearInterval(alive);
}
