import assert from 'node:assert/strict';
import { test } from 'node:test';
import { METRICS } from '../../hub/observe/metrics-table.ts';
import { httpFarSide, type Mode } from '../support/http-far-side.ts';
import { eventually, type HubProcess, hubYaml, runHub } from '../support/hub-process.ts';
import { acknowledgedOf, publishers } from '../support/oracle-publisher.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const FILE_SINK = '{ id: files, type: file, path: out, batch: { linger_ms: 0 } }';

function cloudSink(url: string, more = ''): string {
  const retry = 'retry: { delay_min: 50 ms, delay_max: 400 ms }';
  return `{ id: cloud, type: http, url: "${url}", timeout: 1 s, ${retry}${more} }`;
}

const drained = async (hub: HubProcess, id = 'cloud') => (await hub.sink(id)).lagEvents === 0;

/** A number that a dashboard can draw. */
const sane = (value: number) => Number.isFinite(value) && value >= 0;

async function assertSaneStatus(hub: HubProcess): Promise<void> {
  const { log, sinks, inputs } = await hub.status();
  assert.ok(sane(inputs.eventsPerSecond));
  assert.ok(log.secondsUntilFull === null || sane(log.secondsUntilFull));
  for (const { id, lagEvents, lagMs, eventsPerSecond, etaSeconds, deliveredEvents } of sinks) {
    const numbers = [lagEvents, lagMs, eventsPerSecond, etaSeconds ?? 0, deliveredEvents];
    assert.ok(numbers.every(sane), `${id}: ${numbers}`);
    assert.ok(lagEvents <= log.acceptedEvents && lagMs < 600_000, `${id}: ${numbers}`);
  }
}

async function metricValue(hub: HubProcess, series: string): Promise<number> {
  const text = await (await hub.get('/metrics')).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  return Number(line?.slice(series.length));
}

const MODES: readonly Mode[] = ['500', '429', 'reset', 'hang', 'lose-ack', 'slow'];

test('e2e: whatever the far side does, nothing is lost or disordered, and others do not notice', async (t) => {
  const folder = await temporaryFolder(t);
  const far = await httpFarSide(t);
  const sinks = [cloudSink(far.url, ', batch: { events_max: 200, linger_ms: 20 }'), FILE_SINK];
  const hub = await runHub(t, folder, hubYaml(sinks));
  await hub.ready();
  const all = [];
  for (const [round, mode] of MODES.entries()) {
    far.mode = mode;
    const total = 100;
    const name = `dev${round}-`;
    const group = publishers(t, 3, { port: hub.mqttPort, name, qos: 1, window: 20, total });
    all.push(...group);
    const before = far.requests;
    await eventually('acknowledged', () => group.every(({ done }) => done));
    await eventually('a healthy sink to have all', () => drained(hub, 'files'));
    await eventually(`tries in mode ${mode}`, () => far.requests >= before + 2);
    if (mode !== 'slow') assert.ok((await hub.sink('cloud')).lagEvents > 0);
    await assertSaneStatus(hub);
    far.mode = 'ok';
    await eventually(`drained after ${mode}`, () => drained(hub));
  }
  for (const { topic, acknowledged } of all) {
    assert.deepEqual(
      [...acknowledged].filter((n) => !far.has(topic, n)),
      [],
      topic,
    );
  }
  assert.deepEqual([far.unique, far.disorder], [acknowledgedOf(all), 0]);
  assert.equal((await hub.sink('cloud')).deadLetters, 0, 'an outage is nobody’s fault');
  assert.ok((await metricValue(hub, 'holdfast_sink_retries_total{sink="cloud"}')) >= 5);
  const asked = far.log.findIndex(({ mode }) => mode === '429');
  const [first, second] = far.log.slice(asked);
  assert.ok(first && second && second.atMs - first.atMs >= 990, 'Retry-After is honoured');
});

test('e2e: poison events become dead letters, the rest is delivered in order', async (t) => {
  const folder = await temporaryFolder(t);
  const far = await httpFarSide(t);
  far.poison = new Set([3, 50, 51, 199]);
  const hub = await runHub(t, folder, hubYaml([cloudSink(far.url)]));
  await hub.ready();
  const [publisher] = publishers(t, 1, { port: hub.mqttPort, qos: 2, window: 50, total: 200 });
  await eventually('acknowledged', () => publisher?.done ?? false);
  await eventually('drained', () => drained(hub));
  const { deadLetters, deliveredEvents } = await hub.sink('cloud');
  assert.deepEqual([deadLetters, deliveredEvents], [4, 196]);
  assert.deepEqual([far.unique, far.disorder, far.duplicates], [196, 0, 0]);
  assert.equal(await metricValue(hub, 'holdfast_sink_dead_letters{sink="cloud"}'), 4);
  await hub.kill('SIGKILL');
  const again = await runHub(t, folder, hubYaml([cloudSink(far.url)]));
  await again.ready();
  // one that was not durable yet is refused, and kept, once more
  await eventually('all four kept', async () => (await again.sink('cloud')).deadLetters === 4);
});

test('e2e: a sink whose far side refuses everything is halted, named, and tried again', async (t) => {
  const folder = await temporaryFolder(t);
  const far = await httpFarSide(t);
  far.poison = new Set(Array.from({ length: 1_400 }, (_, n) => n));
  const hub = await runHub(t, folder, hubYaml([cloudSink(far.url), FILE_SINK]));
  await hub.ready();
  const [publisher] = publishers(t, 1, { port: hub.mqttPort, qos: 1, window: 500, total: 1_400 });
  await eventually('acknowledged', () => publisher?.done ?? false);
  await eventually('halted', async () => (await hub.sink('cloud')).state === 'halted');
  const { hub: state } = await hub.status();
  assert.equal(state.ready, true, 'publishers are served all the same');
  assert.ok(
    state.problems.some((problem) => problem.includes('cloud')),
    state.problems.join(),
  );
  await eventually('the other sink', () => drained(hub, 'files'));
  far.poison = new Set();
  await eventually('drained once mended', () => drained(hub));
  const { deadLetters, deliveredEvents } = await hub.sink('cloud');
  assert.deepEqual([deadLetters <= 1_000, deliveredEvents + deadLetters], [true, 1_400]);
});

test('e2e: a full log with `block` says so, makes publishers wait, and loses nothing', async (t) => {
  const folder = await temporaryFolder(t);
  const far = await httpFarSide(t);
  far.mode = '500';
  const full = 'log: { capacity: { bytes_max: 1 MiB, free_bytes_min: 0 B, when_full: block } }';
  const hub = await runHub(t, folder, hubYaml([cloudSink(far.url)], [full]));
  await hub.ready();
  const options = { port: hub.mqttPort, qos: 1, window: 20, total: 400, padding: 4_000 } as const;
  const all = publishers(t, 4, options);
  await eventually('/ready says so', async () => {
    const answer = await hub.get('/ready');
    return answer.status === 503 && (await answer.text()).includes('full');
  });
  const { log } = await hub.status();
  assert.equal(log.full, true);
  const stalled = acknowledgedOf(all);
  assert.ok(stalled < 1_600, `${stalled} were acknowledged`);
  assert.equal(await metricValue(hub, 'holdfast_log_blocked'), 1);
  far.mode = 'ok';
  await eventually('all acknowledged', () => all.every(({ done }) => done));
  await eventually('drained', () => drained(hub));
  assert.deepEqual([far.unique, far.disorder, (await hub.status()).log.lostEvents], [1_600, 0, 0]);
  await eventually('ready again', async () => (await hub.get('/ready')).status === 200);
});

const BACKLOG = 100_000;
const OWN_EVENTS_MAX = 3;

test(`e2e: ${BACKLOG} events wait through a restart and drain in order`, async (t) => {
  const folder = await temporaryFolder(t);
  const far = await httpFarSide(t);
  await far.stop();
  const sinks = [cloudSink(far.url), FILE_SINK];
  let hub = await runHub(t, folder, hubYaml(sinks));
  await hub.ready();
  const total = BACKLOG / 10;
  const all = publishers(t, 10, { port: hub.mqttPort, qos: 1, window: 200, total });
  await eventually('acknowledged', () => all.every(({ done }) => done));
  for (const publisher of all) publisher.end();
  await eventually('the healthy sink', () => drained(hub, 'files'));
  await hub.kill('SIGKILL');
  hub = await runHub(t, folder, hubYaml(sinks));
  const readyMs = await hub.ready();
  t.diagnostic(`ready with a backlog of ${BACKLOG} after ${Math.round(readyMs)} ms`);
  assert.ok(readyMs < 10_000);
  await eventually('the age of the backlog', async () => (await hub.sink('cloud')).lagMs > 0);
  const waiting = await hub.sink('cloud');
  const own = waiting.lagEvents - BACKLOG; // such as the outage of the far side
  assert.ok(own >= 0 && own <= OWN_EVENTS_MAX, `${waiting.lagEvents} wait`);
  assert.equal(waiting.etaSeconds, null);
  await far.start();
  const startMs = performance.now();
  const etas: (number | null)[] = [];
  await eventually('drained', async () => {
    await assertSaneStatus(hub);
    const { lagEvents, etaSeconds } = await hub.sink('cloud');
    if (lagEvents > 0 && lagEvents < BACKLOG) etas.push(etaSeconds);
    return lagEvents === 0;
  });
  t.diagnostic(
    `drained in ${Math.round(performance.now() - startMs)} ms, ETAs ${etas.slice(0, 5)}`,
  );
  assert.ok(
    etas.every((eta) => eta === null || eta < 600),
    etas.join(),
  );
  const there = far.uniqueBelow('site/');
  assert.deepEqual([there, far.disorder], [BACKLOG, 0], 'all there once the cursor says so');
  const text = await (await hub.get('/metrics')).text();
  const missing = METRICS.filter(({ name }) => !text.includes(`# TYPE ${name} `));
  assert.deepEqual(
    missing.map(({ name }) => name),
    [],
  );
});
