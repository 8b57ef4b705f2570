/**
 * Goal: a crash at any step of mending leaves something that the next opening mends. Method: the
 * k-th change to the file system fails, and every one after it, for every k; then the folder is
 * opened again and must hold what it holds when nothing fails.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { levelStorage } from '../../hub/log/storage/level-storage.ts';
import { parseName } from '../../hub/log/storage/leveldb/names.ts';
import type { KeyRange } from '../../hub/log/storage/storage.ts';
import { afterTest } from '../support/after-test.ts';

const EVERYTHING: KeyRange = { gte: Buffer.alloc(0), lt: Buffer.from([0xff]) };
const CHANGING = [
  'rename',
  'link',
  'copyFile',
  'unlink',
  'rm',
  'mkdir',
  'writeFile',
  'open',
] as const;
/** Far more steps than mending has. */
const STEPS_MAX = 200;

let base: string;

before(async () => {
  base = await mkdtemp(join(tmpdir(), 'holdfast-mend-'));
  for (let session = 0; session < 3; session++) {
    const storage = levelStorage(join(base, 'sound', 'log'));
    await storage.open();
    for (let n = 0; n < 8; n++) {
      const number = session * 8 + n;
      const text = String(number).padStart(4, '0');
      await storage.write(
        [
          { type: 'put', key: Buffer.from(`b${text}`), value: Buffer.alloc(5_000, text) },
          { type: 'put', key: Buffer.from('mposition'), value: Buffer.from(text) },
        ],
        { sync: true },
      );
    }
    await storage.close();
  }
});

after(() => rm(base, { recursive: true, force: true }));

async function contents(data: string): Promise<string[]> {
  const storage = levelStorage(join(data, 'log'), { lostFolder: join(data, 'lost+found') });
  await storage.open();
  const found: string[] = [];
  for await (const [key, value] of storage.entries(EVERYTHING)) {
    found.push(`${key} ${value.length} ${value.subarray(0, 4)}`);
  }
  await storage.close();
  return found;
}

/** Lets `steps` changes happen and no more. Answers whether there would have been more. */
async function withSteps(steps: number, work: () => Promise<unknown>): Promise<boolean> {
  const saved = { ...fs.promises };
  let left = steps;
  let failed = false;
  for (const name of CHANGING) {
    const original = saved[name] as (...args: unknown[]) => Promise<unknown>;
    Object.assign(fs.promises, {
      [name]: async (...args: unknown[]) => {
        if (name === 'open' && args[1] === 'r') return await original(...args);
        if (--left < 0) {
          failed = true;
          throw Object.assign(new Error('EIO: of a test'), { code: 'EIO' });
        }
        return await original(...args);
      },
    });
  }
  syncBuiltinESMExports();
  try {
    await work().catch(() => undefined);
  } finally {
    Object.assign(fs.promises, saved);
    syncBuiltinESMExports();
  }
  return failed;
}

async function harm(data: string, kind: string, change: (path: string) => Promise<unknown>) {
  const folder = join(data, 'log');
  const name = (await readdir(folder)).find((file) => parseName(file)?.kind === kind);
  await change(join(folder, name ?? ''));
}

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 16, at);
  await writeFile(path, bytes);
}

const CASES: readonly (readonly [string, (data: string) => Promise<unknown>])[] = [
  ['CURRENT is missing', (data) => rm(join(data, 'log', 'CURRENT'))],
  ['the MANIFEST is damaged', (data) => harm(data, 'manifest', (path) => flip(path, 20))],
  ['the write-ahead log is damaged', (data) => harm(data, 'log', (path) => flip(path, 6_000))],
  ['the write-ahead log is missing', (data) => harm(data, 'log', (path) => rm(path))],
  ['a table is cut', (data) => harm(data, 'table', (path) => truncate(path, 17_000))],
  ['a table is empty', (data) => harm(data, 'table', (path) => truncate(path, 0))],
  [
    'all of it',
    async (data) => {
      await harm(data, 'log', (path) => flip(path, 6_000));
      await harm(data, 'table', (path) => truncate(path, 17_000));
      await harm(data, 'manifest', (path) => truncate(path, 30));
    },
  ],
];

for (const [what, damage] of CASES) {
  test(`${what}: mending may end at any step`, async (t) => {
    const damaged = join(base, 'damaged');
    const copy = join(base, 'copy');
    await cp(join(base, 'sound'), damaged, { recursive: true });
    afterTest(t, () => rm(damaged, { recursive: true, force: true }));
    await damage(damaged);
    await cp(damaged, copy, { recursive: true });
    const expected = await contents(copy);
    await rm(copy, { recursive: true });
    let steps = 0;
    for (let more = true; more; steps++) {
      assert(steps < STEPS_MAX, 'it ends');
      await cp(damaged, copy, { recursive: true });
      more = await withSteps(steps, () => contents(copy));
      assert.deepEqual(await contents(copy), expected, `after ${steps} steps`);
      await rm(copy, { recursive: true });
    }
    t.diagnostic(`${steps} steps`);
    assert(steps > 3, 'or nothing was mended');
  });
}
