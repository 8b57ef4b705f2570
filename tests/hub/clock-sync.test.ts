import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { chrony } from '../../hub/clock/chrony.ts';
import { kernel } from '../../hub/clock/kernel.ts';
import { ntpd } from '../../hub/clock/ntpd.ts';
import type { SyncSource } from '../../hub/clock/sync-source.ts';
import { SyncWatch } from '../../hub/clock/sync-watch.ts';
import { timesyncd } from '../../hub/clock/timesyncd.ts';
import { afterTest } from '../support/after-test.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const NEVER = new AbortController().signal;

/** Programs of this test, in a folder that is all there is on the PATH. */
class Programs {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async on(t: TestContext): Promise<Programs> {
    const programs = new Programs(join(await temporaryFolder(t), 'bin'));
    await mkdir(programs.folder);
    const { PATH } = process.env;
    process.env['PATH'] = programs.folder;
    afterTest(t, () => {
      process.env['PATH'] = PATH ?? ['/usr/bin', '/bin'].join(delimiter);
    });
    return programs;
  }

  /** A program that notes its arguments and then does `script`. */
  async add(name: string, script: string): Promise<void> {
    const file = join(this.folder, name);
    const note = `printf '%s\\n' "$*" >> ${file}.calls`;
    await writeFile(file, `#!/bin/sh\nPATH=/usr/bin:/bin\n${note}\n${script}\n`);
    await chmod(file, 0o755);
  }

  async says(name: string, text: string): Promise<void> {
    await writeFile(join(this.folder, `${name}.answer`), text);
    await this.add(name, `cat ${join(this.folder, `${name}.answer`)}`);
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.folder, name), { force: true });
  }

  async calls(name: string): Promise<string[]> {
    const text = await readFile(join(this.folder, `${name}.calls`), 'utf8').catch(() => '');
    return text.split('\n').filter((line) => line !== '');
  }
}

const tracking = (leap: string, reference = 'C0A80101') =>
  `${reference},192.168.1.1,3,1795244777.7,0.000012,0.000003,0.00004,-11.2,0.001,0.02,0.01,0.002,64.2,${leap}\n`;
/** As printed by BusyBox 1.35 on Debian 12. */
const adjtimex = (maxError: number, status: string) => `    mode:         0
-o  offset:       0 us
-f  freq.adjust:  0 (65536 = 1ppm)
    maxerror:     ${maxError}
    esterror:     16000000
    status:       ${status}
    return value: 5 (clock not synchronized)
`;
/** As printed by adjtimex 1.29. */
const adjtimexPrint = (maxError: number) =>
  `         mode: 0\n       offset: 0\n     maxerror: ${maxError}\n return value = 5\n`;
const variables = (leap: string, sync: string) =>
  `associd=0 status=0615 leap_none, ${sync}, 1 event, clock_sync,
version="ntpd ntpsec-1.2.2", processor="aarch64", leap=${leap}, stratum=2, precision=-23\n`;

const ANSWERS: readonly {
  readonly source: () => SyncSource;
  readonly program: string;
  readonly text: string;
  readonly answer: string;
}[] = [
  { source: chrony, program: 'chronyc', text: tracking('Normal'), answer: 'synced' },
  { source: chrony, program: 'chronyc', text: tracking('Insert second'), answer: 'synced' },
  { source: chrony, program: 'chronyc', text: tracking('Not synchronised'), answer: 'unsynced' },
  { source: chrony, program: 'chronyc', text: tracking('Normal', '7F7F0101'), answer: 'unsynced' },
  { source: chrony, program: 'chronyc', text: 'something, else\n', answer: 'silent' },
  { source: ntpd, program: 'ntpq', text: variables('00', 'sync_ntp'), answer: 'synced' },
  { source: ntpd, program: 'ntpq', text: variables('01', 'sync_ntp'), answer: 'synced' },
  { source: ntpd, program: 'ntpq', text: variables('11', 'sync_unspec'), answer: 'unsynced' },
  { source: ntpd, program: 'ntpq', text: 'ntpq: read: Connection refused\n', answer: 'silent' },
  { source: kernel, program: 'timedatectl', text: 'yes\n', answer: 'synced' },
  { source: kernel, program: 'timedatectl', text: 'no\n', answer: 'unsynced' },
  { source: kernel, program: 'timedatectl', text: '', answer: 'absent' },
  {
    source: kernel,
    program: 'busybox',
    text: adjtimex(16_000_000, '64 (UNSYNC)'),
    answer: 'unsynced',
  },
  { source: kernel, program: 'busybox', text: adjtimex(52_000, '8193 (PLL)'), answer: 'synced' },
  { source: kernel, program: 'adjtimex', text: adjtimexPrint(16_000_000), answer: 'unsynced' },
  { source: kernel, program: 'adjtimex', text: adjtimexPrint(1_500), answer: 'synced' },
];

for (const { source, program, text, answer } of ANSWERS) {
  const told = text.trim().slice(-30).replaceAll('\n', ' ');
  test(`${program} that says "${told}" means ${answer}`, async (t) => {
    const programs = await Programs.on(t);
    await programs.says(program, text);
    assert.equal(await source().check(NEVER), answer);
    assert.equal((await programs.calls(program)).length, 1);
  });
}

test('programs are asked as their manuals say', async (t) => {
  const programs = await Programs.on(t);
  for (const name of ['chronyc', 'ntpq', 'timedatectl', 'busybox', 'adjtimex']) {
    await programs.says(name, '');
  }
  assert.equal(await chrony().check(NEVER), 'silent');
  assert.equal(await ntpd().check(NEVER), 'silent');
  for (const source of [kernel()]) assert.equal(await source.check(NEVER), 'absent');
  assert.deepEqual(await programs.calls('chronyc'), ['-n -c tracking']);
  assert.deepEqual(await programs.calls('ntpq'), ['-n -c rv']);
  assert.deepEqual(await programs.calls('timedatectl'), ['show -p NTPSynchronized --value']);
  assert.deepEqual(await programs.calls('busybox'), ['adjtimex']);
  assert.deepEqual(await programs.calls('adjtimex'), ['--print']);
});

test('a program that is missing, fails, floods or hangs tells nothing, and does not stay', async (t) => {
  const programs = await Programs.on(t);
  assert.equal(await chrony().check(NEVER), 'absent');
  await programs.add('chronyc', 'echo 506 Cannot talk to daemon; exit 1');
  assert.equal(await chrony().check(NEVER), 'silent');
  await programs.add('chronyc', 'yes');
  assert.equal(await chrony().check(NEVER), 'silent');
  await programs.add('chronyc', `echo $$ > ${programs.folder}/pid; exec sleep 600`);
  const startMs = performance.now();
  assert.equal(await chrony().check(NEVER), 'silent');
  assert.ok(performance.now() - startMs < 10_000);
  const pid = Number(await readFile(join(programs.folder, 'pid'), 'utf8'));
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  const stopping = new AbortController();
  const answer = chrony().check(stopping.signal);
  stopping.abort();
  assert.equal(await answer, 'silent');
});

test("timesyncd's flag counts while it is fresh and the kernel does not object", async (t) => {
  const programs = await Programs.on(t);
  const folder = join(dirname(programs.folder), 'timesync');
  const source = timesyncd(kernel(), folder);
  assert.equal(await source.check(NEVER), 'absent');
  await mkdir(folder);
  assert.equal(await source.check(NEVER), 'unsynced');
  assert.equal((await programs.calls('timedatectl')).length, 0, 'no child while there is no flag');
  await writeFile(join(folder, 'synchronized'), '');
  assert.equal(await source.check(NEVER), 'synced', 'without a kernel that can be asked');
  await programs.says('timedatectl', 'yes\n');
  assert.equal(await source.check(NEVER), 'synced');
  await programs.says('timedatectl', 'no\n');
  assert.equal(await source.check(NEVER), 'unsynced', 'the clock was set by hand');
  await programs.says('timedatectl', 'yes\n');
  const dayAgo = new Date(Date.now() - 86_400_000);
  await utimes(join(folder, 'synchronized'), dayAgo, dayAgo);
  assert.equal(await source.check(NEVER), 'unsynced', 'no time server has answered for a day');
});

/** A watch whose wall clock the test sets, and whose timers it runs. */
async function watching(t: TestContext, daemons: readonly SyncSource[], uptimeMs = 1_000) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const clock = { wallMs: 1e12, monotonicMs: uptimeMs };
  const watch = new SyncWatch({
    daemons,
    kernel: kernel(),
    wallMs: () => clock.wallMs,
    monotonicMs: () => clock.monotonicMs,
  });
  afterTest(t, () => watch.stop());
  const pass = (ms: number) => {
    clock.wallMs += ms;
    clock.monotonicMs += ms;
    t.mock.timers.tick(ms);
  };
  return { watch, clock, pass };
}

test('the watch finds a synchronisation within 5 s, its loss within a minute', async (t) => {
  const programs = await Programs.on(t);
  await programs.says('chronyc', tracking('Not synchronised'));
  const { watch, pass } = await watching(t, [chrony(), ntpd()]);
  assert.equal(watch.sync().state, 'unsynced');
  await watch.start();
  assert.deepEqual(watch.sync(), { state: 'unsynced', source: 'chrony' });
  const asked = (count: number) =>
    until(`${count} questions`, async () => (await programs.calls('chronyc')).length >= count);
  await programs.says('chronyc', tracking('Normal'));
  pass(4_900);
  assert.equal((await programs.calls('chronyc')).length, 1);
  pass(100);
  await until('synced', () => watch.sync().state === 'synced');
  assert.deepEqual(watch.sync(), { state: 'synced', source: 'chrony' });
  await programs.says('chronyc', tracking('Not synchronised'));
  pass(59_000);
  assert.equal((await programs.calls('chronyc')).length, 2, 'asked every minute');
  pass(1_000);
  await asked(3);
  await until('the loss is known', () => watch.sync().state === 'unsynced');
});

test('after a step the clock is in doubt until somebody has been asked', async (t) => {
  const programs = await Programs.on(t);
  await programs.says('chronyc', tracking('Normal'));
  const { watch, clock } = await watching(t, [chrony()]);
  await watch.start();
  assert.equal(watch.sync().state, 'synced');
  clock.wallMs += 400; // slewed since it was last looked at
  assert.equal(watch.sync().state, 'synced');
  clock.wallMs += 600;
  assert.equal(watch.sync().state, 'unsynced', 'at once, without waiting for an answer');
  await until('chrony stands by it', () => watch.sync().state === 'synced');
  await programs.says('chronyc', tracking('Not synchronised'));
  clock.wallMs -= 3_600_000;
  assert.equal(watch.sync().state, 'unsynced');
  await until('asked', async () => (await programs.calls('chronyc')).length === 3);
  assert.equal(watch.sync().state, 'unsynced');
});

test('a kernel that nobody steers is not knowing; one that was steered is', async (t) => {
  const programs = await Programs.on(t);
  await programs.says('busybox', adjtimex(16_000_000, '64 (UNSYNC)'));
  const { watch, pass } = await watching(t, [chrony(), ntpd()]);
  await watch.start();
  assert.deepEqual(watch.sync(), { state: 'unknown' });
  await programs.says('busybox', adjtimex(1_000, '0'));
  pass(5_000);
  await until('synced', () => watch.sync().state === 'synced');
  assert.equal(watch.sync().source, 'kernel');
  await programs.says('busybox', adjtimex(16_000_000, '64 (UNSYNC)'));
  pass(60_000);
  await until('lost', () => watch.sync().state === 'unsynced');
});

test('a daemon that is silent is waited for while the machine boots, and missed when it was known', async (t) => {
  const programs = await Programs.on(t);
  await programs.add('chronyc', 'echo 506 Cannot talk to daemon; exit 1');
  const later = await watching(t, [chrony()], 3_600_000);
  await later.watch.start();
  assert.deepEqual(later.watch.sync(), { state: 'unknown' }, 'installed, and not used');
  t.mock.timers.reset();
  const { watch, pass } = await watching(t, [chrony()]);
  await watch.start();
  assert.deepEqual(watch.sync(), { state: 'unsynced', source: 'chrony' });
  await programs.says('chronyc', tracking('Normal'));
  pass(5_000);
  await until('synced', () => watch.sync().state === 'synced');
  await programs.add('chronyc', 'exit 1');
  pass(3_600_000);
  await until('missed', () => watch.sync().state === 'unsynced');
  assert.equal(watch.sync().source, 'chrony');
});

test('one child at a time, and none after the stop', async (t) => {
  const programs = await Programs.on(t);
  const file = join(programs.folder, 'running');
  const script = `[ -e ${file} ] && echo twice >> ${file}.twice; touch ${file}; sleep 0.1; rm ${file}`;
  for (const name of ['chronyc', 'ntpq', 'timedatectl', 'busybox', 'adjtimex']) {
    await programs.add(name, script);
  }
  const { watch, clock } = await watching(t, [chrony(), ntpd()]);
  const started = watch.start();
  clock.wallMs += 10_000;
  watch.sync(); // a step asks again, but not beside the one under way
  await started;
  await assert.rejects(readFile(`${file}.twice`), { code: 'ENOENT' });
  assert.equal((await programs.calls('chronyc')).length, 2);
  clock.wallMs += 10_000;
  watch.sync();
  await watch.stop();
  const before = (await programs.calls('ntpq')).length;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await programs.calls('ntpq')).length, before);
});
