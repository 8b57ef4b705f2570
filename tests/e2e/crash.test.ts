import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../support/free-port.ts';
import { httpFarSide } from '../support/http-far-side.ts';
import { eventually, hubYaml, runHub } from '../support/hub-process.ts';
import { acknowledgedOf, publishers } from '../support/oracle-publisher.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const KILLS = 10;

/** Events of the file sink: what is in the log, each once. */
async function fileEvents(folder: string): Promise<{ id: string; subject: string; n: number }[]> {
  const out = join(folder, 'data', 'out');
  const events = [];
  for (const file of await readdir(out)) {
    if (!file.endsWith('.ndjson')) continue;
    for (const line of (await readFile(join(out, file), 'utf8')).trim().split('\n')) {
      const { id, subject, data } = JSON.parse(line);
      events.push({ id, subject, n: data.n });
    }
  }
  return events;
}

test(`e2e: ${KILLS} SIGKILLs under load lose nothing that was acknowledged`, async (t) => {
  const folder = await temporaryFolder(t);
  const far = await httpFarSide(t);
  const port = await freePort();
  const retry = 'retry: { delay_min: 50 ms, delay_max: 500 ms }';
  const yaml = hubYaml(
    [
      `{ id: cloud, type: http, url: "${far.url}", ${retry}, batch: { linger_ms: 20 } }`,
      '{ id: files, type: file, path: out }',
    ],
    [],
    port,
  );
  let hub = await runHub(t, folder, yaml);
  await hub.ready();
  const once = publishers(t, 5, { port, name: 'once', qos: 1, window: 20 });
  const twice = publishers(t, 5, { port, name: 'twice', qos: 2, window: 20 });
  const all = [...once, ...twice];
  const waits: number[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    const before = acknowledgedOf(all);
    await eventually('publishing', () => acknowledgedOf(all) > before + 20);
    waits.push(Math.round(Math.random() * 400));
    await delay(waits.at(-1));
    await hub.kill('SIGKILL');
    hub = await runHub(t, folder, yaml);
    await hub.ready();
  }
  t.diagnostic(`killed after ${waits.join(', ')} ms; ${acknowledgedOf(all)} acknowledged`);
  for (const publisher of all) publisher.finish();
  await eventually('the last acknowledgements', () => all.every(({ done }) => done));
  await eventually('drained', async () =>
    (await hub.status()).sinks.every(({ lagEvents }) => lagEvents === 0),
  );
  for (const { topic, acknowledged } of all) {
    const missing = [...acknowledged].filter((n) => !far.has(topic, n));
    assert.deepEqual(missing, [], `${topic} lacks acknowledged messages`);
  }
  assert.equal(far.disorder, 0);
  const stored = await fileEvents(folder);
  assert.equal(new Set(stored.map(({ id }) => id)).size, stored.length, 'an id is used once');
  const exactly = stored.filter(({ subject }) => subject.includes('twice'));
  const keys = new Set(exactly.map(({ subject, n }) => `${subject} ${n}`));
  assert.equal(keys.size, exactly.length, 'QoS 2 is in the log once');
  assert.equal(await hub.kill('SIGTERM'), 0);
});
