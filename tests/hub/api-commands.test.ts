import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { packageRoot } from '../../config/find-file.ts';
import type { ApiOptions } from '../../hub/api/server.ts';
import type { Command } from '../../hub/core/command.ts';
import { problemOf, startApi } from '../support/api-fixture.ts';
import { FixedView } from '../support/fixed-view.ts';

const PATH = '/api/v1/devices/pump%201/commands';

const COMMAND: Command = {
  id: 'c1',
  device: 'pump 1',
  name: 'set',
  state: 'accepted',
  via: 'mqtt',
  actor: { via: 'api', address: '127.0.0.1' },
  acceptedMs: 1,
  expiresMs: 2,
  sentMs: null,
  endedMs: null,
};

async function start(t: TestContext, options: Partial<ApiOptions> = {}) {
  const view = new FixedView();
  view.commandAnswer = { kind: 'command', command: COMMAND, repeated: false };
  const { ask } = await startApi(t, view, options);
  const post = (body: string, headers = {}, path = PATH) => ask('POST', path, body, headers);
  return { view, post, get: (path: string) => ask('GET', path) };
}

/** Bodies of the commands that the pages give with curl. */
async function shownCommands(): Promise<string[]> {
  const bridges = join(packageRoot(), 'firmware-bridge');
  const pages = [join(packageRoot(), 'docs', 'commands.md')];
  for (const name of await readdir(bridges)) pages.push(join(bridges, name, 'README.md'));
  const texts = await Promise.all(pages.map((page) => readFile(page, 'utf8').catch(() => '')));
  const blocks = texts.flatMap((text) => [...text.matchAll(/```sh\n(.*?)```/gs)]);
  const curls = blocks.flatMap(([, block = '']) => block.split(/^(?=curl )/m));
  return curls
    .filter((curl) => /\/commands\b/.test(curl))
    .flatMap((curl) => /-d '([^']+)'/.exec(curl)?.[1] ?? []);
}

test('commands API: what the pages show is taken', async (t) => {
  const { post } = await start(t);
  const bodies = await shownCommands();
  assert.ok(bodies.length >= 3, `${bodies}`);
  for (const body of bodies) assert.equal((await post(body)).status, 202, body);
});

test('commands API: a hub that has just started asks for patience', async (t) => {
  const { view, post } = await start(t);
  view.commandAnswer = { kind: 'not_ready' };
  const answer = await post('{"name":"set"}');
  assert.match(problemOf(answer, 503), /starting or stopping. Nothing was sent/);
  assert.equal(answer.headers['retry-after'], '5');
});

test('commands API: takes a command, says where it is, and shows it', async (t) => {
  const { view, post, get } = await start(t);
  const bodies: readonly [string, string][] = [
    ['{"name":"set","data":"LED 1"}', 'LED 1'],
    ['{"name":"set","data":{"rpm":1200}}', '{"rpm":1200}'],
    ['{"name":"set","data":null}', 'null'],
    ['{"name":"set","dataBase64":"AP8="}', '\u0000\u00ff'],
    ['{"name":"set"}', ''],
  ];
  for (const [body] of bodies) assert.equal((await post(body)).status, 202, body);
  const { commandRequests } = view;
  assert.deepEqual(
    commandRequests.map(({ request }) => request.payload.toString('latin1')),
    bodies.map(([, payload]) => payload),
  );
  assert.ok(commandRequests.every(({ request }) => request.device === 'pump 1'));
  assert.ok(commandRequests.every(({ request }) => request.ttlMs === 60_000));
  const headers = { 'idempotency-key': 'k1', 'holdfast-actor': 'cli pi%40gateway' };
  const answer = await post('{"name":"set","ttlMs":5000}', headers);
  assert.equal(answer.headers.location, `${PATH}/c1`);
  const last = commandRequests.at(-1);
  assert.deepEqual([last?.request.idempotencyKey, last?.request.ttlMs], ['k1', 5_000]);
  assert.equal(last?.actor.name, 'pi@gateway');
  assert.deepEqual(JSON.parse((await get(`${PATH}/c1`)).body), COMMAND);
  assert.deepEqual(JSON.parse((await get(PATH)).body), [COMMAND]);
  assert.match(problemOf(await get(`${PATH}/c2`), 404), /no command `c2` of device `pump 1`/);
  view.commandAnswer = { kind: 'command', command: COMMAND, repeated: true };
  assert.equal((await post('{"name":"set"}')).status, 200, 'nothing new was done');
});

test('commands API: says what is wrong with a request, and then does nothing', async (t) => {
  const { view, post } = await start(t);
  const bodies: readonly [string, RegExp][] = [
    ['{}', /`name` is missing/],
    ['{"name":"a/b"}', /`name`/],
    ['{"name":"set","data":1,"dataBase64":"AA=="}', /`dataBase64` is given/],
    ['{"name":"set","dataBase64":"%"}', /no base64/],
    ['{"name":"set","ttlMs":10}', /`ttlMs` is not in its range/],
    ['{"name":"set","when":"now"}', /`when` is not known/],
    [`{"name":"set","data":"${'x'.repeat(16_385)}"}`, /`data` is too large/],
    [`{"name":"set","data":${'['.repeat(20_000)}${']'.repeat(20_000)}}`, /nested too deeply/],
    ['[]', /JSON object/],
  ];
  for (const [body, expected] of bodies)
    assert.match(problemOf(await post(body), 400), expected, body.slice(0, 80));
  problemOf(await post('{"name":"set"}', { 'idempotency-key': 'x'.repeat(129) }), 400);
  problemOf(await post('{"name":"set"}', {}, '/api/v1/devices/a%2Fb/commands'), 400);
  problemOf(await post('{"name":"set"}', {}, '/api/v1/devices/a%23/commands'), 400);
  assert.equal(view.commandRequests.length, 0);
});

test('commands API: each refusal has its status, its reason and what to do', async (t) => {
  const { view, post } = await start(t);
  view.commandAnswer = { kind: 'no_device' };
  assert.match(problemOf(await post('{"name":"set"}'), 404), /no device `pump 1`.*\/devices lists/);
  view.commandAnswer = { kind: 'bridge_down', bridge: 'bus', detail: 'no port /dev/ttyUSB0' };
  const down = await post('{"name":"set"}');
  assert.match(problemOf(down, 503), /bridge `bus`.*no port \/dev\/ttyUSB0.*Nothing was sent/);
  assert.equal(down.headers['retry-after'], '5');
  view.commandAnswer = { kind: 'too_many', waiting: 16 };
  assert.match(problemOf(await post('{"name":"set"}'), 429), /16 commands/);
  view.commandAnswer = { kind: 'key_reused', id: 'c9' };
  assert.match(problemOf(await post('{"name":"set"}'), 422), /c9/);
});

test('commands API: needs the token, and takes nothing from pages of others', async (t) => {
  const { view, post } = await start(t, { token: 'correct-horse-42' });
  problemOf(await post('{"name":"set"}'), 401);
  const authorization = { authorization: 'Bearer correct-horse-42' };
  problemOf(
    await post('{"name":"set"}', { ...authorization, origin: 'https://evil.example' }),
    403,
  );
  assert.equal(view.commandRequests.length, 0);
  assert.equal((await post('{"name":"set"}', authorization)).status, 202);
});
