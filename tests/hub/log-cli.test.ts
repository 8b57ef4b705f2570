/** `holdfast log verify|stats|export` as processes, on data directories of the real log. */
import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, before, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { addLogCommand } from '../../hub/cli/log-command.ts';
import type { Lane } from '../../hub/core/event.ts';
import { markFile } from '../../hub/log/mark.ts';
import { levelStorage } from '../../hub/log/storage/level-storage.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import { afterTest } from '../support/after-test.ts';
import { appended, openTestLog, settleTo } from '../support/log-fixture.ts';

const MAIN = fileURLToPath(new URL('../../hub/main.js', import.meta.url));
const EVENTS = 60;
const SINKS = [{ id: 'cloud', start: 'oldest' }] as const;

let sound: string;
let logId: string;

const topicOf = (n: number): string => `site/a/dev${n % 3}/temp`;
const payloadOf = (n: number): string => (n === 7 ? 'a "quoted", text\nof two lines' : String(n));

async function openData(data: string) {
  return await openTestLog(
    levelStorage(join(data, 'log'), { lostFolder: join(data, 'lost+found') }),
    { mark: markFile(join(data, 'log.mark'), () => undefined), sinks: SINKS },
  );
}

before(async () => {
  sound = await mkdtemp(join(tmpdir(), 'holdfast-log-cli-'));
  for (let session = 0; session < 3; session++) {
    const log = await openData(sound);
    logId = log.id;
    for (let n = session * 20; n < session * 20 + 20; n++) {
      const payload = Buffer.from(payloadOf(n));
      await appended(log, { topic: topicOf(n), payload, source: 'mqtt' }, 'normal');
    }
    const lane: Lane = 'alarm';
    await appended(log, { topic: 'site/alarm', payload: Buffer.from([0, 255]), source: 'x' }, lane);
    settleTo(log, 'cloud', 'normal', session * 20 + 10);
    await log.close();
  }
});

after(() => rm(sound, { recursive: true, force: true }));

async function copied(t: TestContext): Promise<string> {
  const data = await mkdtemp(join(tmpdir(), 'holdfast-log-cli-'));
  afterTest(t, () => rm(data, { recursive: true, force: true }));
  await cp(sound, data, { recursive: true });
  return data;
}

/** The command in a process of its own. */
function spawned(...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [MAIN, 'log', ...args], { encoding: 'utf8' });
}

class Captured extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk;
    done();
  }
}

/** The same in this process, which starts faster. */
async function holdfast(...args: string[]) {
  const [stdout, stderr] = [new Captured(), new Captured()];
  let status = 0;
  const program = new Command('holdfast').exitOverride();
  addLogCommand(program, {
    configOption: ['-c, --config <file>', 'configuration'],
    io: { stdout, stderr, env: {} },
    decoder: () => createDecoder([]),
    exit: (code) => {
      status = code;
    },
  });
  await program.parseAsync(['log', ...args], { from: 'user' });
  return { stdout: stdout.text, stderr: stderr.text, status };
}

async function listing(folder: string): Promise<unknown> {
  const names = (await readdir(folder, { recursive: true })).sort();
  const facts = names.map(async (name) => {
    const { size, mtimeMs } = await stat(join(folder, name));
    return { name, size, mtimeMs };
  });
  return await Promise.all(facts);
}

test('a sound log is whole, and nothing in it is changed', async () => {
  const untouched = await listing(sound);
  const { status, stdout, stderr } = spawned('verify', '--data', sound);
  assert.equal(stderr, '');
  assert.equal(stdout, `${sound}: whole; 63 events in 63 blocks\n`);
  assert.equal(status, 0);
  assert.equal((await holdfast('stats', '--data', sound)).status, 0);
  assert.equal((await holdfast('export', '--data', sound, '--lost')).status, 0);
  assert.deepEqual(await listing(sound), untouched);
});

test('stats: lanes, cursors and files', async () => {
  const { stdout, status } = await holdfast('stats', '--data', sound, '--json');
  assert.equal(status, 0);
  const stats = JSON.parse(stdout);
  assert.equal(stats.logId, logId);
  const normal = stats.lanes.find(({ lane }: { lane: string }) => lane === 'normal');
  assert.equal(normal.head, 0);
  assert.equal(normal.tail, EVENTS);
  assert.equal(normal.events, EVENTS);
  assert(Date.parse(normal.firstTime) <= Date.parse(normal.lastTime));
  const cursor = stats.cursors.find(({ lane }: { lane: string }) => lane === 'normal');
  assert.deepEqual([cursor.sink, cursor.offset, cursor.lag], ['cloud', 50, 10]);
  assert(stats.files.some(({ file }: { file: string }) => file === 'CURRENT'));
  assert.match((await holdfast('stats', '--data', sound)).stdout, /cloud +normal +50 +10/);
});

test('export: every event as a CloudEvent, in order', async () => {
  const { stdout, status } = await holdfast(
    'export',
    '--data',
    sound,
    '--hub',
    'gw',
    '--lane',
    'normal',
  );
  assert.equal(status, 0);
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    events.map(({ id }) => id),
    Array.from({ length: EVENTS }, (_, n) => `gw.${logId}.normal.${n}`),
  );
  assert.equal(events[5].subject, topicOf(5));
  assert.equal(events[5].data, 5);
  assert.equal(Buffer.from(events[7].data_base64, 'base64').toString(), payloadOf(7));
});

test('export: CSV with text and bytes, by lane, topic and time, to a file', async (t) => {
  const data = await copied(t);
  const csv = (await holdfast('export', '--data', data, '--hub', 'gw', '--format', 'csv')).stdout;
  assert(
    csv.startsWith('id,lane,offset,received_time,topic,source,kind,payload,payload_base64\r\n'),
  );
  assert(csv.includes(',"a ""quoted"", text\nof two lines",\r\n'));
  assert(csv.includes(',site/alarm,x,message,,AP8=\r\n'));
  const output = join(data, 'out.ndjson');
  const filtered = ['--topic', 'site/+/dev1/#', '--output', output];
  assert.equal((await holdfast('export', '--data', data, ...filtered)).stdout, '');
  const lines = (await readFile(output, 'utf8')).trimEnd().split('\n');
  assert.equal(lines.length, EVENTS / 3);
  const time = JSON.parse(lines[10] ?? '').receivedtime;
  let count = 0;
  for (const range of [
    ['--from', time],
    ['--to', time],
  ]) {
    const part = await holdfast('export', '--data', data, '--topic', '+/+/dev1/temp', ...range);
    count += part.stdout.split('\n').length - 1;
  }
  assert.equal(count, EVENTS / 3);
});

test('export: a reader that has seen enough is no error', async () => {
  const child = spawn(process.execPath, [MAIN, 'log', 'export', '--data', sound], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.destroy();
  let stderr = '';
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const [code] = await once(child, 'close');
  assert.equal(stderr, '');
  assert.equal(code, 0);
});

test('a damaged table: verify names file, place and offsets; export gives the rest', async (t) => {
  const data = await copied(t);
  const folder = join(data, 'log');
  const [name = ''] = (await readdir(folder)).filter((file) => file.endsWith('.ldb'));
  const bytes = await readFile(join(folder, name));
  const place = bytes.indexOf(topicOf(3));
  bytes.writeUInt8(bytes.readUInt8(place) ^ 1, place);
  await writeFile(join(folder, name), bytes);
  const { stdout, status } = await holdfast('verify', '--data', data, '--json');
  assert.equal(status, 1);
  const { ok, problems, defects } = JSON.parse(stdout);
  assert.equal(ok, false);
  assert.equal(defects, problems.length);
  const file = problems.find(({ kind }: { kind: string }) => kind === 'file');
  assert.equal(file.file, `log/${name}`);
  assert(file.offset <= place && place < file.offset + file.bytes);
  const blocks = problems.filter(({ kind }: { kind: string }) => kind === 'block');
  assert(blocks.length > 0);
  const exported = (await holdfast('export', '--data', data, '--lane', 'normal')).stdout;
  const offsets = exported
    .trimEnd()
    .split('\n')
    .map((line) => Number(JSON.parse(line).sequence));
  const gone = new Set<number>();
  for (const { lane, firstOffset, lastOffset } of blocks) {
    if (lane !== 'normal') continue;
    for (let offset = firstOffset; offset <= lastOffset; offset++) gone.add(offset);
  }
  assert(gone.size > 0 && gone.size < EVENTS);
  const all = Array.from({ length: EVENTS }, (_, offset) => offset);
  assert.deepEqual(
    offsets,
    all.filter((offset) => !gone.has(offset)),
  );
  assert.match(
    (await holdfast('verify', '--data', data)).stdout,
    /lane normal, offsets \d+ to \d+: /,
  );
});

test('a lost tail is found by the high-water mark', async (t) => {
  const data = await copied(t);
  const folder = join(data, 'log');
  const [name = ''] = (await readdir(folder)).filter((file) => file.endsWith('.log'));
  await writeFile(join(folder, name), '');
  const { stdout, status } = await holdfast('verify', '--data', data);
  assert.equal(status, 1);
  assert.match(stdout, /lane normal, offsets 40 to 59: it is missing/);
});

test('--lost: what was set aside with a whole log, and with a damaged file, is exported', async (t) => {
  const data = await copied(t);
  const storage = levelStorage(join(data, 'log'), { lostFolder: join(data, 'lost+found') });
  await storage.open();
  await storage.startOver('a test');
  await storage.close();
  const without = await holdfast('export', '--data', data);
  assert.equal(without.stdout, '');
  const lost = (await holdfast('export', '--data', data, '--lost', '--hub', 'gw')).stdout;
  const lines = lost.trimEnd().split('\n');
  assert.equal(lines.length, EVENTS + 3);
  assert(lines.every((line) => line.includes(`"gw.${logId}.`)));
});

test('a log that a hub has open is left alone', async (t) => {
  const data = await copied(t);
  const log = await openData(data);
  afterTest(t, () => log.close());
  const { status, stderr } = spawned('verify', '--data', data);
  assert.equal(status, 73);
  assert.match(stderr, new RegExp(`is in use by process ${process.pid};`));
  for (const command of ['stats', 'export']) {
    await assert.rejects(holdfast(command, '--data', data), { code: 'LOG_LOCKED' });
  }
});

test('no log, and wrong words, are said so', async (t) => {
  const data = await copied(t);
  await rm(join(data, 'log'), { recursive: true });
  const missing = { code: 'LOG_NOT_OPEN', message: `there is no log in ${data}` };
  await assert.rejects(holdfast('verify', '--data', data), missing);
  for (const wrong of [
    ['export', '--data', sound, '--format', 'xml'],
    ['export', '--data', sound, '--lane', 'fast'],
    ['export', '--data', sound, '--from', 'yesterday'],
    ['export', '--data', sound, '--topic', 'a/#/b'],
    ['verify', '--data', sound, '--config', 'x.yaml'],
  ]) {
    await assert.rejects(holdfast(...wrong), { code: 'USAGE' }, wrong.join(' '));
  }
  assert.equal(spawned('export', '--data', sound, '--lane', 'fast').status, 64);
});
