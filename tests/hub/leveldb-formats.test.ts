import assert from 'node:assert/strict';
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { Level } from 'level';
import { crc32c, crc32cStep, maskCrc } from '../../hub/log/storage/leveldb/crc32c.ts';
import { type FramedFile, readFramed, writeFramed } from '../../hub/log/storage/leveldb/framing.ts';
import { readCurrent, readManifest } from '../../hub/log/storage/leveldb/inspect.ts';
import { manifestName, parseName, tableName } from '../../hub/log/storage/leveldb/names.ts';
import { readWrite, type Version } from '../../hub/log/storage/leveldb/operations.ts';
import { unsnap } from '../../hub/log/storage/leveldb/snappy.ts';
import { compareVersions } from '../../hub/log/storage/leveldb/table-block.ts';
import { openTable, type TablePart } from '../../hub/log/storage/leveldb/table-reader.ts';
import { writeTable } from '../../hub/log/storage/leveldb/table-writer.ts';
import { Versions, writeState } from '../../hub/log/storage/leveldb/version-edit.ts';
import { afterTest } from '../support/after-test.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-leveldb-'));
  afterTest(t, () => rm(path, { recursive: true, force: true }));
  return path;
}

interface Written {
  readonly path: string;
  readonly contents: ReadonlyMap<string, Buffer>;
}

/** A database of the real LevelDB with several tables, deletions and a write-ahead log. */
async function realDatabase(t: TestContext, compression: boolean): Promise<Written> {
  const path = await folder(t);
  const seed = chooseSeed();
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const contents = new Map<string, Buffer<ArrayBufferLike>>();
  const database = new Level<string, Buffer>(path, {
    valueEncoding: 'buffer',
    compression,
    writeBufferSize: 128 * 1024,
  });
  await database.open();
  for (let n = 0; n < 600; n++) {
    const key = `b${String(n).padStart(6, '0')}`;
    const half = Math.floor(random() * 1500);
    const value = Buffer.concat([Buffer.alloc(half, key), Buffer.from([n & 0xff])]);
    contents.set(key, value);
    await database.batch([
      { type: 'put', key, value },
      { type: 'put', key: 'position', value: Buffer.from(String(n)) },
    ]);
    if (n % 7 !== 0) continue;
    const gone = `b${String(Math.floor(random() * n)).padStart(6, '0')}`;
    contents.delete(gone);
    await database.del(gone);
  }
  contents.set('position', Buffer.from('599'));
  await database.close();
  return { path, contents };
}

/** Everything that our readers find in the files, the newest version of each key. */
async function readAll(path: string): Promise<Map<string, Buffer>> {
  const newest = new Map<string, Version>();
  const see = (version: Version) => {
    const before = newest.get(version.key.toString());
    if (!before || before.sequence < version.sequence) newest.set(version.key.toString(), version);
  };
  for (const name of await readdir(path)) {
    const kind = parseName(name)?.kind;
    if (kind === 'log') {
      const framed = readFramed(await readFile(join(path, name)));
      assert.deepEqual(framed.damage, []);
      for (const { data } of framed.records) for (const version of readWrite(data)) see(version);
    }
    if (kind !== 'table') continue;
    const table = await openTable(join(path, name));
    assert.equal(table.problem, undefined);
    for await (const part of table.parts()) {
      assert.equal(part.kind, 'block');
      if (part.kind === 'block') for (const version of part.versions) see(version);
    }
    await table.close();
  }
  const found = [...newest.values()].filter(({ value }) => value !== undefined);
  return new Map(found.map(({ key, value }) => [key.toString(), value ?? Buffer.alloc(0)]));
}

test('CRC-32C is the one of the standard, whole and byte by byte', () => {
  const text = Buffer.from('123456789');
  assert.equal(crc32c(text), 0xe3069283);
  assert.equal(
    [...text].reduce((crc, byte) => crc32cStep(crc, byte), 0),
    0xe3069283,
  );
  assert.equal(crc32c(text, 4, 9, crc32c(text, 0, 4)), 0xe3069283);
  assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa); // RFC 3720, B.4
  assert.equal(maskCrc(0), 0xa282ead8);
});

for (const compression of [false, true]) {
  test(`files of the real LevelDB are read whole, compression ${compression}`, async (t) => {
    const { path, contents } = await realDatabase(t, compression);
    const found = await readAll(path);
    assert.deepEqual([...found.keys()].sort(), [...contents.keys()].sort());
    for (const [key, value] of contents) assert.deepEqual(found.get(key), value, key);
    const names = await readdir(path);
    const tables = names.filter((name) => parseName(name)?.kind === 'table');
    assert(tables.length > 1, 'several tables, or this test shows little');
    const current = await readCurrent(path);
    const view = await readManifest(path, manifestName(current ?? 0));
    assert.deepEqual(view?.damage, []);
    // one may be finished and not named yet: LevelDB was closed while it made it
    const named = [...(view?.state?.tables.keys() ?? [])];
    assert(named.length >= tables.length - 1);
    assert(named.every((number) => tables.includes(tableName(number))));
  });
}

test('a state written by us is the state LevelDB wrote', async (t) => {
  const { path } = await realDatabase(t, false);
  const view = await readManifest(path, manifestName((await readCurrent(path)) ?? 0));
  assert(view?.state);
  const versions = new Versions();
  const [record] = readFramed(writeFramed([writeState(view.state)])).records;
  versions.apply(record?.data ?? Buffer.alloc(0));
  assert.deepEqual(versions.state, view.state);
});

function blocksOf(parts: readonly TablePart[]): number {
  return parts.reduce((sum, part) => sum + (part.kind === 'block' ? part.versions.length : 0), 0);
}

async function partsOf(path: string): Promise<{ problem: string | undefined; parts: TablePart[] }> {
  const table = await openTable(path);
  const parts: TablePart[] = [];
  for await (const part of table.parts()) parts.push(part);
  await table.close();
  return { problem: table.problem, parts };
}

async function writtenTable(t: TestContext, values: number): Promise<string> {
  const path = join(await folder(t), '000005.ldb');
  const file = await open(path, 'w');
  const random = seededRandom(7);
  async function* versions(): AsyncGenerator<Version> {
    for (let n = 0; n < values; n++) {
      const value = Buffer.from(Array.from({ length: 700 }, () => Math.floor(random() * 256)));
      yield { key: Buffer.from(`key${String(n).padStart(5, '0')}`), sequence: n + 1, value };
    }
  }
  await writeTable(file, versions());
  await file.close();
  return path;
}

test('a table without its end gives every block that is there', async (t) => {
  const path = await writtenTable(t, 200);
  const whole = await partsOf(path);
  assert.equal(whole.problem, undefined);
  assert.equal(blocksOf(whole.parts), 200);
  const bytes = await readFile(path);
  const half = Math.floor(bytes.length / 2);
  await writeFile(path, bytes.subarray(0, half));
  const cut = await partsOf(path);
  assert.equal(cut.problem, 'its footer is damaged');
  const expected = whole.parts.filter(({ offset }, index) => {
    return (whole.parts[index + 1]?.offset ?? half) <= half && offset < half;
  });
  assert.equal(blocksOf(cut.parts), blocksOf(expected));
});

test('a damaged block costs itself, with an index and without', async (t) => {
  const path = await writtenTable(t, 200);
  const whole = await partsOf(path);
  const bytes = await readFile(path);
  const [, , third] = whole.parts;
  assert(third?.kind === 'block');
  bytes.writeUInt8(bytes.readUInt8(third.offset + 100) ^ 1, third.offset + 100);
  await writeFile(path, bytes);
  const indexed = await partsOf(path);
  assert.equal(blocksOf(indexed.parts), 200 - third.versions.length);
  assert.equal(indexed.parts.filter(({ kind }) => kind === 'damage').length, 1);
  await writeFile(path, bytes.subarray(0, -10));
  const scanned = await partsOf(path);
  assert.equal(blocksOf(scanned.parts), 200 - third.versions.length);
  assert.equal(scanned.parts.find(({ kind }) => kind === 'damage')?.offset, third.offset);
});

test('LevelDB reads a table that we wrote', async (t) => {
  const { path, contents } = await realDatabase(t, false);
  for (const name of await readdir(path)) {
    if (parseName(name)?.kind !== 'table') continue;
    const table = await openTable(join(path, name));
    const versions: Version[] = [];
    for await (const version of table.versions()) versions.push(version);
    await table.close();
    assert.deepEqual(versions, [...versions].sort(compareVersions));
    const file = await open(join(path, name), 'w');
    const written = await writeTable(file, Readable.from(versions));
    await file.close();
    const current = manifestName((await readCurrent(path)) ?? 0);
    const state = (await readManifest(path, current))?.state;
    assert(state && written);
    const number = Number.parseInt(name, 10);
    const facts = state.tables.get(number);
    if (!facts) continue; // LevelDB was closed while it made it
    const tables = new Map(state.tables).set(number, { ...facts, ...written });
    await writeFile(join(path, current), writeFramed([writeState({ ...state, tables })]));
  }
  const database = new Level<string, Buffer>(path, { valueEncoding: 'buffer' });
  const found = await database.iterator().all();
  await database.close();
  assert.deepEqual(
    found,
    [...contents].sort(([a], [b]) => (a < b ? -1 : 1)),
  );
});

const records = fc.array(
  fc.oneof(
    fc.uint8Array({ min: 1, maxLength: 40 }), // no zeros: what is cut off would come back with them
    fc
      .tuple(fc.integer({ min: 1, max: 255 }), fc.integer({ min: 30_000, max: 100_000 }))
      .map(([byte, length]) => new Uint8Array(length).fill(byte)),
    fc.integer({ min: 32_740, max: 32_775 }).map((length) => new Uint8Array(length).fill(9)),
  ),
  { maxLength: 12 },
);

const data = ({ records: all }: FramedFile) => all.map((record) => record.data);

test('framing: what is written is read', () => {
  fc.assert(
    fc.property(records, (arrays) => {
      const buffers = arrays.map((array) => Buffer.from(array));
      const framed = readFramed(writeFramed(buffers));
      assert.deepEqual(framed.damage, []);
      assert.equal(framed.tornAt, undefined);
      assert.deepEqual(data(framed), buffers);
    }),
    { numRuns: 100 },
  );
});

test('framing: a cut costs what is behind it, and is no damage', () => {
  fc.assert(
    fc.property(records, fc.double({ min: 0, max: 1, noNaN: true }), (arrays, share) => {
      const buffers = arrays.map((array) => Buffer.from(array));
      const whole = writeFramed(buffers);
      const cut = whole.subarray(0, Math.floor(whole.length * share));
      const framed = readFramed(cut);
      assert.deepEqual(framed.damage, []);
      assert.deepEqual(data(framed), buffers.slice(0, framed.records.length));
      const zeros = Buffer.concat([cut, Buffer.alloc(5_000)]);
      assert.deepEqual(data(readFramed(zeros)), data(framed));
      assert.deepEqual(readFramed(zeros).damage, []);
    }),
    { numRuns: 100 },
  );
});

test('framing: a flipped bit costs one record, and is found', () => {
  const random = seededRandom(11);
  const buffers = Array.from({ length: 300 }, (_, n) =>
    Buffer.from(Array.from({ length: 200 + (n % 900) }, () => Math.floor(random() * 256))),
  );
  const whole = writeFramed(buffers);
  for (let round = 0; round < 300; round++) {
    const at = Math.floor(random() * (whole.length - 1_500));
    const damaged = Buffer.from(whole);
    damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << Math.floor(random() * 8)), at);
    const framed = readFramed(damaged);
    const trailer = framed.records.length === buffers.length; // a filling byte carries nothing
    if (trailer) continue;
    assert.equal(framed.damage.length, 1, `byte ${at}`);
    const [spot] = framed.damage;
    assert(spot && spot.offset <= at && at < spot.offset + spot.bytes, `byte ${at}`);
    assert.equal(framed.records.length, buffers.length - 1, `byte ${at}`);
    const left = new Set(data(framed).map((record) => record.toString('latin1')));
    assert.equal(buffers.filter((one) => !left.has(one.toString('latin1'))).length, 1);
  }
});

test('snappy: literals and copies, and refusal of what is no snappy', () => {
  // "abcabcabcabc" and then 70 times "x": a short copy that overlaps itself, a long one
  const packed = Buffer.from([
    82, 0x08, 0x61, 0x62, 0x63, 0x15, 3, 0x00, 0x78, 0xfe, 1, 0, 0x12, 1, 0,
  ]);
  assert.equal(unsnap(packed).toString(), `${'abc'.repeat(4)}${'x'.repeat(70)}`);
  assert.throws(() => unsnap(Buffer.from([5, 0x15, 3])));
  assert.throws(() => unsnap(Buffer.from([200, 0x08, 0x61, 0x62, 0x63])));
});
