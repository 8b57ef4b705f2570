/** What opening does to a folder that is not as LevelDB left it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Level } from 'level';
import { levelStorage } from '../../hub/log/storage/level-storage.ts';
import { readFramed, writeFramed } from '../../hub/log/storage/leveldb/framing.ts';
import { parseName } from '../../hub/log/storage/leveldb/names.ts';
import { openTable } from '../../hub/log/storage/leveldb/table-reader.ts';
import type { KeyRange, Storage } from '../../hub/log/storage/storage.ts';
import { afterTest } from '../support/after-test.ts';

const KEYS: KeyRange = { gte: Buffer.from('b'), lt: Buffer.from('c') };
const ALL: KeyRange = { gte: Buffer.alloc(0), lt: Buffer.from([0xff]) };
const POSITION = Buffer.from('mposition');

interface Place {
  readonly data: string;
  readonly log: string;
  readonly lost: string;
}

async function place(t: TestContext): Promise<Place> {
  const data = await mkdtemp(join(tmpdir(), 'holdfast-storage-'));
  afterTest(t, () => rm(data, { recursive: true, force: true }));
  return { data, log: join(data, 'log'), lost: join(data, 'lost+found') };
}

const at = ({ log, lost }: Place): Storage => levelStorage(log, { lostFolder: lost });

const key = (n: number): Buffer => Buffer.from(`b${String(n).padStart(4, '0')}`);
const value = (n: number): Buffer => Buffer.alloc(6_000, `value ${n} `);

/** Three sessions of ten writes: two tables and a write-ahead log. */
async function filled(t: TestContext): Promise<Place> {
  const where = await place(t);
  for (let session = 0; session < 3; session++) {
    const storage = at(where);
    assert.deepEqual(await storage.open(), []);
    for (let n = session * 10; n < session * 10 + 10; n++) {
      const operations = [
        { type: 'put', key: key(n), value: value(n) },
        { type: 'put', key: POSITION, value: Buffer.from(String(n)) },
      ] as const;
      await storage.write(operations, { sync: true });
    }
    await storage.close();
  }
  return where;
}

async function keysOf(storage: Storage, range = KEYS): Promise<string[]> {
  const keys: string[] = [];
  for await (const [found, bytes] of storage.entries(range)) {
    const name = found.toString();
    if (name.startsWith('b')) assert.deepEqual(bytes, value(Number(name.slice(1))), name);
    keys.push(name);
  }
  return keys;
}

const keysBut = (...gone: number[]): string[] =>
  Array.from({ length: 30 }, (_, n) => n)
    .filter((n) => !gone.includes(n))
    .map((n) => key(n).toString());

async function named(folder: string, kind: string): Promise<string[]> {
  const names = await readdir(folder);
  return names.filter((name) => parseName(name)?.kind === kind).sort();
}

test('a sound folder is opened without a finding, and nothing is set aside', async (t) => {
  const where = await filled(t);
  const storage = at(where);
  assert.deepEqual(await storage.open(), []);
  assert.deepEqual(await keysOf(storage), keysBut());
  await storage.close();
  await assert.rejects(stat(where.lost), { code: 'ENOENT' });
});

for (const text of [undefined, '', 'MANIFEST-000001', 'MANIFEST-999999\n', '\0'.repeat(16)]) {
  test(`CURRENT is ${JSON.stringify(text)}: LevelDB would begin anew, or not open`, async (t) => {
    const where = await filled(t);
    const current = join(where.log, 'CURRENT');
    if (text === undefined) await rm(current);
    else await writeFile(current, text);
    const storage = at(where);
    const findings = await storage.open();
    assert.equal(findings.length, 1);
    assert.deepEqual(await keysOf(storage), keysBut());
    assert.equal((await storage.get(POSITION))?.toString(), '29');
    await storage.close();
    const [report] = (await readdir(where.lost)).filter((name) => name.endsWith('report.json'));
    const facts = JSON.parse(await readFile(join(where.lost, report ?? ''), 'utf8'));
    assert.equal(facts.problem, findings[0]?.problem);
    assert.equal(facts.file, findings[0]?.file);
  });
}

test('a MANIFEST cut between two records is an older state: nothing is deleted', async (t) => {
  const where = await place(t);
  const database = new Level<Buffer, Buffer>(where.log, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    compression: false,
    writeBufferSize: 64 * 1024, // many tables, and compactions of them
  });
  for (let n = 0; n < 300; n++) {
    await database.put(key(n), value(n));
    await database.put(POSITION, Buffer.from(String(n)));
  }
  await database.close();
  const [name = ''] = await named(where.log, 'manifest');
  const { records } = readFramed(await readFile(join(where.log, name)));
  assert(records.length > 10);
  for (let kept = 1; kept < records.length; kept += 3) {
    const copy = await place(t);
    await cp(where.log, copy.log, { recursive: true });
    const cut = writeFramed(records.slice(0, kept).map(({ data }) => data));
    await writeFile(join(copy.log, name), cut);
    const storage = at(copy);
    await storage.open();
    assert.equal((await keysOf(storage)).length, 300, `${kept} of ${records.length} records`);
    assert.equal((await storage.get(POSITION))?.toString(), '299');
    await storage.close();
  }
});

test('without any MANIFEST the newest value of a key comes first, also after more writes', async (t) => {
  const where = await filled(t);
  for (const name of await named(where.log, 'manifest')) await rm(join(where.log, name));
  await rm(join(where.log, 'CURRENT'));
  for (const next of ['after', 'and once more']) {
    const storage = at(where);
    await storage.open();
    assert.deepEqual(await keysOf(storage), keysBut());
    const before = (await storage.get(POSITION))?.toString();
    assert.equal(before, next === 'after' ? '29' : 'after');
    await storage.write([{ type: 'put', key: POSITION, value: Buffer.from(next) }], { sync: true });
    await storage.compact(ALL);
    assert.equal((await storage.get(POSITION))?.toString(), next);
    await storage.close();
  }
});

test('a flipped bit in the write-ahead log costs one write, and the rest of its page stays', async (t) => {
  const where = await filled(t);
  const [name = ''] = await named(where.log, 'log');
  const path = join(where.log, name);
  const bytes = await readFile(path);
  const before = readFramed(bytes).records;
  assert.equal(before.length, 10);
  bytes.writeUInt8(bytes.readUInt8(5_000) ^ 4, 5_000);
  await writeFile(path, bytes);
  const storage = at(where);
  const [finding] = await storage.open();
  assert.equal(finding?.file, `log/${name}`);
  assert.deepEqual(await keysOf(storage), keysBut(20));
  await storage.close();
  assert.deepEqual(await readFile(finding?.setAside ?? ''), bytes, 'as it was found');
});

test('half a write at the end of the log is what a power cut leaves: no finding', async (t) => {
  const where = await filled(t);
  const [name = ''] = await named(where.log, 'log');
  const { size } = await stat(join(where.log, name));
  await truncate(join(where.log, name), size - 100);
  const storage = at(where);
  assert.deepEqual(await storage.open(), []);
  assert.deepEqual(await keysOf(storage), keysBut(29));
  await storage.close();
});

test('a missing write-ahead log and a missing table are findings, and the rest is served', async (t) => {
  const where = await filled(t);
  const [log = ''] = await named(where.log, 'log');
  const [table = ''] = await named(where.log, 'table');
  await rm(join(where.log, log));
  await rm(join(where.log, table));
  const storage = at(where);
  const findings = await storage.open();
  assert.deepEqual(findings.map(({ file }) => file).sort(), [`log/${table}`, `log/${log}`].sort());
  assert.deepEqual(await keysOf(storage), keysBut().slice(10, 20));
  await storage.close();
  const again = at(where);
  assert.deepEqual(await again.open(), [], 'told once');
  await again.close();
});

test('a cut table keeps its whole blocks, in its place', async (t) => {
  const where = await filled(t);
  const [name = ''] = await named(where.log, 'table');
  await truncate(join(where.log, name), 20_000); // values of 6,000 bytes: three are whole
  const storage = at(where);
  const [finding] = await storage.open();
  assert.equal(finding?.file, `log/${name}`);
  assert.deepEqual(await keysOf(storage), keysBut(3, 4, 5, 6, 7, 8, 9));
  assert.equal((await storage.get(POSITION))?.toString(), '29');
  await storage.close();
});

/** Flips a bit in the length of a key: LevelDB's assertion ends the process that reads it. */
async function harmKey(where: Place): Promise<void> {
  const [name = ''] = await named(where.log, 'table');
  const path = join(where.log, name);
  const table = await openTable(path);
  const offsets: number[] = [];
  for await (const part of table.parts()) offsets.push(part.offset);
  await table.close();
  const bytes = await readFile(path);
  bytes.writeUInt8(2, (offsets[3] ?? 0) + 1); // shared 0, then the length of the rest of the key
  await writeFile(path, bytes);
}

const READER = `
  const { levelStorage } = await import(process.argv[1]);
  const storage = levelStorage(process.argv[2], { lostFolder: process.argv[3] });
  const findings = await storage.open();
  let count = 0;
  for await (const entry of storage.entries({ gte: Buffer.from('b'), lt: Buffer.from('c') })) count++;
  await storage.close();
  console.log(JSON.stringify({ findings, count }));
`;

test('damage that makes LevelDB end the process is found when two have died', async (t) => {
  const where = await filled(t);
  await harmKey(where);
  const module = new URL('../../hub/log/storage/level-storage.js', import.meta.url).href;
  const args = ['--input-type=module', '-e', READER, module, where.log, where.lost];
  const cwd = fileURLToPath(new URL('.', import.meta.url));
  const run = () => spawnSync(process.execPath, args, { cwd, encoding: 'utf8' });
  assert.equal(run().signal, 'SIGABRT', 'or this test shows nothing');
  assert.equal(run().signal, 'SIGABRT');
  const third = run();
  assert.equal(third.signal, null);
  const { findings, count } = JSON.parse(third.stdout);
  assert.equal(findings.length, 1);
  assert.equal(count, 29);
});

test('what is no log of LevelDB is set aside whole', async (t) => {
  const where = await place(t);
  await mkdir(where.log);
  await writeFile(join(where.log, 'notes.txt'), 'not ours');
  const storage = at(where);
  const [finding] = await storage.open();
  assert.equal(finding?.file, 'log');
  assert.equal(await readFile(join(finding?.setAside ?? '', 'notes.txt'), 'utf8'), 'not ours');
  assert.deepEqual(await keysOf(storage, ALL), []);
  await storage.close();
});

test('a file in the place of the folder, and a database ordered otherwise, are set aside', async (t) => {
  const where = await place(t);
  await writeFile(where.log, 'a file');
  const storage = at(where);
  assert.equal((await storage.open())[0]?.problem, 'it is not a folder');
  await storage.close();
  const [name = ''] = await named(where.log, 'manifest');
  const path = join(where.log, name);
  const records = readFramed(await readFile(path)).records.map(({ data }) => data);
  const other = records.map((data) => {
    const text = data.toString('latin1').replace('leveldb.Bytewise', 'someone.Bytewise');
    return Buffer.from(text, 'latin1');
  });
  await writeFile(path, writeFramed(other));
  const again = at(where);
  assert.match((await again.open())[0]?.problem ?? '', /someone\.BytewiseComparator/);
  await again.close();
});

for (const [what, files] of Object.entries({
  'no CURRENT yet': { 'MANIFEST-000001': 'cut', LOCK: '' },
  'CURRENT without a MANIFEST': { CURRENT: 'MANIFEST-000001\n', LOCK: '' },
  'an empty MANIFEST': { CURRENT: 'MANIFEST-000001\n', 'MANIFEST-000001': '', LOCK: '' },
  'empty files': { CURRENT: '', 'MANIFEST-000002': '', '000003.log': '', LOCK: '' },
})) {
  test(`a first creation that was cut short is begun again in silence: ${what}`, async (t) => {
    const where = await place(t);
    await mkdir(where.log);
    for (const [name, text] of Object.entries(files)) await writeFile(join(where.log, name), text);
    const storage = at(where);
    assert.deepEqual(await storage.open(), []);
    await storage.write([{ type: 'put', key: key(1), value: value(1) }], { sync: true });
    await storage.close();
  });
}

test('a folder that another process has open is not touched, whatever it looks like', async (t) => {
  const where = await filled(t);
  const holder = new Level(where.log);
  await holder.open();
  await rm(join(where.log, 'CURRENT'));
  const module = new URL('../../hub/log/storage/level-storage.js', import.meta.url).href;
  const args = ['--input-type=module', '-e', READER, module, where.log, where.lost];
  const { stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.notEqual(status, 0);
  assert.match(stderr, /LOG_LOCKED/);
  await assert.rejects(stat(where.lost), { code: 'ENOENT' });
  await holder.close();
});

test('startOver sets the log aside and begins a new one', async (t) => {
  const where = await filled(t);
  const storage = at(where);
  await storage.open();
  const [finding] = await storage.startOver('it has format 9');
  assert.equal(finding?.problem, 'it has format 9');
  assert.deepEqual(await keysOf(storage, ALL), []);
  const salvaged: string[] = [];
  for await (const [found] of storage.salvage(KEYS)) salvaged.push(found.toString());
  assert.deepEqual(salvaged, [], 'another log is no part of this one');
  await storage.close();
  const aside = levelStorage(finding?.setAside ?? '');
  await aside.open();
  assert.deepEqual(await keysOf(aside), keysBut());
  await aside.close();
});

test('what is set aside is bounded, the oldest goes first', async (t) => {
  const where = await filled(t);
  for (let round = 0; round < 40; round++) {
    await writeFile(join(where.log, 'CURRENT'), 'nothing');
    const storage = at(where);
    assert.equal((await storage.open()).length, 1);
    await storage.close();
  }
  const names = await readdir(where.lost);
  const kept = names
    .filter((name) => name.endsWith('CURRENT'))
    .map((name) => Number.parseInt(name, 10));
  assert.equal(kept.length, 32);
  assert.equal(Math.min(...kept), 9);
});
