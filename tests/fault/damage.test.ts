/**
 * Goal: damage at every place. Whatever is cut, zeroed, deleted or flipped in a data directory, the
 * log opens, hands out nothing wrong, loses at most what the damage covers, and says exactly what
 * is lost. Method: a directory made by the real log in several sessions (tables, a write-ahead log,
 * a MANIFEST); copies of it are damaged at sampled places and opened by a child process, which is
 * started again when it dies, as systemd would do. Every payload follows from its offset.
 *
 * HOLDFAST_DAMAGE is the number of places per kind of file and kind of damage.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LANES, type Lane } from '../../hub/core/event.ts';
import { markFile } from '../../hub/log/mark.ts';
import { levelStorage } from '../../hub/log/storage/level-storage.ts';
import { DAMAGE_SINKS, payloadOf } from '../support/damage-oracle.ts';
import { appended, openTestLog, settleTo } from '../support/log-fixture.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';
import type { Remains } from './damage-child.ts';

const CHILD = fileURLToPath(new URL('./damage-child.js', import.meta.url));
const PLACES = Number(process.env['HOLDFAST_DAMAGE'] ?? 8);
const SESSIONS = 4;
const BLOCKS = 12;
/** A folder that makes LevelDB end the process is checked whole at the third start. */
const STARTS_MAX = 3;
const ZEROED_BYTES = 4096;

const KINDS = [
  { kind: 'table', name: /\.ldb$/ },
  { kind: 'write-ahead log', name: /\d\.log$/ },
  { kind: 'MANIFEST', name: /^MANIFEST/ },
  { kind: 'CURRENT', name: /^CURRENT$/ },
  { kind: 'high-water mark', name: /^log\.mark$/ },
] as const;

const MODES = ['flip', 'zero', 'truncate', 'empty', 'delete'] as const;
type Mode = (typeof MODES)[number];

const seed = chooseSeed();
const random = seededRandom(seed);
let base: string;
let tails: Readonly<Record<Lane, number>>;
let child: ChildProcess | undefined;

before(async () => {
  base = await mkdtemp(join(tmpdir(), 'holdfast-damage-'));
  tails = await makeLog(join(base, 'sound'));
});

after(async () => {
  child?.disconnect();
  await rm(base, { recursive: true, force: true });
});

async function makeLog(folder: string): Promise<Record<Lane, number>> {
  const made = { alarm: 0, normal: 0, bulk: 0 };
  for (let session = 0; session < SESSIONS; session++) {
    const storage = levelStorage(join(folder, 'log'));
    const mark = markFile(join(folder, 'log.mark'), () => undefined);
    const log = await openTestLog(storage, { mark, sinks: DAMAGE_SINKS });
    for (let block = 0; block < BLOCKS; block++) {
      const writes: Promise<void>[] = [];
      for (const lane of LANES) {
        for (let event = 0; event < (lane === 'normal' ? 5 : 1); event++) {
          const payload = payloadOf(lane, made[lane]++);
          writes.push(appended(log, { topic: `site/${lane}`, payload, source: 'mqtt' }, lane));
        }
      }
      await Promise.all(writes);
    }
    settleTo(log, 'cloud', 'normal', Math.floor(made.normal / 2));
    await log.close();
  }
  return made;
}

/** The path of a file of this kind, in the data directory. */
async function fileOf(folder: string, name: RegExp): Promise<string> {
  const inLog = (await readdir(join(folder, 'log'))).map((file) => join('log', file));
  const all = [...inLog, 'log.mark'].filter((file) => name.test(file.replace('log/', '')));
  const file = all[Math.floor(random() * all.length)];
  assert(file, `a file like ${name}`);
  return join(folder, file);
}

/** Answers where, for a message. */
async function damage(path: string, mode: Mode): Promise<string> {
  const { size } = await stat(path);
  const at = Math.floor(random() * size);
  const bytes = await readFile(path);
  if (mode === 'flip' && size > 0) bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (at % 8)), at);
  if (mode === 'zero') bytes.fill(0, at, Math.min(size, at + ZEROED_BYTES));
  if (mode === 'flip' || mode === 'zero') await writeFile(path, bytes);
  if (mode === 'truncate') await truncate(path, at);
  if (mode === 'empty') await truncate(path, 0);
  if (mode === 'delete') await rm(path);
  return `${path.slice(base.length)} of ${size} bytes: ${mode} at ${at}, seed ${seed}`;
}

/** What the child finds; it is started again when LevelDB ends it. */
async function look(folder: string): Promise<Remains> {
  for (let start = 1; start <= STARTS_MAX; start++) {
    child ??= fork(CHILD, { stdio: ['ignore', 'inherit', 'ignore', 'ipc'] });
    const current = child;
    const done = new AbortController();
    const { signal } = done;
    const ended = once(current, 'exit', { signal }).then(() => undefined);
    const answer = once(current, 'message', { signal }).then(([message]) => message as Remains);
    current.send(folder);
    const remains = await Promise.race([answer, ended]);
    done.abort();
    await Promise.allSettled([answer, ended]);
    if (remains) return remains;
    child = undefined;
  }
  throw new Error(`LevelDB ended ${STARTS_MAX} processes in a row`);
}

/** Offsets of `[0, tail)` that are not in `ranges`. */
function missing(tail: number, ranges: Remains['read'][Lane]): number[] {
  const there = new Set<number>();
  for (const [from, to] of ranges) for (let at = from; at < to; at++) there.add(at);
  return Array.from({ length: tail }, (_, at) => at).filter((at) => !there.has(at));
}

function offsetsOf(ranges: Remains['damaged'][Lane]): number[] {
  return ranges.flatMap(([from, to]) => Array.from({ length: to - from }, (_, at) => from + at));
}

function judge(remains: Remains, where: string): number {
  assert.equal(remains.error, undefined, where);
  assert.deepEqual(remains.wrong, [], where);
  let lost = 0;
  for (const lane of LANES) {
    const gone = missing(tails[lane], remains.read[lane]);
    assert.deepEqual(offsetsOf(remains.damaged[lane]), gone, `${lane}: ${where}`);
    assert.equal(remains.lost[lane], gone.length, `${lane}: ${where}`);
    assert(remains.given[lane] >= tails[lane], `${lane}: an offset is given again, ${where}`);
    lost += gone.length;
  }
  return lost;
}

async function damagedAndJudged(kind: string, name: RegExp, mode: Mode) {
  const folder = join(base, 'damaged');
  await cp(join(base, 'sound'), folder, { recursive: true });
  try {
    const where = await damage(await fileOf(folder, name), mode);
    const remains = await look(folder);
    const lost = judge(remains, `${kind}: ${where}`);
    judge(await look(folder), `${kind}, opened once more: ${where}`);
    return { lost, openMs: remains.openMs };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

for (const { kind, name } of KINDS) {
  for (const mode of MODES) {
    test(`${kind}: ${mode}`, async (t) => {
      const single = mode === 'empty' || mode === 'delete';
      let [lost, openMs] = [0, 0];
      for (let place = 0; place < (single ? Math.ceil(PLACES / 4) : PLACES); place++) {
        const outcome = await damagedAndJudged(kind, name, mode);
        lost += outcome.lost;
        openMs = Math.max(openMs, outcome.openMs);
      }
      t.diagnostic(`seed ${seed}; ${lost} events lost; opened in ${Math.round(openMs)} ms`);
      // these can be made anew from what is there
      if (kind !== 'table' && kind !== 'write-ahead log') assert.equal(lost, 0);
    });
  }
}
