/**
 * Goal: another process fills the volume to the last byte, in the middle of ingest, and nothing
 * that was acknowledged is lost; the hub goes on by itself when the space returns. Method: a real
 * hub on a small ext4, with a sink that is up and one that is down; publishers that remember what
 * was acknowledged. Eight seconds; HOLDFAST_FULL_VOLUME_S for longer.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ReceivedStatus } from '../../hub/core/status.ts';
import { RESERVE_BYTES } from '../../hub/log/room/reserve.ts';
import { canRun, countFrom } from '../power-cut/commands.ts';
import { afterTest } from '../support/after-test.ts';
import { freePort } from '../support/free-port.ts';
import { type HttpFarSide, httpFarSide } from '../support/http-far-side.ts';
import { eventually, type HubProcess, holdfast, hubYaml, runHub } from '../support/hub-process.ts';
import { acknowledgedOf, type OraclePublisher, publishers } from '../support/oracle-publisher.ts';
import { Volume } from './full-volume.ts';
import { ledgerProblems } from './full-volume-ledger.ts';

const FULL_MS = countFrom('HOLDFAST_FULL_VOLUME_S', 8) * 1_000;
const MIB = 1024 ** 2;
/** Above it the log has room; below half of it alarms wait too. */
const FREE_MIN_MIB = 24;
/** Space is looked at once a second, and a writer that failed waits half a second. */
const RESUME_MS_MAX = 10_000;
const HEALTH_MS_MAX = 2_000;
/** In the whole time: something that is worth a line, and not a line for each retry. */
const ERROR_LINES_MAX = 4;

interface Setup {
  readonly volume: Volume;
  readonly far: HttpFarSide;
  readonly hub: HubProcess;
  readonly alarms: readonly OraclePublisher[];
  readonly others: readonly OraclePublisher[];
}

async function setUp(t: TestContext, whenFull: string, freeBytesMin: string): Promise<Setup> {
  const volume = new Volume();
  afterTest(t, () => volume.close());
  const far = await httpFarSide(t);
  const retry = 'retry: { delay_min: 50 ms, delay_max: 500 ms }';
  const capacity = `{ bytes_max: 1 GiB, free_bytes_min: ${freeBytesMin}, when_full: ${whenFull} }`;
  const yaml = hubYaml(
    [
      `{ id: up, type: http, url: "${far.url}", ${retry}, batch: { linger_ms: 20 } }`,
      `{ id: down, type: http, url: "http://127.0.0.1:${await freePort()}/", ${retry} }`,
    ],
    [`log: { capacity: ${capacity}, lanes: { alarm: ["site/a/alarm0/#"] } }`],
  );
  const hub = await runHub(t, volume.folder, yaml);
  await hub.ready();
  const port = hub.mqttPort;
  const alarms = publishers(t, 1, { port, name: 'alarm', qos: 1, window: 1 });
  const once = publishers(t, 3, { port, name: 'once', qos: 1, window: 3, padding: 60 });
  const twice = publishers(t, 3, { port, name: 'twice', qos: 2, window: 3, padding: 60 });
  return { volume, far, hub, alarms, others: [...once, ...twice] };
}

/** Asks for as long as the volume is full; answers what /ready said last. */
async function healthyFor(hub: HubProcess, durationMs: number): Promise<string> {
  const endMs = performance.now() + durationMs;
  let ready = '';
  while (performance.now() < endMs) {
    const startMs = performance.now();
    assert.equal((await hub.get('/health')).status, 200);
    const tookMs = performance.now() - startMs;
    assert.ok(tookMs < HEALTH_MS_MAX, `/health took ${tookMs} ms`);
    const answer = await hub.get('/ready');
    ready = `${answer.status} ${await answer.text()}`;
    await delay(200);
  }
  return ready;
}

async function finished({ far, hub, alarms, others }: Setup): Promise<void> {
  const all = [...alarms, ...others];
  for (const publisher of all) publisher.finish();
  await eventually('the last acknowledgements', () => all.every(({ done }) => done));
  await eventually('drained', async () => (await hub.sink('up')).lagEvents === 0);
  assert.equal(far.disorder, 0, 'out of order');
  assert.equal(far.duplicates, 0, 'sent twice without a restart');
}

function missingAt(far: HttpFarSide, all: readonly OraclePublisher[]): number {
  let missing = 0;
  for (const { topic, acknowledged } of all) {
    for (const n of acknowledged) if (!far.has(topic, n)) missing++;
  }
  return missing;
}

function receivedFrom(source: string, counts: readonly ReceivedStatus[]): number {
  const own = counts.filter((count) => count.source === source);
  return own.reduce((sum, { events }) => sum + events, 0);
}

function errorLines({ stdout, stderr }: HubProcess): string[] {
  return (stdout + stderr).split('\n').filter((line) => {
    return /"level":(5|6)0|"level":"(error|fatal)"/.test(line);
  });
}

async function resumed(t: TestContext, setup: Setup): Promise<void> {
  const { volume, alarms, others } = setup;
  await volume.release();
  const startMs = performance.now();
  const before = [acknowledgedOf(alarms), acknowledgedOf(others)];
  await eventually('alarms and others are acknowledged again', () => {
    const now = [acknowledgedOf(alarms), acknowledgedOf(others)];
    return now.every((events, index) => events > (before[index] ?? 0) + 5);
  });
  const tookMs = performance.now() - startMs;
  t.diagnostic(`goes on ${Math.round(tookMs)} ms after the space is back`);
  assert.ok(tookMs < RESUME_MS_MAX, `it took ${tookMs} ms to go on`);
  await eventually('the reserve is taken again', async () => {
    return (await volume.bytesOf('reserve')) === RESERVE_BYTES;
  });
  await eventually('ready', async () => (await setup.hub.get('/ready')).status === 200);
}

/** What every policy has in common. Answers the state while the volume was full. */
async function throughFullVolume(t: TestContext, setup: Setup): Promise<{ ready: string }> {
  const { volume, far, hub, alarms, others } = setup;
  await eventually('events', () => acknowledgedOf(others) > 200 && acknowledgedOf(alarms) > 20);
  await volume.fill();
  const atFull = acknowledgedOf([...alarms, ...others]);
  const ready = await healthyFor(hub, FULL_MS);
  const undelivered = missingAt(far, [...alarms, ...others]);
  const full = acknowledgedOf([...alarms, ...others]) - atFull;
  t.diagnostic(
    `${atFull} acknowledged before, ${full} while it was full, of which ${undelivered} are not delivered; /ready: ${ready}`,
  );
  await resumed(t, setup);
  const lines = errorLines(hub);
  t.diagnostic(`${lines.length} lines of errors, such as: ${lines.slice(0, 3).join('\n')}`);
  await finished(setup);
  assert.deepEqual(ledgerProblems(await hub.status()), []);
  assert.ok(lines.length <= ERROR_LINES_MAX, `${lines.length} lines:\n${lines.join('\n')}`);
  assert.equal(hub.process.exitCode, null, 'the hub lives');
  return { ready };
}

for (const freeBytesMin of [`${FREE_MIN_MIB} MiB`, '0 B']) {
  test(`block, free_bytes_min ${freeBytesMin}: publishers wait`, async (t) => {
    if (!canRun(t, {}, [])) return;
    const setup = await setUp(t, 'block', freeBytesMin);
    const { ready } = await throughFullVolume(t, setup);
    assert.match(ready, /^503 .*(volume|No space left)/);
    assert.equal(missingAt(setup.far, [...setup.alarms, ...setup.others]), 0);
    assert.deepEqual((await setup.hub.status()).log.lost, []);
  });

  test(`drop_newest, free_bytes_min ${freeBytesMin}: what is dropped is counted`, async (t) => {
    if (!canRun(t, {}, [])) return;
    const setup = await setUp(t, 'drop_newest', freeBytesMin);
    await throughFullVolume(t, setup);
    const { lost, received } = (await setup.hub.status()).log;
    const counted = lost.reduce((sum, { events }) => sum + events, 0);
    const all = [...setup.alarms, ...setup.others];
    const missing = missingAt(setup.far, all);
    // what was counted, but not acknowledged because the count could not be written, comes again
    const again = all.reduce((sum, { sentAgain }) => sum + sentAgain, 0);
    const dropped = receivedFrom('mqtt', received) - setup.far.uniqueBelow('site/');
    t.diagnostic(`${counted} counted, ${dropped} of MQTT, ${missing} missing, ${again} sent again`);
    assert.ok(missing <= dropped && dropped <= missing + again);
    // the hub's own events, such as the outage of the sink that is down, are dropped like others
    assert.ok(dropped <= counted && counted <= dropped + receivedFrom('hub', received));
  });

  test(`drop_oldest, free_bytes_min ${freeBytesMin}: the sink that is up gets all`, async (t) => {
    if (!canRun(t, {}, [])) return;
    const setup = await setUp(t, 'drop_oldest', freeBytesMin);
    await throughFullVolume(t, setup);
    const up = await setup.hub.sink('up');
    assert.equal(missingAt(setup.far, [...setup.alarms, ...setup.others]), up.lostEvents);
  });
}

test('a volume that is short but not full: alarms go on, the others wait', async (t) => {
  if (!canRun(t, {}, [])) return;
  const setup = await setUp(t, 'block', `${FREE_MIN_MIB} MiB`);
  const { volume, hub, alarms, others, far } = setup;
  await eventually('events', () => acknowledgedOf(others) > 200);
  await volume.fill((FREE_MIN_MIB - 4) * MIB);
  await eventually('not ready', async () => (await hub.get('/ready')).status === 503);
  const before = [acknowledgedOf(alarms), acknowledgedOf(others)];
  await eventually('alarms', () => acknowledgedOf(alarms) > (before[0] ?? 0) + 50);
  const more = acknowledgedOf(others) - (before[1] ?? 0);
  assert.ok(more < 50, `${more} others went on`);
  await resumed(t, setup);
  await finished(setup);
  assert.equal(missingAt(far, [...alarms, ...others]), 0);
  assert.deepEqual(ledgerProblems(await hub.status()), []);
});

test('a volume that was filled while the hub was stopped: it starts', async (t) => {
  if (!canRun(t, {}, [])) return;
  const setup = await setUp(t, 'block', '0 B');
  const { volume, hub, alarms, others } = setup;
  await eventually('events', () => acknowledgedOf(others) > 200);
  for (const publisher of [...alarms, ...others]) publisher.end();
  assert.equal(await hub.kill('SIGTERM'), 0);
  await volume.fill();
  await volume.stopFilling();
  const again = holdfast(t, ['run', '--config', join(volume.folder, 'holdfast.yaml')]);
  await eventually('it answers', async () => (await again.get('/health')).status === 200);
  await volume.release();
  await again.ready();
  await eventually('drained', () => missingAt(setup.far, [...alarms, ...others]) === 0);
  await again.kill('SIGKILL'); // before the volume goes
});
