import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { fileSinkSpec } from '../../sinks/file/spec.ts';
import { codeOf, connect, deliver, sinkContext, sinkContract, until } from '../contract/sink.ts';
import { batchOf, eventOf } from '../contract/sink-events.ts';
import { afterTest } from '../support/after-test.ts';

const never = (): AbortSignal => new AbortController().signal;

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-file-'));
  afterTest(t, () => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function createSink(dataDir: string, options: Record<string, unknown> = {}) {
  const parsed = fileSinkSpec.options.parse({ path: 'out', ...options });
  return await fileSinkSpec.create(parsed, sinkContext(dataDir));
}

async function files(folder: string): Promise<string[]> {
  return (await readdir(folder)).sort();
}

interface Line {
  readonly id: string;
  readonly data: unknown;
}

/** Every line of every file, oldest first; a line that is not JSON makes it throw. */
async function lines(folder: string): Promise<Line[]> {
  const names = (await files(folder)).filter((name) => /\.ndjson(\.gz)?$/.test(name));
  const active = names.indexOf('cloud.ndjson');
  if (active >= 0) names.push(...names.splice(active, 1)); // it sorts before the numbered ones
  const all: Line[] = [];
  for (const name of names) {
    const raw = await readFile(join(folder, name));
    const text = (name.endsWith('.gz') ? gunzipSync(raw) : raw).toString();
    if (text === '') continue;
    assert.ok(text.endsWith('\n'), `${name} ends with a whole line`);
    for (const line of text.trimEnd().split('\n')) all.push(JSON.parse(line));
  }
  return all;
}

const offsets = async (folder: string): Promise<number[]> =>
  (await lines(folder)).map(({ data }) => Number(data));

const range = (first: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => first + i);

sinkContract({
  name: 'file',
  without: {
    throttle: 'a file system does not ask for fewer requests',
    stall: 'a local file cannot be made to wait; that an abort is obeyed is tested beforehand',
    reject: 'a file takes any event',
  },
  async start(t) {
    const dataDir = await temporaryFolder(t);
    const folder = join(dataDir, 'out');
    const blocked = join(dataDir, 'blocked');
    return {
      create: () => createSink(dataDir),
      seen: () => offsets(folder).catch(() => []),
      // The folder vanishes, as on a USB stick that is pulled, and its mount point takes no folder.
      async cut() {
        await mkdir(folder, { recursive: true });
        await rename(folder, blocked);
        await symlink('out', folder); // a link to itself: every access is ELOOP
      },
      async refuse() {
        await writeFile(folder, 'a file where the folder should be');
      },
      async heal() {
        await rm(folder, { force: true, recursive: true });
        await rename(blocked, folder).catch(() => {});
      },
    };
  },
});

test('file: an event that a crash left in the file is not written again', async (t) => {
  const dataDir = await temporaryFolder(t);
  const before = await createSink(dataDir);
  await connect(before);
  await before.send(await before.encode(batchOf(1, 3, 'alarm')), never());
  await deliver(before, 1, 500);
  await before.close(never());
  const after = await createSink(dataDir);
  afterTest(t, () => after.close(never()));
  await connect(after);
  await after.send(await after.encode(batchOf(2, 4, 'alarm')), never());
  await deliver(after, 401, 50);
  await deliver(after, 451, 100);
  await deliver(after, 551, 10);
  const ids = (await lines(join(dataDir, 'out'))).map(({ id }) => id.replace(/^.*?a1b2\./, ''));
  const expected = [
    ...range(1, 3).map((n) => `alarm.${n}`),
    ...range(1, 500).map((n) => `normal.${n}`),
    ...range(4, 2).map((n) => `alarm.${n}`),
    ...range(501, 60).map((n) => `normal.${n}`),
  ];
  assert.deepEqual(ids, expected);
});

test('file: events of another log with the same offsets are written', async (t) => {
  const dataDir = await temporaryFolder(t);
  const before = await createSink(dataDir);
  await connect(before);
  await deliver(before, 1, 5);
  await before.close(never());
  const options = fileSinkSpec.options.parse({ path: 'out' });
  const after = await fileSinkSpec.create(options, sinkContext(dataDir, { logId: 'new' }));
  await connect(after);
  await deliver(after, 1, 5);
  await after.close(never());
  assert.deepEqual(await offsets(join(dataDir, 'out')), [...range(1, 5), ...range(1, 5)]);
});

test('file: a range sent again long after is written again', async (t) => {
  const dataDir = await temporaryFolder(t);
  const sink = await createSink(dataDir);
  afterTest(t, () => sink.close(never()));
  await connect(sink);
  await deliver(sink, 1, 5);
  await connect(sink);
  await deliver(sink, 6, 5);
  await deliver(sink, 1, 5);
  const expected = [...range(1, 10), ...range(1, 5)];
  assert.deepEqual(await offsets(join(dataDir, 'out')), expected);
});

test('file: cut at every byte by a crash, it is whole again and has each event once', async (t) => {
  const dataDir = await temporaryFolder(t);
  const path = join(dataDir, 'out', 'cloud.ndjson');
  const first = await createSink(dataDir);
  await connect(first);
  await deliver(first, 1, 3);
  await first.close(never());
  const whole = await readFile(path);
  for (let bytes = 0; bytes <= whole.length; bytes += bytes < 10 || bytes > 900 ? 1 : 7) {
    await writeFile(path, whole);
    await truncate(path, bytes);
    const sink = await createSink(dataDir);
    await connect(sink);
    await deliver(sink, 1, 4);
    await sink.close(never());
    assert.deepEqual(await offsets(join(dataDir, 'out')), range(1, 4), `cut to ${bytes} bytes`);
  }
});

test('file: a torn line longer than one reading step is cut off', async (t) => {
  const dataDir = await temporaryFolder(t);
  const path = join(dataDir, 'out', 'cloud.ndjson');
  const sink = await createSink(dataDir);
  afterTest(t, () => sink.close(never()));
  await connect(sink);
  await deliver(sink, 1, 2);
  await sink.close(never());
  await appendFile(path, `{"specversion":"1.0","id":"${'x'.repeat(300_000)}`);
  await connect(sink);
  await deliver(sink, 3, 1);
  assert.deepEqual(await offsets(join(dataDir, 'out')), range(1, 3));
});

test('file: a payload with line breaks is one line', async (t) => {
  const dataDir = await temporaryFolder(t);
  const sink = await createSink(dataDir);
  afterTest(t, () => sink.close(never()));
  await connect(sink);
  const payloads = ['[1,\r\n2]\n', '"\u2028"', 'a\nb'];
  const events = payloads.map((payload, offset) => eventOf({ offset, payload }));
  await sink.send(await sink.encode({ lane: 'normal', events }), never());
  const all = await lines(join(dataDir, 'out'));
  assert.deepEqual(
    all.map(({ data }) => data),
    [[1, 2], '\u2028', undefined],
  );
});

test('file: rotation by size keeps order and the newest files', async (t) => {
  const dataDir = await temporaryFolder(t);
  const folder = join(dataDir, 'out');
  const sink = await createSink(dataDir, { rotate: { bytes_max: '4 KiB', files_max: 3 } });
  afterTest(t, () => sink.close(never()));
  await connect(sink);
  for (let i = 0; i < 20; i++) await deliver(sink, i * 8, 8);
  await until(async () => (await files(folder)).length === 4, 'three closed files');
  const all = await offsets(folder);
  assert.equal(all.at(-1), 159);
  assert.deepEqual(all, range(160 - all.length, all.length), 'nothing is missing inside');
  assert.ok(all.length >= 24 && all.length < 60);
});

test('file: closed files are compressed, but for the newest', async (t) => {
  const dataDir = await temporaryFolder(t);
  const folder = join(dataDir, 'out');
  const rotate = { bytes_max: '4 KiB' };
  const sink = await createSink(dataDir, { rotate, compression: 'gzip' });
  afterTest(t, () => sink.close(never()));
  await connect(sink);
  for (let i = 0; i < 10; i++) await deliver(sink, i * 8, 8);
  await connect(sink); // looks for work that was left
  await until(async () => {
    const names = await files(folder);
    return names.filter((name) => /\.\d+\.ndjson$/.test(name)).length === 1;
  }, 'one plain closed file');
  const names = await files(folder);
  assert.ok(names.length >= 4);
  assert.ok(names.includes('cloud.00000001.ndjson.gz'));
  assert.ok(!names.some((name) => name.endsWith('.unfinished')), names.join(' '));
  assert.deepEqual(await offsets(folder), range(0, 80));
});

test('file: an old file is closed, and only once', async (t) => {
  const dataDir = await temporaryFolder(t);
  const folder = join(dataDir, 'out');
  const sink = await createSink(dataDir, { rotate: { age_max: '1 s' } });
  afterTest(t, () => sink.close(never()));
  await connect(sink);
  await deliver(sink, 1, 1);
  const laterMs = Date.now() + 1_500;
  t.mock.method(Date, 'now', () => laterMs);
  await deliver(sink, 2, 1);
  await deliver(sink, 3, 1);
  assert.deepEqual(await files(folder), ['cloud.00000001.ndjson', 'cloud.ndjson']);
  assert.deepEqual(await offsets(folder), [1, 2, 3]);
});

test('file: after a crash right after a rotation, the closed file is looked at too', async (t) => {
  const dataDir = await temporaryFolder(t);
  const folder = join(dataDir, 'out');
  const before = await createSink(dataDir);
  await connect(before);
  await deliver(before, 1, 5);
  await before.close(never());
  await rename(join(folder, 'cloud.ndjson'), join(folder, 'cloud.00000001.ndjson'));
  const after = await createSink(dataDir);
  afterTest(t, () => after.close(never()));
  await connect(after);
  await deliver(after, 3, 5);
  assert.deepEqual(await offsets(folder), range(1, 7));
});

test('file: deleted or replaced while it is written, nothing goes into the void', async (t) => {
  const dataDir = await temporaryFolder(t);
  const folder = join(dataDir, 'out');
  const sink = await createSink(dataDir);
  afterTest(t, () => sink.close(never()));
  await connect(sink);
  await deliver(sink, 1, 2);
  await rm(join(folder, 'cloud.ndjson'));
  const batch = await sink.encode(batchOf(3, 2));
  assert.equal((await codeOf(sink.send(batch, never()))).code, 'SINK_DISCONNECTED');
  await connect(sink);
  await sink.send(batch, never());
  assert.deepEqual(await offsets(folder), [3, 4]);
  await writeFile(join(folder, 'another'), '{"data":0}\n');
  await rename(join(folder, 'another'), join(folder, 'cloud.ndjson'));
  const next = await sink.encode(batchOf(5, 2));
  assert.equal((await codeOf(sink.send(next, never()))).code, 'SINK_DISCONNECTED');
  await connect(sink);
  await sink.send(next, never());
  assert.deepEqual(await offsets(folder), [0, 5, 6]);
});

test('file: a full volume is SINK_DISCONNECTED; a half-written batch leaves no trace', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'holdfast-file-'));
  const folder = join(dataDir, 'out');
  await mkdir(folder);
  const sink = await createSink(dataDir);
  afterTest(t, async () => {
    await sink.close(never());
    spawnSync('umount', [folder], { stdio: 'ignore' });
    await rm(dataDir, { recursive: true, force: true });
  });
  const mount = ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder];
  if (spawnSync('mount', mount, { stdio: 'ignore' }).status !== 0) {
    t.skip('needs the right to mount a small volume');
    return;
  }
  await connect(sink);
  await deliver(sink, 1, 50);
  await writeFile(join(folder, 'ballast'), Buffer.alloc(32 * 1024));
  const batch = await sink.encode(batchOf(51, 100));
  const error = await codeOf(sink.send(batch, never()));
  assert.equal(error.code, 'SINK_DISCONNECTED');
  assert.match(error.message, /no room left for .*cloud\.ndjson/);
  assert.equal((await codeOf(sink.send(batch, never()))).code, 'SINK_DISCONNECTED');
  await rm(join(folder, 'ballast'));
  await connect(sink);
  assert.deepEqual(await offsets(folder), range(1, 50));
  await sink.send(batch, never());
  assert.deepEqual(await offsets(folder), range(1, 150));
});

/** Lets this process write no file beyond `bytes`, as a quota does. */
function limitFileSize(bytes: number | 'unlimited'): boolean {
  const args = ['--pid', String(process.pid), `--fsize=${bytes}:`];
  return spawnSync('prlimit', args, { stdio: 'ignore' }).status === 0;
}

test('file: a write that ends in the middle of a line is taken back', async (t) => {
  const dataDir = await temporaryFolder(t);
  const path = join(dataDir, 'out', 'cloud.ndjson');
  const sink = await createSink(dataDir);
  afterTest(t, () => sink.close(never()));
  await connect(sink);
  await deliver(sink, 1, 5);
  const { length } = await readFile(path);
  if (!limitFileSize(length + 700)) {
    t.skip('needs prlimit: apt-get install util-linux');
    return;
  }
  afterTest(t, () => limitFileSize('unlimited'));
  const batch = await sink.encode(batchOf(6, 20));
  assert.equal((await codeOf(sink.send(batch, never()))).code, 'SINK_DISCONNECTED');
  assert.equal((await readFile(path)).length, length + 700, 'the line is torn');
  limitFileSize('unlimited');
  await connect(sink);
  assert.equal((await readFile(path)).length, length);
  await sink.send(batch, never());
  assert.deepEqual(await offsets(join(dataDir, 'out')), range(1, 25));
});

test('file: options that cannot work are refused', () => {
  const problems = (options: Record<string, unknown>) =>
    String(
      fileSinkSpec.options
        .safeParse({ path: 'out', ...options })
        .error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`),
    );
  assert.equal(problems({}), 'undefined');
  assert.match(problems({ path: '' }), /^path: /);
  assert.match(problems({ rotate: { bytes_max: '1 KiB' } }), /^rotate.bytes_max: is at least/);
  assert.match(problems({ rotate: { files_max: 0 } }), /^rotate.files_max: /);
  assert.match(problems({ rotate: { bytes: '1 KiB' } }), /unrecognized/i);
});
