import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { afterTest } from '../support/after-test.ts';
import { httpFarSide } from '../support/http-far-side.ts';
import { eventually, holdfast, hubYaml, runHub } from '../support/hub-process.ts';
import { publishers } from '../support/oracle-publisher.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const FIVE_MISTAKES = `hub: { id: gw, data_dri: ./data }
mqtt: { anonymous: true, listeners: [{ type: tpc, port: 1883 }] }
log: { capacity: { bytes_max: 2 GIB2 } }
sinks:
  - { id: cloud, type: htpp, url: "http://127.0.0.1/" }
http: { port: 99999 }
`;

test('start: five mistakes are five lines, each with its place and a hint, and exit 78', async (t) => {
  const folder = await temporaryFolder(t);
  const hub = await runHub(t, folder, FIVE_MISTAKES);
  assert.equal(await hub.ended, 78);
  const lines = hub.stderr.trim().split('\n');
  const places = lines.map((line) => /holdfast\.yaml:(\d+):\d+ {2}/.exec(line)?.[1]);
  assert.deepEqual(places, ['1', '2', '3', '5', '6'], hub.stderr);
  for (const [index, hint] of ['data_dir', 'tcp', 'GiB', 'http', '65535'].entries()) {
    assert.ok(lines[index]?.includes(hint), `${lines[index]} does not name ${hint}`);
  }
  assert.ok(!hub.stderr.includes('    at '), 'no stack');
});

for (const which of ['mqtt', 'http']) {
  test(`start: a port in use (${which}) is named, and exit 69`, async (t) => {
    const folder = await temporaryFolder(t);
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    afterTest(t, () => other.close());
    const address = other.address();
    const port = address && typeof address === 'object' ? address.port : 0;
    const yaml = hubYaml(['{ id: files, type: file, path: out }'], [], which === 'mqtt' ? port : 0);
    const hub = await runHub(
      t,
      folder,
      which === 'mqtt' ? yaml : yaml.replace('http: { port: 0 }', `http: { port: ${port} }`),
    );
    assert.equal(await hub.ended, 69, hub.stderr);
    assert.ok(hub.stderr.includes(`:${port}`), hub.stderr);
    assert.ok(!hub.stderr.includes('    at '), 'no stack');
  });
}

test('start: a second hub on the same data directory exits 73 and leaves the first alone', async (t) => {
  const folder = await temporaryFolder(t);
  const yaml = hubYaml(['{ id: files, type: file, path: out }']);
  const first = await runHub(t, folder, yaml);
  await first.ready();
  const second = await runHub(t, folder, yaml);
  assert.equal(await second.ended, 73);
  assert.match(second.stderr, /in use by another hub/);
  assert.equal((await first.get('/ready')).status, 200);
});

test('start: a data directory that cannot be written is named, and exit 73', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'data'), 'a file where a folder should be');
  const hub = await runHub(t, folder, hubYaml(['{ id: files, type: file, path: out }']));
  assert.equal(await hub.ended, 73);
  assert.match(hub.stderr, /data_dir|cannot open/);
  assert.ok(!hub.stderr.includes('    at '), 'no stack');
});

test('start: SIGTERM drains what is under way and exits 0; SIGHUP does no harm', async (t) => {
  const folder = await temporaryFolder(t);
  const far = await httpFarSide(t);
  const hub = await runHub(t, folder, hubYaml([`{ id: cloud, type: http, url: "${far.url}" }`]));
  await hub.ready();
  const [publisher] = publishers(t, 1, { port: hub.mqttPort, qos: 1, window: 10, total: 500 });
  await eventually('published', () => publisher?.done ?? false);
  hub.process.kill('SIGHUP');
  await eventually('a word about SIGHUP', () => hub.stdout.includes('SIGHUP'));
  assert.equal((await hub.get('/ready')).status, 200);
  publisher?.end();
  const startMs = performance.now();
  assert.equal(await hub.kill('SIGTERM'), 0, hub.stderr);
  assert.ok(performance.now() - startMs < 10_000);
  assert.equal(hub.stderr, '');
});

test('start: a stream that is open does not hold up the end; a second SIGTERM insists', async (t) => {
  const folder = await temporaryFolder(t);
  const far = await httpFarSide(t);
  const sink = `{ id: cloud, type: http, url: "${far.url}", batch: { linger_ms: 0 } }`;
  const hub = await runHub(t, folder, hubYaml([sink]));
  await hub.ready();
  far.mode = 'hang';
  await hub.get('/api/v1/stream');
  publishers(t, 1, { port: hub.mqttPort, qos: 1, window: 10 });
  await eventually('a hanging request', () => far.requests > 0);
  hub.process.kill('SIGTERM');
  hub.process.kill('SIGINT');
  const code = await hub.ended;
  assert.ok(code === 0 || code === 1, `ended with ${code}`);
});

test('command line: help everywhere, and exit 64 for what it does not know', async (t) => {
  const run = async (args: string[], env?: Record<string, string>) => {
    const command = holdfast(t, args, env);
    return { code: await command.ended, out: command.stdout, err: command.stderr };
  };
  const [top, ofRun, ofCheck, unknown, option, none, level] = await Promise.all([
    run(['--help']),
    run(['run', '--help']),
    run(['check', '--help']),
    run(['fly']),
    run(['run', '--fast']),
    run([]),
    run(['run'], { HOLDFAST_LOG_LEVEL: 'loud' }),
  ]);
  for (const { code, out } of [top, ofRun, ofCheck]) {
    assert.equal(code, 0);
    assert.match(out, /Usage: holdfast/);
  }
  assert.match(ofRun.out, /HOLDFAST_LOG_LEVEL/);
  for (const { code, err } of [unknown, option, none, level]) assert.equal(code, 64, err);
  assert.match(level.err, /HOLDFAST_LOG_LEVEL is loud; expected .*debug/);
});
