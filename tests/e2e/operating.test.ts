import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Operation } from '../../hub/core/operation.ts';
import { freePort } from '../support/free-port.ts';
import { type HttpFarSide, httpFarSide } from '../support/http-far-side.ts';
import { eventually, type HubProcess, holdfast, hubYaml, runHub } from '../support/hub-process.ts';
import { assertLedger } from '../support/ledger.ts';
import { publishers } from '../support/oracle-publisher.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const ROUNDS = Number(process.env['HOLDFAST_OPERATING_ROUNDS'] ?? 4);

function yamlOf(far: HttpFarSide, ports: { mqtt: number; http: number }, id = 'cloud', more = '') {
  const retry = 'retry: { delay_min: 50 ms, delay_max: 500 ms }';
  const batch = 'batch: { events_max: 100, linger_ms: 20 }';
  const sink = `{ id: ${id}, type: http, url: "${far.url}", ${retry}, ${batch}${more} }`;
  const lanes = 'log: { lanes: { alarm: ["site/+/alarm/#"] } }';
  const http = `http: { port: ${ports.http} }`;
  return hubYaml([sink], [lanes], ports.mqtt).replace('http: { port: 0 }', http);
}

async function operatedHub(t: TestContext) {
  const folder = await temporaryFolder(t);
  const far = await httpFarSide(t);
  const ports = { mqtt: await freePort(), http: await freePort() };
  const url = `http://127.0.0.1:${ports.http}`;
  const start = async (id?: string, more?: string) => {
    const hub = await runHub(t, folder, yamlOf(far, ports, id, more));
    await hub.ready();
    return hub;
  };
  const publish = async (name: string, total: number) => {
    const [publisher] = publishers(t, 1, { port: ports.mqtt, name, qos: 1, window: 100, total });
    await eventually(`${name} is published`, () => publisher?.done === true);
    publisher?.finish();
  };
  const command = async (...args: string[]) => {
    const asked = holdfast(t, [...args, '--sink', 'cloud', '--url', url]);
    assert.equal(await asked.ended, 0, asked.stderr);
    return asked.stdout;
  };
  return { far, url, start, publish, command };
}

async function operationsOf(hub: HubProcess): Promise<Operation[]> {
  const answer = await hub.get('/api/v1/events?topic=holdfast/operation&limit=1000');
  const events: { type: string; data: Operation }[] = JSON.parse(await answer.text());
  for (const { type } of events) assert.equal(type, 'dev.holdfast.operation.v1');
  return events.map(({ data }) => data);
}

test('e2e: what people tell a sink survives a SIGKILL, and the ledger is exact', async (t) => {
  const { far, start, publish, command } = await operatedHub(t);
  let hub = await start();
  await publish('before', 50);
  await eventually('all delivered', () => far.unique === 50);
  assert.match(await command('pause'), /^sink cloud is paused by .+@.+ \(cli\) at 20/);
  await hub.kill('SIGKILL');
  hub = await start();
  await publish('while', 200);
  await publish('alarm', 5);
  await delay(300);
  assert.equal(far.unique, 50, 'nothing leaves, alarms neither');
  const paused = await hub.sink('cloud');
  assert.deepEqual([paused.state, paused.lagEvents], ['paused', 206]);
  const health = JSON.parse(await (await hub.get('/health')).text());
  assert.deepEqual([health.healthy, health.reasons], [true, []], 'it is no fault');
  assert.match(health.notes.join(), /sink cloud is paused by/);
  const metrics = await (await hub.get('/metrics')).text();
  assert.match(metrics, /holdfast_sink_link\{sink="cloud",state="paused"\} 1/);
  assert.match(await command('skip', '--events', '150', '--lane', 'normal'), /leaves 150 events/);
  await hub.kill('SIGKILL');
  hub = await start();
  assert.equal((await hub.sink('cloud')).state, 'paused');
  assert.match(await command('resume'), /^sink cloud goes on/);
  await eventually('drained', async () => (await hub.sink('cloud')).lagEvents === 0);
  assert.equal(far.unique, 50 + 50 + 5);
  const { lanes, lostEvents } = await hub.sink('cloud');
  assert.equal(lostEvents, 150);
  assert.deepEqual(
    lanes.map(({ lost }) => lost),
    [{}, { skipped: 150 }, {}],
  );
  assertLedger(await hub.status());
  const operations = await operationsOf(hub);
  const did = operations.map(({ operation, sink, actor }) => [operation, sink, actor.via]);
  assert.deepEqual(did, [
    ['paused', 'cloud', 'cli'],
    ['skipped', 'cloud', 'cli'],
    ['resumed', 'cloud', 'cli'],
  ]);
  assert.equal(await hub.kill('SIGTERM'), 0);
});

test('e2e: a SIGKILL between instruction and effect: both or neither, and it says so', async (t) => {
  const seed = chooseSeed();
  const random = seededRandom(seed);
  t.diagnostic(`seed ${seed}`);
  const { far, url, start, publish } = await operatedHub(t);
  far.mode = '500';
  let hub = await start();
  await publish('backlog', 300);
  let paused = false;
  let happened = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const word: string = round % 2 === 0 ? 'skip' : paused ? 'resume' : 'pause';
    const body = word === 'skip' ? { body: JSON.stringify({ events: 10 }) } : {};
    const headers = word === 'skip' ? { 'content-type': 'application/json' } : {};
    const before = await hub.sink('cloud');
    const noted = (await operationsOf(hub)).length;
    const asked = fetch(`${url}/api/v1/sinks/cloud/${word}`, { method: 'POST', headers, ...body })
      .then(({ status }) => status === 200)
      .catch(() => false);
    await delay(random() * 12);
    await hub.kill('SIGKILL');
    const answered = await asked;
    hub = await start();
    const after = await hub.sink('cloud');
    const operations = await operationsOf(hub);
    const isDone = operations.length > noted;
    assert.ok(isDone || !answered, 'what was answered has happened');
    if (isDone) happened++;
    const skipped = after.lostEvents - before.lostEvents;
    if (word === 'skip') assert.equal(skipped, isDone ? 10 : 0);
    else if (isDone) paused = word === 'pause';
    assert.equal(after.state === 'paused', paused);
    assertLedger(await hub.status());
  }
  t.diagnostic(`${happened} of ${ROUNDS} instructions were in time`);
  far.mode = 'ok';
  if (paused) await fetch(`${url}/api/v1/sinks/cloud/resume`, { method: 'POST' });
  await eventually('drained', async () => (await hub.sink('cloud')).lagEvents === 0);
  const { lostEvents } = await hub.sink('cloud');
  assert.equal(far.unique + lostEvents, 300);
  assertLedger(await hub.status());
});

test('e2e: a sink that is renamed goes on where it was, whatever else changes', async (t) => {
  const { far, start, publish } = await operatedHub(t);
  const first = await start();
  await publish('before', 120);
  await eventually('all delivered', () => far.unique === 120);
  await first.kill('SIGTERM');
  const hub = await start('azure', ', formerly: cloud, topics: ["site/#"], compression: none');
  await publish('after', 30);
  await eventually('the new ones', () => far.unique === 150);
  assert.equal(far.duplicates, 0, 'nothing is sent again');
  assert.equal((await hub.sink('azure')).deliveredEvents, 150);
  assert.match(hub.stdout, /goes on where it was under another name/);
  assertLedger(await hub.status());
});
