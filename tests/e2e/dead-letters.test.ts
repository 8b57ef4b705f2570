import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { DeadLetterPage } from '../../hub/core/status.ts';
import { freePort } from '../support/free-port.ts';
import { httpFarSide } from '../support/http-far-side.ts';
import { eventually, type HubProcess, holdfast, hubYaml, runHub } from '../support/hub-process.ts';
import { assertLedger } from '../support/ledger.ts';
import { publishers } from '../support/oracle-publisher.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const EVENTS = 200;
const POISON = [3, 50, 51, 120, 199];

/** A hub whose far side would not take POISON of EVENTS. */
async function refused(t: TestContext) {
  const folder = await temporaryFolder(t);
  const far = await httpFarSide(t);
  far.poison = new Set(POISON);
  const port = await freePort();
  const retry = 'retry: { delay_min: 50 ms, delay_max: 400 ms }';
  const sink = `{ id: cloud, type: http, url: "${far.url}", timeout: 2 s, ${retry} }`;
  const yaml = hubYaml([sink]).replace('http: { port: 0 }', `http: { port: ${port} }`);
  const start = async () => {
    const hub = await runHub(t, folder, yaml);
    await hub.ready();
    return hub;
  };
  const hub = await start();
  const options = { port: hub.mqttPort, qos: 1, window: 50, total: EVENTS } as const;
  const [publisher] = publishers(t, 1, options);
  await eventually('acknowledged', () => publisher?.done ?? false);
  publisher?.finish();
  await eventually('all settled', async () => (await hub.sink('cloud')).lagEvents === 0);
  const url = `http://127.0.0.1:${port}`;
  const command = (...args: string[]) =>
    holdfast(t, ['dead-letters', ...args, '--sink', 'cloud', '--url', url]);
  return { far, hub, start, command };
}

async function lettersOf(hub: HubProcess): Promise<DeadLetterPage> {
  const path = '/api/v1/sinks/cloud/dead-letters?order=oldest';
  const page: DeadLetterPage = JSON.parse(await (await hub.get(path)).text());
  return page;
}

test('e2e: dead letters are sent again once the far side is mended, each once, by its own id', async (t) => {
  const { far, hub, command } = await refused(t);
  const { letters, total } = await lettersOf(hub);
  assert.equal(total, POISON.length);
  for (const { reason, response, excerpt } of letters) {
    assert.match(`${reason} ${response} ${excerpt}`, /answered 400: bad value bad value \{.*"n":/);
  }
  const ids = letters.map(({ eventId }) => eventId);
  assert.ok(ids.every((id) => !far.liveIds.has(id)));
  const listed = command('list');
  assert.equal(await listed.ended, 0, listed.stderr);
  assert.match(listed.stdout, /^5 dead letters of sink cloud:\n/);

  far.poison = new Set([POISON[2] ?? 0]); // all but one are mended
  const before = far.events;
  const retried = command('retry', '--all', '--wait');
  assert.equal(await retried.ended, 69, retried.stderr);
  assert.match(retried.stdout, /^4 taken, 1 refused again; sink cloud has 1 dead letter\n/);
  const [left, ...others] = (await lettersOf(hub)).letters;
  assert.equal(others.length, 0);
  assert.deepEqual([left?.eventId, left?.attempts], [ids[2], 2]);
  const taken = ids.filter((id) => id !== left?.eventId);
  assert.ok(taken.every((id) => far.liveIds.has(id)));
  assert.deepEqual([far.events - before, far.duplicates, far.unique], [4, 0, EVENTS - 1]);

  const refusedAll = command('discard', '--all');
  assert.equal(await refusedAll.ended, 64, 'nobody is there to be asked');
  assert.match(refusedAll.stderr, /--yes/);
  const discarded = command('discard', '--number', String(left?.number));
  assert.equal(await discarded.ended, 0, discarded.stderr);
  const status = await hub.status();
  const [sink] = status.sinks;
  const lane = sink?.lanes.find(({ lane: name }) => name === 'normal');
  assert.deepEqual([lane?.deadLettered, lane?.lost], [0, { poison: 1 }]);
  assert.deepEqual([sink?.deadLetters, sink?.lostEvents], [0, 1]);
  assert.deepEqual(
    status.log.lost.map(({ lane: name, reason, events }) => [name, reason, events]),
    [['normal', 'poison', 1]],
  );
  assertLedger(status);
});

test('e2e: a SIGKILL while dead letters are sent again loses none of them', async (t) => {
  const { far, hub, start, command } = await refused(t);
  far.poison = new Set();
  far.mode = 'lose-ack'; // the far side stores them, and the hub never hears of it
  const asked = command('retry', '--all');
  assert.equal(await asked.ended, 0, asked.stderr);
  await eventually('the far side has them', () => far.unique === EVENTS);
  await hub.kill('SIGKILL');
  far.mode = 'ok';
  const again = await start();
  const { total, retries } = await lettersOf(again);
  assert.deepEqual([total, retries.waiting], [POISON.length, 0], 'a restart forgets the request');
  assertLedger(await again.status());
  const retried = command('retry', '--all', '--wait');
  assert.equal(await retried.ended, 0, retried.stderr);
  assert.equal((await lettersOf(again)).total, 0);
  assert.equal(far.unique, EVENTS);
  assert.ok(far.duplicates > 0, 'only where an answer was lost');
  const status = await again.status();
  assert.equal(status.sinks[0]?.lostEvents, 0);
  assertLedger(status);
});
