import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { loadConfig } from '../../config/load.ts';
import { LINES_PER_BATCH_MAX } from '../../firmware-bridge/child/program.ts';
import { createExecBridge } from '../../firmware-bridge/exec/exec.ts';
import { execSpec } from '../../firmware-bridge/exec/spec.ts';
import { influx } from '../../firmware-bridge/format/influx.ts';
import { HubError } from '../../hub/core/errors.ts';
import { problemsOf } from '../config/problems-of.ts';
import { bridgeContract } from '../contract/bridge.ts';
import { afterTest } from '../support/after-test.ts';
import { BridgeSession } from '../support/bridge-session.ts';
import { holdfast, hubYaml, runHub } from '../support/hub-process.ts';
import { ROOT } from '../support/repository.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const sh = (script: string, given: object = {}) =>
  execSpec.options.parse({ command: ['sh', '-c', script], ...given });

async function begun(t: TestContext, options: ReturnType<typeof sh>) {
  const session = new BridgeSession();
  const bridge = await createExecBridge(options);
  session.begin(bridge);
  afterTest(t, () => session.stop());
  return { session, bridge };
}

async function loss(work: Promise<void>): Promise<HubError> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof HubError && error.code === 'BRIDGE_LOST', String(error));
    return error;
  }
  return assert.fail('run ended by itself');
}

const PERIOD_MS = 20;

bridgeContract('exec', {
  async start() {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-exec-'));
    const flag = join(folder, 'gone');
    const script = `while [ ! -e ${flag} ]; do echo '{"t":1}'; sleep 0.02; done; exit 1`;
    return {
      bridge: await createExecBridge(sh(script)),
      loseHardware: () => writeFile(flag, ''),
      stop: () => rm(folder, { recursive: true, force: true }),
    };
  },
  hasHardware: true,
  periodMs: PERIOD_MS,
  unacceptedMax: LINES_PER_BATCH_MAX,
});

bridgeContract('exec at intervals', {
  start: async () => ({ bridge: await createExecBridge(sh('echo 1', { interval: '100 ms' })) }),
  hasHardware: false,
  periodMs: 100,
  unacceptedMax: 1,
});

test('lines become messages in every format, and what is none is counted', async (t) => {
  const cases: readonly (readonly [string, object, readonly string[]])[] = [
    ['echo \'{"t":21.50}\'; echo; echo "{"', {}, ['exec/bridge-1 {"t":21.50}', 'format']],
    ['echo 21.5; echo warm', { format: 'number' }, ['exec/bridge-1 {"value":21.5}', 'format']],
    ['printf 7', { format: 'number' }, ['exec/bridge-1 {"value":7}']],
    ['echo "a=1 b:2"', { format: 'key_value' }, ['exec/bridge-1 {"a":1,"b":2}']],
    [
      'echo "p1,21"; echo ",3"',
      { format: 'csv', columns: ['device', 't'], topic: 'lab/{device}' },
      ['lab/p1 {"t":21}', 'topic'],
    ],
    [
      "echo a=holdfast b=bridge; echo 'a=$x b=c'; echo a=b b=c",
      { format: 'key_value', topic: '{a}/{b}' },
      ['b/c {}', 'topic', 'topic'],
    ],
    [
      'echo $(printf %09000d 0)x; echo 1x',
      { format: 'regex', pattern: '(?<n>\\d+)x' },
      ['exec/bridge-1 {"n":1}', 'format'],
    ],
    ['echo hello', { format: 'raw', topic: 'a/{bridge}' }, ['a/bridge-1 hello']],
    ['echo 123456789012345678', { format: 'number', line_bytes_max: '16 B' }, ['too_long']],
  ];
  for (const [script, given, wanted] of cases) {
    const { session } = await begun(t, sh(script, { interval: '1 h', ...given }));
    await until(script, () => session.connections > 0);
    assert.deepEqual([...session.published(), ...session.bad], wanted, script);
    await session.stop();
  }
});

test('influx: lines as Telegraf and its scripts print them', () => {
  const read = (line: string) => influx(Buffer.from(line));
  assert.deepEqual(
    read('weather,site=roof,a\\ b=c\\,d temp=21.5,n=3i,ok=t,s="a, \\"b" 1700000000123000000'),
    {
      kind: 'fields',
      fields: { time: 1700000000123, temp: 21.5, n: 3, ok: true, s: 'a, "b' },
      topicOnly: { site: 'roof', 'a b': 'c,d', measurement: 'weather' },
    },
  );
  assert.deepEqual(read('cpu usage=1'), {
    kind: 'fields',
    fields: { usage: 1 },
    topicOnly: { measurement: 'cpu' },
  });
  assert.deepEqual(read('# a remark'), { kind: 'nothing' });
  for (const bad of [
    'cpu',
    'cpu usage',
    'cpu usage=',
    'cpu usage=x',
    'cpu a=1 x',
    'cpu,t a=1',
    ',a=1 b=2',
  ])
    assert.equal(read(bad), undefined, bad);
});

test('a program that ends is told with its code and its last words, and later and later', async (t) => {
  const options = sh('echo 1; echo "no supported device" >&2; exit 3');
  const bridge = await createExecBridge(options);
  const delays: number[] = [];
  for (let i = 0; i < 8; i++) {
    const session = new BridgeSession();
    const error = await loss(session.run(bridge));
    assert.match(error.message, /^the program `sh` ended with code 3: no supported device$/);
    delays.push(error.retryAfterMs ?? 0);
    if (i === 0) assert.match(session.logged.join(), /no supported device/);
  }
  assert.ok((delays[0] ?? 0) >= 250 && (delays[0] ?? 0) <= 500, String(delays));
  assert.ok((delays[7] ?? 0) >= 15_000 && (delays[7] ?? 0) <= 30_000, String(delays));
  const { session } = await begun(t, sh('echo 1'));
  assert.match((await loss(session.ended)).message, /code 0; .*`interval`/);
});

test('a program that closes its stdout but stays is ended', async (t) => {
  const { session } = await begun(t, sh('exec >&-; sleep 100'));
  assert.match(
    (await loss(session.ended)).message,
    /`sh` closed its stdout and went on, so the hub/,
  );
  // at intervals its time is over then too
  const given = { interval: '1 min', timeout: '200 ms' };
  const { session: other } = await begun(t, sh('exec >&-; sleep 100', given));
  assert.match((await loss(other.ended)).message, /did not end within its `timeout` of 200 ms/);
});

for (const [what, script] of [
  ['lines without end', 'cat /dev/zero'],
  ['lines that are no readings', 'yes nonsense'],
  ['errors', 'yes nonsense >&2 & sleep 100'],
] as const)
  test(`a program that prints ${what} leaves the hub its time`, async (t) => {
    const { session } = await begun(t, sh(`echo '{"t":1}'; ${script}`));
    await until('it has begun', () => session.messages.length === 1);
    const [startMs, before] = [performance.now(), process.cpuUsage()];
    await delay(1_000);
    const { user, system } = process.cpuUsage(before);
    const share = (user + system) / 1_000 / (performance.now() - startMs);
    assert.ok(share < 0.5, `it took ${share.toFixed(2)} of a processor to hear it`);
  });

test('a gap is told when readings are back', async (t) => {
  const flag = join(await temporaryFolder(t), 'there');
  const script = `[ -e ${flag} ] || { echo away >&2; exit 1; }; echo 1; sleep 100`;
  const bridge = await createExecBridge(sh(script));
  await loss(new BridgeSession().run(bridge));
  await loss(new BridgeSession().run(bridge));
  await writeFile(flag, '');
  const session = new BridgeSession();
  session.begin(bridge);
  afterTest(t, () => session.stop());
  await until('two messages', () => session.messages.length === 2);
  const [gap, reading] = session.messages;
  assert.deepEqual([gap?.kind, gap?.topic], ['hub.health', 'holdfast/bridge/bridge-1']);
  const { failures, reason } = JSON.parse(String(gap?.payload));
  assert.deepEqual(
    { failures, reason },
    { failures: 2, reason: 'the program `sh` ended with code 1: away' },
  );
  assert.equal(String(reading?.payload), '1');
});

test('at intervals: never two at a time, and a run that is too long is ended', async (t) => {
  const file = join(await temporaryFolder(t), 'runs');
  const script = `echo start >> ${file}; sleep 0.25; echo end >> ${file}; echo 1`;
  const { session } = await begun(t, sh(script, { interval: '100 ms' }));
  await until('three runs', () => session.messages.length >= 3);
  assert.match(session.detail ?? '', /took 0\.\d s, longer than its `interval`/);
  await session.stop();
  const runs = (await readFile(file, 'utf8')).trim().split('\n');
  for (const [i, what] of runs.entries()) assert.equal(what, i % 2 === 0 ? 'start' : 'end');

  const slow = await begun(
    t,
    sh('echo 1; echo waiting >&2; sleep 100', { interval: '1 min', timeout: '200 ms' }),
  );
  const error = await loss(slow.session.ended);
  assert.match(error.message, /did not end within its `timeout` of 200 ms: waiting/);
  assert.ok((error.retryAfterMs ?? 0) > 55_000, 'the next one starts at its time');
});

test('waiting for the log does not count as the time of the program', async (t) => {
  // more than a pipe holds
  const script = 'x=$(printf %01000d 1); for i in $(seq 1000); do echo $x; done; sleep 1.2';
  const given = { format: 'raw', interval: '1 h', timeout: '2 s' };
  const { session } = await begun(t, sh(script, given));
  session.gate = () => delay(1_200);
  await until('the first lines', () => session.messages.length > 0);
  await delay(1_000);
  assert.ok(session.messages.length <= LINES_PER_BATCH_MAX, 'the rest waits in the pipe');
  session.gate = async () => {};
  await until('the end', () => session.connections > 0);
  assert.equal(session.messages.length, 1_000);
});

test('the program gets its environment and its folder, and not the tokens of the hub', async (t) => {
  process.env['HOLDFAST_TOKEN'] = 'secret';
  afterTest(t, () => delete process.env['HOLDFAST_TOKEN']);
  const folder = await temporaryFolder(t);
  const script = 'echo "$KEY-$HOLDFAST_TOKEN-$(pwd)"';
  const given = { env: { KEY: 'k' }, working_dir: folder, format: 'raw', interval: '1 h' };
  const { session } = await begun(t, sh(script, given));
  await until('a line', () => session.messages.length > 0);
  assert.equal(session.published()[0], `exec/bridge-1 k--${folder}`);
});

test('commands: lines of JSON on stdin, answered by lines of stdout', async (t) => {
  const script = `
    require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
      const { command, device, name, data, dataBase64 } = JSON.parse(line);
      if (name === 'exit') process.exit(4);
      if (name === 'silence') return;
      console.log(JSON.stringify({ command: 'on', t: 1 })); // a reading of a remote control
      if (name === 'bad') console.log(JSON.stringify({ command, error: 'no such lamp' }));
      else console.log(JSON.stringify({ command, answer: { device, name, data, dataBase64 } }));
    });
    console.log('{"up":1}');`;
  const commands = { devices: ['lamp'], answer_timeout: '300 ms' };
  const options = execSpec.options.parse({ command: [process.execPath, '-e', script], commands });
  const { session, bridge } = await begun(t, options);
  await until('up', () => session.messages.length === 1);
  const taker = bridge.commands;
  assert.ok(taker);
  assert.deepEqual([taker.owns('lamp', 'b'), taker.owns('b', 'b')], [true, false]);
  const sent: string[] = [];
  const never = new AbortController().signal;
  const give = (id: string, name: string, payload: string | Buffer, signal = never) =>
    taker.carryOut(
      { id, device: 'lamp', name, payload: Buffer.from(payload) },
      () => sent.push(id),
      signal,
    );
  const answerOf = async (work: ReturnType<typeof give>) => {
    const outcome = await work;
    return outcome.state === 'done' ? JSON.parse(String(outcome.answer)) : outcome;
  };
  const about = { device: 'lamp', name: 'set' };
  assert.deepEqual(await answerOf(give('1', 'set', '{"a":1}')), { ...about, data: { a: 1 } });
  assert.deepEqual(await answerOf(give('2', 'set', 'on')), { ...about, data: 'on' });
  const bytes = await answerOf(give('3', 'set', Buffer.from([0xff, 0])));
  assert.deepEqual(bytes, { ...about, dataBase64: '/wA=' });
  assert.deepEqual(await give('4', 'bad', ''), { state: 'failed', detail: 'no such lamp' });
  assert.match(JSON.stringify(await give('5', 'silence', '')), /did not answer within 300 ms/);
  const expired = give('6', 'silence', '', AbortSignal.timeout(50));
  assert.match(JSON.stringify(await expired), /before its time was over/);
  assert.deepEqual(sent, ['1', '2', '3', '4', '5', '6']);
  assert.deepEqual(
    session.published().slice(1),
    Array(4).fill('exec/bridge-1 {"command":"on","t":1}'),
  );
  assert.match(JSON.stringify(await give('7', 'exit', '')), /ended before it answered/);
  assert.match((await loss(session.ended)).message, /ended with code 4/);
  assert.match(JSON.stringify(await give('8', 'set', '')), /does not run/);

  const plain = await begun(t, sh('echo 1; cat', { commands: {} }));
  await until('up', () => plain.session.messages.length === 1);
  const order = { id: '9', device: 'bridge-1', name: 'on', payload: Buffer.alloc(0) };
  assert.deepEqual(await plain.bridge.commands?.carryOut(order, () => {}, never), {
    state: 'sent',
  });
  await until('the echo', () => plain.session.messages.length === 2);
  assert.equal(
    plain.session.published()[1],
    'exec/bridge-1 {"command":"9","device":"bridge-1","name":"on"}',
  );
});

test('the configuration: what is wrong is said, and the example of the README is valid', async (t) => {
  const problem = (text: string) =>
    problemsOf(`bridges:\n  - {id: a, type: exec, ${text}}\n`).join('\n');
  assert.match(
    problem('command: "rtl_433 -F json"'),
    /expected a list: the program and its arguments/,
  );
  assert.match(problem('command: []'), /names no program/);
  assert.match(
    problem('command: [a], timeout: 1 s'),
    /timeout — has no meaning without `interval`/,
  );
  assert.match(problem('command: [a], interval: 1 s, commands: {}'), /leave `interval` out/);
  assert.match(problem('command: [a], format: regex'), /pattern — is missing/);
  assert.match(problem('command: [a], columns: [b]'), /has no meaning with `format: json`/);
  assert.match(problem('command: [a], env: {"A-B": x}'), /name of an environment variable/);

  const folder = await temporaryFolder(t);
  const readme = await readFile(join(ROOT, 'firmware-bridge/exec/README.md'), 'utf8');
  const [, yaml = ''] = /```yaml\n([\s\S]*?)```/.exec(readme) ?? [];
  const file = join(folder, 'holdfast.yaml');
  await writeFile(file, yaml);
  const { config } = loadConfig({ file }, {});
  assert.equal(config.bridges.length, 4);
  assert.equal(Reflect.get(config.bridges[2] ?? {}, 'working_dir'), join(folder, 'scripts'));
  const check = holdfast(t, ['check', '--config', file]);
  assert.equal(await check.ended, 0, check.stderr);
});

test('doctor: whether the program could be started', async () => {
  const look = async (given: object) =>
    (await execSpec.examine(execSpec.options.parse(given)))[0]?.severity;
  assert.equal(await look({ command: ['sh'] }), 'ok');
  assert.equal(await look({ command: ['no-such-program'] }), 'problem');
  assert.equal(await look({ command: ['sh'], working_dir: '/none' }), 'problem');
  assert.equal(await look({ command: ['sh'], env: { PATH: '/none' } }), 'problem');
});

test('in the whole hub: readings without a rule, and a missing program in the status', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'scripts'));
  await writeFile(join(folder, 'scripts', 'read.sh'), 'echo temp=21.5 hum=48\n');
  const hub = await runHub(
    t,
    folder,
    hubYaml(
      [],
      [
        'bridges:',
        '  - {id: attic, type: exec, command: [sh, read.sh], working_dir: scripts, format: key_value, interval: 200 ms}',
        '  - {id: gone, type: exec, command: [no-such-program]}',
      ],
    ),
  );
  await hub.ready();
  await until('a reading', async () => {
    const latest = await (await hub.get('/api/v1/latest')).text();
    return /"attic"/.test(latest) && /21\.5/.test(latest);
  });
  const { bridges } = (await hub.status()).inputs;
  assert.equal(bridges.find(({ id }) => id === 'attic')?.state, 'reading');
  const gone = bridges.find(({ id }) => id === 'gone');
  assert.match(gone?.detail ?? '', /`no-such-program` is not installed/);
});
