import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { freePort } from '../support/free-port.ts';
import { httpFarSide } from '../support/http-far-side.ts';
import { eventually, holdfast, hubYaml, runHub } from '../support/hub-process.ts';
import { assertLedger } from '../support/ledger.ts';
import { publishers } from '../support/oracle-publisher.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const EVENTS = 1_500;

/** A hub that has delivered EVENTS to a far side that is slow from now on. */
async function deliveredPast(t: TestContext) {
  const folder = await temporaryFolder(t);
  const far = await httpFarSide(t);
  const [mqttPort, httpPort] = [await freePort(), await freePort()];
  const retry = 'retry: { delay_min: 50 ms, delay_max: 500 ms }';
  const batch = 'batch: { events_max: 100, linger_ms: 20 }';
  const sink = `{ id: cloud, type: http, url: "${far.url}", ${retry}, ${batch} }`;
  const http = `http: { port: ${httpPort} }`;
  const yaml = hubYaml([sink], [], mqttPort).replace('http: { port: 0 }', http);
  const start = async () => {
    const hub = await runHub(t, folder, yaml);
    await hub.ready();
    return hub;
  };
  const publish = async (name: string, total: number) => {
    const [publisher] = publishers(t, 1, { port: mqttPort, name, qos: 1, window: 100, total });
    await eventually(`${name} is published`, () => publisher?.done === true);
    publisher?.finish();
  };
  const hub = await start();
  await publish('past', EVENTS);
  await eventually('all delivered', () => far.liveIds.size === EVENTS);
  far.mode = 'slow';
  return { hub, start, publish, far, url: `http://127.0.0.1:${httpPort}` };
}

test('e2e: a replay survives a SIGKILL of the hub, and sends everything again, marked', async (t) => {
  const { hub: first, start, publish, far, url } = await deliveredPast(t);
  const past = new Set(far.liveIds);
  const args = ['replay', '--sink', 'cloud', '--from', '-1h', '--wait', '--url', url];
  const replay = holdfast(t, args);
  await eventually('a part of the replay', () => far.replayedIds.size >= 300);
  await publish('early', 1); // its commit carries the progress along
  assert.ok(far.replayedIds.size < EVENTS, 'it is under way');
  await first.kill('SIGKILL');
  const hub = await start();
  const { running } = (await hub.sink('cloud')).replay;
  assert.equal(running?.id, 1);
  assert.ok((running?.doneEvents ?? 0) > 0, 'it does not begin again');
  await publish('live', 50);
  await eventually('live ones beside it', () => far.liveIds.size === EVENTS + 51);
  assert.ok(far.replayedIds.size < EVENTS, 'they do not wait for its end');
  assert.equal(await replay.ended, 0, replay.stderr);
  assert.match(replay.stdout, /^replay 1 of sink cloud: 1,500 events .*\nfinished: [\d,]+ events/);
  assert.deepEqual([...far.replayedIds].sort(), [...past].sort(), 'the range and nothing else');
  const { deliveredEvents, replay: status } = await hub.sink('cloud');
  // who asked for it is an event of its own
  assert.equal(deliveredEvents, EVENTS + 51 + 1, 'the ledger knows nothing of it');
  assert.equal(status.running, null);
  assert.ok(status.replayedEvents > 0);
  assertLedger(await hub.status());
  const metrics = await (await hub.get('/metrics')).text();
  assert.match(metrics, /holdfast_sink_replayed_events_total\{sink="cloud"\} [1-9]/);
  assert.equal(await hub.kill('SIGTERM'), 0);
});

test('e2e: holdfast replay says what is wrong, with the exit code of it', async (t) => {
  const nowhere = `http://127.0.0.1:${await freePort()}`;
  const cases: readonly [string[], number, RegExp][] = [
    [['--from', '-1h'], 64, /--sink/],
    [['--sink', 'x', '--from', 'then', '--url', nowhere], 64, /--from then is no time/],
    [['--sink', 'x', '--from', '-1h', '--url', nowhere], 69, /no hub answers at/],
  ];
  for (const [args, code, text] of cases) {
    const command = holdfast(t, ['replay', ...args]);
    assert.equal(await command.ended, code, command.stderr);
    assert.match(command.stderr, text);
  }
});
