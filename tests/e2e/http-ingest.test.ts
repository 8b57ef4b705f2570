import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { afterTest } from '../support/after-test.ts';
import { freePort } from '../support/free-port.ts';
import { httpFarSide } from '../support/http-far-side.ts';
import { HttpPublisher } from '../support/http-publisher.ts';
import { eventually, hubYaml, runHub } from '../support/hub-process.ts';
import { assertLedger } from '../support/ledger.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const KILLS = Number(process.env['HOLDFAST_KILLS'] ?? 3);
const PUBLISHERS = 6;

/** How often each event is in the log, by topic and number. */
async function storedCounts(folder: string): Promise<Map<string, number>> {
  const out = join(folder, 'data', 'out');
  const counts = new Map<string, number>();
  for (const file of await readdir(out)) {
    if (!file.endsWith('.ndjson')) continue;
    for (const line of (await readFile(join(out, file), 'utf8')).trim().split('\n')) {
      const { subject, data } = JSON.parse(line);
      const key = `${subject} ${data.n}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  return counts;
}

test(`e2e: ${KILLS} SIGKILLs lose nothing that was acknowledged over HTTP`, async (t) => {
  const folder = await temporaryFolder(t);
  const far = await httpFarSide(t);
  const port = await freePort();
  const retry = 'retry: { delay_min: 50 ms, delay_max: 500 ms }';
  const sinks = [
    `{ id: cloud, type: http, url: "${far.url}", ${retry}, batch: { linger_ms: 20 } }`,
    '{ id: files, type: file, path: out }',
  ];
  const yaml = hubYaml(sinks).replace('http: { port: 0 }', `http: { port: ${port} }`);
  let hub = await runHub(t, folder, yaml);
  await hub.ready();
  const url = `http://127.0.0.1:${port}`;
  const stop = new AbortController();
  const all = Array.from(
    { length: PUBLISHERS },
    (_, index) => new HttpPublisher({ url, name: `dev${index}`, batch: 1 + index * 7 }),
  );
  const running = Promise.all(all.map((publisher) => publisher.run(stop.signal)));
  afterTest(t, () => stop.abort());
  const acknowledged = () => all.reduce((sum, publisher) => sum + publisher.acknowledged.size, 0);
  const waits: number[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    const before = acknowledged();
    await eventually('storing', () => acknowledged() > before + 100);
    waits.push(Math.round(Math.random() * 300));
    await delay(waits.at(-1));
    await hub.kill('SIGKILL');
    hub = await runHub(t, folder, yaml);
    await hub.ready();
  }
  const before = acknowledged();
  await eventually('storing', () => acknowledged() > before);
  for (const publisher of all) publisher.finish();
  await running;
  t.diagnostic(`killed after ${waits.join(', ')} ms; ${acknowledged()} acknowledged`);
  await eventually('drained', async () =>
    (await hub.status()).sinks.every(({ lagEvents }) => lagEvents === 0),
  );
  const status = await hub.status();
  assertLedger(status);
  assert.ok(status.log.received.some(({ source, events }) => source === 'http' && events > 0));
  assert.equal(await hub.kill('SIGTERM'), 0);
  const counts = await storedCounts(folder);
  for (const publisher of all) {
    const missing = [...publisher.acknowledged].filter((n) => !far.has(publisher.topic, n));
    assert.deepEqual(missing, [], `${publisher.topic} lacks acknowledged events`);
    const twice = [...publisher.acknowledged].filter(
      (n) => counts.get(`${publisher.topic} ${n}`) !== 1 && !publisher.retried.has(n),
    );
    assert.deepEqual(twice, [], `${publisher.topic}: not once, and not sent again either`);
  }
  assert.equal(far.disorder, 0);
});
