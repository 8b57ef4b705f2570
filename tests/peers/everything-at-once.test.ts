/**
 * Goal: kills, a full volume and damaged files together, over one life of a hub, and the ledger
 * adds up. Method: rounds on a small ext4, each with publishers at work: the volume is filled or
 * not, the hub is killed, a file is damaged or not, the volume is empty again before or after the
 * next start. Thirty seconds; HOLDFAST_SOAK_S for longer.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Status } from '../../hub/core/status.ts';
import { canRun, countFrom } from '../power-cut/commands.ts';
import { afterTest } from '../support/after-test.ts';
import { freePort } from '../support/free-port.ts';
import { httpFarSide } from '../support/http-far-side.ts';
import { eventually, hubYaml, runHub } from '../support/hub-process.ts';
import { acknowledgedOf, publishers } from '../support/oracle-publisher.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';
import { DAMAGES } from './every-step-damage.ts';
import { Volume } from './full-volume.ts';
import { ledgerProblems } from './full-volume-ledger.ts';

const SOAK_MS = countFrom('HOLDFAST_SOAK_S', 30) * 1_000;
const LIFE_MS_MAX = 2_000;
const FULL_MS_MAX = 2_500;

function corruptEvents({ log }: Status): number {
  return log.lost
    .filter(({ reason }) => reason === 'corrupt')
    .reduce((sum, { events }) => sum + events, 0);
}

test('kills, a full volume and damaged files', async (t) => {
  if (!canRun(t, {}, [])) return;
  const seed = chooseSeed();
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const [volume, far, port] = [new Volume(), await httpFarSide(t), await freePort()];
  const retry = 'retry: { delay_min: 50 ms, delay_max: 500 ms }';
  const yaml = hubYaml(
    [
      `{ id: up, type: http, url: "${far.url}", ${retry}, batch: { linger_ms: 20 } }`,
      `{ id: down, type: http, url: "http://127.0.0.1:${await freePort()}/", ${retry} }`,
    ],
    ['log: { capacity: { free_bytes_min: 0 B }, lanes: { alarm: ["site/a/once0/#"] } }'],
    port,
  );
  const once = publishers(t, 3, { port, name: 'once', qos: 1, window: 3, padding: 60 });
  const twice = publishers(t, 3, { port, name: 'twice', qos: 2, window: 3, padding: 60 });
  const all = [...once, ...twice];
  let hub = await runHub(t, volume.folder, yaml);
  afterTest(t, async () => {
    await hub.kill('SIGKILL');
    await volume.close();
  });
  await hub.ready();
  const story: string[] = [];
  const names = Object.keys(DAMAGES);
  const endMs = performance.now() + SOAK_MS;
  while (performance.now() < endMs) {
    const before = acknowledgedOf(all);
    await eventually('publishing', () => acknowledgedOf(all) > before + 20);
    await delay(random() * LIFE_MS_MAX);
    const isFull = random() < 0.5;
    if (isFull) {
      await volume.fill();
      await delay(random() * FULL_MS_MAX);
    }
    await hub.kill('SIGKILL');
    const damage = random() < 0.4 ? names[Math.floor(random() * names.length)] : undefined;
    await volume.release();
    if (damage !== undefined) {
      await DAMAGES[damage]?.(join(volume.folder, 'data')).catch(() => undefined); // nothing to damage
    }
    story.push(`${isFull ? 'full, ' : ''}killed${damage === undefined ? '' : `, ${damage}`}`);
    hub = await runHub(t, volume.folder, yaml);
    await hub.ready();
  }
  t.diagnostic(`${acknowledgedOf(all)} acknowledged; ${story.join('; ')}`);
  for (const publisher of all) publisher.finish();
  await eventually('the last acknowledgements', () => all.every(({ done }) => done));
  await eventually('drained', async () => (await hub.sink('up')).lagEvents === 0);
  const status = await hub.status();
  assert.deepEqual(ledgerProblems(status), []);
  let missing = 0;
  for (const { topic, acknowledged } of all) {
    for (const n of acknowledged) if (!far.has(topic, n)) missing++;
  }
  const lost = corruptEvents(status);
  t.diagnostic(`${missing} not delivered, ${lost} reported as damaged`);
  assert.ok(missing <= lost, `${missing} acknowledged events are missing, ${lost} are reported`);
  assert.equal(far.disorder, 0);
  assert.equal(await hub.kill('SIGTERM'), 0);
});
