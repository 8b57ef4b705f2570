import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { afterTest } from '../support/after-test.ts';
import { brokerFixture } from '../support/broker-fixture.ts';
import { until } from '../support/until.ts';

const run = promisify(execFile);

/** True when Mosquitto's clients are installed; else the test is skipped, or fails. */
function hasClients(t: TestContext): boolean {
  if (spawnSync('mosquitto_pub', ['--help']).error === undefined) return true;
  const text = 'needs mosquitto_pub and mosquitto_sub: apt-get install mosquitto-clients';
  if (process.env['HOLDFAST_REQUIRE_PEERS'] === '1') assert.fail(text);
  t.skip(text);
  return false;
}

interface Subscriber {
  readonly lines: string[];
  readonly process: ChildProcess;
}

/** mosquitto_sub that is subscribed; prints `topic qos retain payload`. Killed after the test. */
async function subscribe(t: TestContext, port: number, ...options: string[]): Promise<Subscriber> {
  const format = ['-F', '%t %q %r %p'];
  const args = ['-h', '127.0.0.1', '-p', String(port), '-d', ...format, ...options];
  const process = spawn('stdbuf', ['-oL', 'mosquitto_sub', ...args]);
  afterTest(t, () => process.kill());
  const subscriber: Subscriber = { lines: [], process };
  let state: 'connecting' | 'subscribed' = 'connecting';
  let rest = '';
  process.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.includes('received SUBACK') || line.startsWith('Subscribed')) state = 'subscribed';
      else if (/ [012] [01] /.test(line) && !line.startsWith('Client '))
        subscriber.lines.push(line);
    }
  });
  await until('mosquitto_sub is subscribed', () => state === 'subscribed');
  return subscriber;
}

async function publish(port: number, ...options: string[]): Promise<void> {
  await run('mosquitto_pub', ['-h', '127.0.0.1', '-p', String(port), ...options], {
    timeout: 10_000,
  });
}

for (const version of ['mqttv31', 'mqttv311']) {
  for (const qos of ['0', '1', '2']) {
    test(`${version}: a publish with QoS ${qos} is stored and passed on`, async (t) => {
      if (!hasClients(t)) return;
      const fixture = await brokerFixture(t);
      const subscriber = await subscribe(t, fixture.port, '-V', version, '-t', '#', '-q', qos);
      await publish(fixture.port, '-V', version, '-t', 'site/a', '-m', '21.5', '-q', qos);
      await until('it arrives', () => subscriber.lines.length > 0);
      assert.deepEqual(subscriber.lines, [`site/a ${qos} 0 21.5`]);
      await until('it is stored', () => fixture.log.acceptedEvents === 1);
      assert.deepEqual(await fixture.events(), ['site/a 21.5']);
    });
  }
}

test('retained: kept over a restart, and deleted with -n', async (t) => {
  if (!hasClients(t)) return;
  const fixture = await brokerFixture(t);
  await publish(fixture.port, '-t', 'state', '-m', 'on', '-q', '1', '-r');
  await fixture.restart();
  const first = await subscribe(t, fixture.port, '-t', 'state', '-q', '1');
  await until('it arrives', () => first.lines.length > 0);
  assert.deepEqual(first.lines, ['state 1 1 on']);
  await publish(fixture.port, '-t', 'state', '-n', '-q', '1', '-r');
  await publish(fixture.port, '-t', 'marker', '-m', 'x', '-q', '1', '-r');
  const second = await subscribe(t, fixture.port, '-t', '#', '-q', '1');
  await until('the marker arrives', () => second.lines.length > 0);
  assert.deepEqual(second.lines, ['marker 1 1 x']);
});

test('a will is published when the client is killed', async (t) => {
  if (!hasClients(t)) return;
  const fixture = await brokerFixture(t);
  const watcher = await subscribe(t, fixture.port, '-t', 'wills/#', '-q', '1');
  const will = ['--will-topic', 'wills/dev', '--will-payload', 'gone', '--will-qos', '1'];
  const dying = await subscribe(t, fixture.port, '-i', 'dev', '-t', 'x', ...will);
  dying.process.kill('SIGKILL'); // stdbuf has become mosquitto_sub
  await until('the will arrives', () => watcher.lines.length > 0);
  assert.deepEqual(watcher.lines, ['wills/dev 1 0 gone']);
  assert.deepEqual(await fixture.events(), ['wills/dev gone']);
});

test('a persistent session (-c) gets what it missed, in order, over a restart', async (t) => {
  if (!hasClients(t)) return;
  const fixture = await brokerFixture(t);
  const session = ['-c', '-i', 'dev', '-t', 'site/#', '-q', '2'];
  const before = await subscribe(t, fixture.port, ...session);
  before.process.kill('SIGTERM');
  await once(before.process, 'close');
  for (let i = 1; i <= 5; i++) {
    await publish(fixture.port, '-t', 'site/a', '-m', String(i), '-q', String(1 + (i % 2)));
    if (i === 3) await fixture.restart();
  }
  const after = await subscribe(t, fixture.port, ...session);
  await until('all arrive', () => after.lines.length >= 5);
  // a message of QoS 2 is shown when its handshake is over: order is promised for each QoS
  for (const [qos, numbers] of [
    [1, [2, 4]],
    [2, [1, 3, 5]],
  ] as const) {
    assert.deepEqual(
      after.lines.filter((line) => line.startsWith(`site/a ${qos}`)),
      numbers.map((number) => `site/a ${qos} 0 ${number}`),
    );
  }
  assert.equal(after.lines.length, 5);
});

for (const qos of ['0', '1', '2']) {
  test(`100 lines through -l with QoS ${qos} are stored in order`, async (t) => {
    if (!hasClients(t)) return;
    const fixture = await brokerFixture(t);
    const lines = Array.from({ length: 100 }, (_, i) => `line ${i}`);
    const port = String(fixture.port);
    const args = ['-h', '127.0.0.1', '-p', port, '-t', 'piped', '-q', qos, '-l'];
    const publisher = spawn('mosquitto_pub', args);
    publisher.stdin.end(`${lines.join('\n')}\n`);
    const [code] = await once(publisher, 'close');
    assert.equal(code, 0);
    await until('all are stored', () => fixture.log.acceptedEvents >= lines.length);
    assert.deepEqual(
      await fixture.events(),
      lines.map((line) => `piped ${line}`),
    );
  });
}

test('MQTT 5 is told that it is not spoken here', async (t) => {
  if (!hasClients(t)) return;
  const fixture = await brokerFixture(t);
  const args = [
    '-h',
    '127.0.0.1',
    '-p',
    String(fixture.port),
    '-V',
    'mqttv5',
    '-t',
    't',
    '-m',
    'x',
  ];
  const { status, stderr } = await new Promise<{ status: number | null; stderr: string }>(
    (resolve) => {
      execFile('mosquitto_pub', args, { timeout: 10_000 }, (error, _stdout, text) =>
        resolve({ status: Number(error?.code ?? 0), stderr: text }),
      );
    },
  );
  assert.notEqual(status, 0);
  assert.match(stderr, /protocol/i);
  await publish(fixture.port, '-t', 't', '-m', 'x', '-q', '1');
});
