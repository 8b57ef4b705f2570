import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { packageRoot } from '../../config/find-file.ts';
import { programEnvironment } from '../../firmware-bridge/child/environment.ts';
import { examineProgram } from '../../firmware-bridge/child/examine.ts';
import { LineSplitter } from '../../firmware-bridge/child/line-splitter.ts';
import {
  describeEnd,
  LINES_PER_BATCH_MAX,
  type Program,
  type ProgramOptions,
  startProgram,
} from '../../firmware-bridge/child/program.ts';
import { startProblem } from '../../firmware-bridge/child/start-problem.ts';
import { HubError } from '../../hub/core/errors.ts';
import { askProgram } from '../../hub/machine/ask-program.ts';
import { afterTest } from '../support/after-test.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const NEVER = new AbortController().signal;

async function started(t: TestContext, options: ProgramOptions): Promise<Program> {
  const program = await startProgram(options);
  afterTest(t, () => program.stop(0));
  return program;
}

const shell = (t: TestContext, script: string, more: Partial<ProgramOptions> = {}) =>
  started(t, { command: 'sh', args: ['-c', script], ...more });

async function allOf(program: Program) {
  const lines: string[] = [];
  let tooLong = 0;
  let unfinished: string | undefined;
  for await (const batch of program.batches()) {
    lines.push(...batch.lines.map(String));
    tooLong += batch.tooLong;
    if (batch.unfinished) unfinished = String(batch.unfinished);
  }
  return { lines, tooLong, unfinished };
}

/** Whether a process runs; one that has ended and waits to be collected does not. */
async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  return stat !== '' && !/\) [ZX] /.test(stat);
}

test('lines: cut anywhere, with any line end, bounded', () => {
  const text = 'one\r\ntwo\n\nx'.concat('y'.repeat(20), '\nthree\nrest');
  for (let size = 1; size < 9; size++) {
    const found: string[] = [];
    const splitter = new LineSplitter(10, {
      line: (bytes) => found.push(String(bytes)),
      tooLong: (start) => found.push(`too long: ${start}`),
    });
    for (let at = 0; at < text.length; at += size)
      splitter.push(Buffer.from(text.slice(at, at + size)));
    const wanted = ['one', 'two', '', 'too long: xyyyyyyyyy', 'three'];
    assert.deepEqual(found, wanted, `in pieces of ${size}`);
    assert.equal(String(splitter.end()), 'rest');
    assert.equal(splitter.end()?.length, 0);
  }
});

test('a program prints lines, says things on stderr, and ends with a code', async (t) => {
  const said: string[] = [];
  const program = await shell(t, 'echo a; echo b >&2; printf "c\\033[1m" >&2; printf d; exit 3', {
    onErrorLine: (line) => said.push(line),
  });
  assert.deepEqual(await allOf(program), { lines: ['a'], tooLong: 0, unfinished: 'd' });
  const end = await program.ended;
  assert.deepEqual(said, ['b', 'c\\u{1b}[1m']);
  assert.deepEqual(end, { code: 3, signal: null, errorLines: said });
  assert.match(describeEnd('thing', end), /^the program `thing` ended with code 3: c/);
});

test('stderr is always read, and only its last lines are kept', async (t) => {
  const program = await shell(
    t,
    'i=0; while [ $i -lt 20000 ]; do echo "line $i" >&2; i=$((i+1)); done',
  );
  const { errorLines } = await program.ended;
  assert.deepEqual(
    errorLines,
    [19995, 19996, 19997, 19998, 19999].map((i) => `line ${i}`),
  );
});

test('lines that are too long are counted, and batches are bounded', async (t) => {
  const script = 'yes x | head -n 1000; head -c 5000 /dev/zero | tr "\\0" y; echo; echo end';
  const program = await shell(t, script, { lineBytesMax: 100 });
  let count = 0;
  let tooLong = 0;
  for await (const batch of program.batches()) {
    assert.ok(batch.lines.length <= LINES_PER_BATCH_MAX);
    count += batch.lines.length;
    tooLong += batch.tooLong;
  }
  assert.deepEqual({ count, tooLong }, { count: 1_001, tooLong: 1 });
});

test('a busy consumer slows the program by its pipe', async (t) => {
  const file = join(await temporaryFolder(t), 'count');
  const script = `
    const fs = require('node:fs');
    for (let i = 1; i <= 400; i++) {
      fs.writeSync(1, 'x'.repeat(1023) + '\\n');
      fs.writeFileSync(process.argv[1], String(i));
    }`;
  const program = await started(t, { command: process.execPath, args: ['-e', script, file] });
  const written = async () => Number(await readFile(file, 'utf8').catch(() => '0'));
  const batches = program.batches();
  const first = await batches.next();
  assert.equal(first.done, false);
  let last = -1;
  await until('it stands still', async () => {
    const before = last;
    last = await written();
    await delay(100);
    return last > 0 && last === before;
  });
  assert.ok(last < 300, `${last} KiB were written although nobody read them`);
  let rest = first.value?.lines.length ?? 0;
  for await (const { lines } of batches) rest += lines.length;
  assert.equal(rest, 400);
});

test('input: the program takes it, does not read it, or has gone', async (t) => {
  const cat = await started(t, { command: 'cat', hasInput: true });
  assert.equal(await cat.write('hello\n'), 'written');
  cat.endInput();
  assert.deepEqual((await allOf(cat)).lines, ['hello']);
  await cat.ended;
  assert.equal(await cat.write('x'), 'ended');

  const deaf = await shell(t, 'sleep 60', { hasInput: true });
  const part = Buffer.alloc(60 * 1024, 'x');
  const outcomes = Array.from({ length: 20 }, () => deaf.write(part));
  assert.equal(await outcomes.at(-1), 'full', 'not everything is kept in memory');
  await deaf.stop(0);
  assert.deepEqual([...new Set(await Promise.all(outcomes))], ['written', 'ended', 'full']);

  const none = await shell(t, 'cat');
  assert.deepEqual((await allOf(none)).lines, []);
  assert.equal(await none.write('x'), 'ended');
});

test('stop: SIGTERM first, then SIGKILL, and all that it started ends too', async (t) => {
  const polite = await shell(
    t,
    'trap "echo bye; exit 7" TERM; echo up; while :; do sleep 0.05; done',
  );
  const batches = polite.batches();
  await batches.next();
  await polite.stop(5_000);
  assert.equal((await polite.ended).code, 7);

  const stubborn = await shell(t, 'trap "" TERM; sleep 100 & echo $!; while :; do sleep 1; done');
  const first = await stubborn.batches().next();
  const grandchild = Number(first.value?.lines[0]);
  assert.ok(await isAlive(grandchild));
  const startMs = performance.now();
  await stubborn.stop(100);
  assert.ok(performance.now() - startMs < 1_000);
  assert.equal((await stubborn.ended).signal, 'SIGKILL');
  await until('the grandchild ends', async () => !(await isAlive(grandchild)));
  await stubborn.stop(100);
});

test('what a program leaves running ends with it, and a pipe held by a stranger does not matter', async (t) => {
  const program = await shell(t, 'sleep 100 & echo $!');
  const { lines } = await allOf(program);
  await until('it ends', async () => !(await isAlive(Number(lines[0]))));

  const daemon = await shell(t, 'setsid sleep 3 & echo $!; exit 0'); // out of our reach
  const startMs = performance.now();
  assert.equal((await allOf(daemon)).lines.length, 1);
  assert.equal((await daemon.ended).code, 0);
  assert.ok(performance.now() - startMs < 2_500, 'nobody waits for it');
});

for (const signal of ['SIGKILL', 'SIGTERM'] as const)
  test(`no program outlives the hub: ${signal}`, async (t) => {
    const main = join(packageRoot(), 'dist', 'tests', 'support', 'child-hub.js');
    const script = 'trap "" TERM HUP; sleep 100 & echo "$$ $!"; while :; do sleep 0.2; done';
    const hub = spawn(process.execPath, [main, 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    afterTest(t, () => hub.kill('SIGKILL'));
    const [line] = await once(createInterface(hub.stdout), 'line');
    const pids = String(line).split(' ').map(Number);
    assert.equal(pids.length, 2);
    for (const pid of pids) assert.ok(await isAlive(pid));
    hub.kill(signal);
    await until('all have ended', async () => {
      const alive = await Promise.all(pids.map(isAlive));
      return !alive.includes(true);
    });
  });

test('a program that cannot be started: named, why, and what to do', async (t) => {
  const folder = await temporaryFolder(t);
  const file = async (name: string, text: string, mode: number) => {
    const path = join(folder, name);
    await writeFile(path, text);
    await chmod(path, mode);
    return path;
  };
  await mkdir(join(folder, 'sub'));
  const cases: readonly (readonly [ProgramOptions, RegExp])[] = [
    [{ command: 'no-such-program' }, /`no-such-program` is not installed.*PATH is .*bin/],
    [{ command: `${folder}/none` }, /is not there: .*put it at .*none/],
    [{ command: './none', cwd: folder }, new RegExp(`put it at ${folder}/none`)],
    [{ command: await file('plain', '#!/bin/sh\n', 0o644) }, /may not be run.*`chmod \+x .*plain`/],
    [{ command: join(folder, 'sub') }, /is no file/],
    [{ command: await file('lost', '#!/opt/none -x\n', 0o755) }, /`#!\/opt\/none -x`.*install/],
    [{ command: 'sh', cwd: `${folder}/gone` }, /to run in a folder that cannot be used, .*gone/],
    [{ command: 'sh', cwd: `${folder}/plain` }, /plain, which is no folder/],
    [{ command: 'sh', args: ['x'.repeat(3_000_000)] }, /too many or too long arguments/],
  ];
  for (const [options, message] of cases)
    await assert.rejects(startProgram(options), (error) => {
      assert.ok(error instanceof HubError && error.code === 'BRIDGE_LOST', String(error));
      assert.match(error.message, message);
      return true;
    });
  const attempt = { command: 'sh', cwd: undefined, path: '/none:/bin' };
  assert.equal((await examineProgram(attempt)).detail, '/bin/sh can be run');
  const lost = await examineProgram({ ...attempt, command: `${folder}/lost` });
  assert.equal(lost.severity, 'problem');
  assert.match(lost.remedy ?? '', /install \/opt\/none/);
  const foreign = Object.assign(new Error('spawn'), { code: 'ENOEXEC' });
  assert.match((await startProblem(foreign, attempt)).message, /not made for this processor/);
  const busy = Object.assign(new Error('spawn'), { code: 'EAGAIN' });
  assert.match((await startProblem(busy, attempt)).message, /now \(EAGAIN\): .*short of memory/);
});

test('a program does not get the tokens of the hub', async (t) => {
  const hub = { PATH: '/bin', LC_ALL: 'C', HOLDFAST_TOKEN: 'secret', NODE_OPTIONS: '--x' };
  assert.deepEqual(programEnvironment({ KEY: 'k' }, hub), { PATH: '/bin', LC_ALL: 'C', KEY: 'k' });
  process.env['HOLDFAST_TOKEN'] = 'secret';
  afterTest(t, () => delete process.env['HOLDFAST_TOKEN']);
  const program = await started(t, { command: 'env', env: { KEY: 'k' } });
  const { lines } = await allOf(program);
  assert.ok(lines.includes('KEY=k') && lines.some((line) => line.startsWith('PATH=')));
  assert.ok(!lines.join().includes('secret'));
});

test('asking a program: its output, or why there is none', async () => {
  const ask = (script: string, limits = {}) => askProgram('sh', ['-c', script], NEVER, limits);
  assert.deepEqual(await ask('echo hi; cat'), { outcome: 'printed', text: 'hi\n' });
  const failing = async (script: string, limits: object, detail: RegExp) => {
    const printed = await ask(script, limits);
    assert.ok(printed.outcome === 'failed', script);
    assert.match(printed.detail, detail);
  };
  await failing('echo no >&2; exit 4', {}, /^it ended with code 4: no$/);
  await failing('echo wait >&2; sleep 60', { timeoutMs: 200 }, /within 200 ms: wait$/);
  await failing('yes', { outputBytesMax: 1_000 }, /prints more/);
  const missing = await askProgram('no-such-program', [], NEVER);
  assert.deepEqual(missing, {
    outcome: 'missing',
    detail: 'there is no program `no-such-program`',
  });
});
