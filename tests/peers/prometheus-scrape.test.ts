/** What Prometheus itself says of both texts that the hub can be scraped in. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { z } from 'zod';
import { afterTest } from '../support/after-test.ts';
import { freePort } from '../support/free-port.ts';
import { httpFarSide } from '../support/http-far-side.ts';
import { eventually, type HubProcess, hubYaml, runHub } from '../support/hub-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const OPEN_METRICS = 'application/openmetrics-text; version=1.0.0';
/** Beyond parsing, promtool finds fault with style: then it ends with this. */
const LINT_ONLY = 3;

function hasPrometheus(t: TestContext): boolean {
  const programs = ['prometheus', 'promtool'];
  if (programs.every((name) => spawnSync(name, ['--version']).error === undefined)) return true;
  const text = 'needs prometheus and promtool: apt-get install prometheus';
  if (process.env['HOLDFAST_REQUIRE_PEERS'] === '1') assert.fail(text);
  t.skip(text);
  return false;
}

/** A hub that traces everything and has delivered something. */
async function tracingHub(t: TestContext): Promise<HubProcess> {
  const far = await httpFarSide(t);
  const sinks = [`{ id: cloud, type: http, url: "${far.url}", batch: { linger_ms: 0 } }`];
  const folder = await temporaryFolder(t);
  const hub = await runHub(t, folder, hubYaml(sinks, ['tracing: { sample_ratio: 1 }']));
  await hub.ready();
  const body = '{"n":1}';
  const url = `${hub.url}/api/v1/events?topic=site/a/d/temp`;
  assert.equal((await fetch(url, { method: 'POST', body })).status, 204);
  await eventually('delivered', () => far.unique === 1);
  return hub;
}

const EXEMPLARS = z.object({
  status: z.literal('success'),
  data: z.array(
    z.object({
      seriesLabels: z.record(z.string(), z.string()),
      exemplars: z.array(z.object({ labels: z.object({ trace_id: z.string() }) })),
    }),
  ),
});
const VECTOR = z.object({
  status: z.literal('success'),
  data: z.object({ result: z.array(z.object({ value: z.tuple([z.number(), z.string()]) })) }),
});

test('promtool parses what a scraper gets that asks for nothing', async (t) => {
  if (!hasPrometheus(t)) return;
  const hub = await tracingHub(t);
  const input = await (await hub.get('/metrics')).text();
  const { status, stderr } = spawnSync('promtool', ['check', 'metrics'], { input });
  assert.ok(status === 0 || status === LINT_ONLY, stderr.toString());
  assert.doesNotMatch(stderr.toString(), /error while/);
});

test('Prometheus scrapes OpenMetrics, and keeps the exemplars', async (t) => {
  if (!hasPrometheus(t)) return;
  const hub = await tracingHub(t);
  const plain = await fetch(`${hub.url}/metrics`, { headers: { accept: OPEN_METRICS } });
  assert.match(plain.headers.get('content-type') ?? '', /openmetrics/);
  const folder = await temporaryFolder(t);
  const target = new URL(hub.url).host;
  const config = join(folder, 'prometheus.yml');
  const job = `{ job_name: hub, scrape_interval: 1s, static_configs: [{ targets: ["${target}"] }] }`;
  await writeFile(config, `scrape_configs: [${job}]\n`);
  const port = await freePort();
  const prometheus = spawn(
    'prometheus',
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--enable-feature=exemplar-storage',
      '--log.level=error',
    ],
    { stdio: 'ignore' },
  );
  const ended = once(prometheus, 'close');
  afterTest(t, async () => {
    prometheus.kill('SIGKILL');
    await ended;
  });
  const api = async (path: string, query: Readonly<Record<string, string>>) =>
    await (
      await fetch(`http://127.0.0.1:${port}/api/v1/${path}?${new URLSearchParams(query)}`)
    ).json();
  const value = async (query: string) =>
    VECTOR.parse(await api('query', { query })).data.result[0]?.value[1];
  await eventually('scraped', async () => (await value('up{job="hub"}')) === '1');
  assert.equal(await value('holdfast_ingest_events_total{source="http",lane="normal"}'), '1');
  assert.equal(await value('holdfast_sink_batch_seconds_bucket{sink="cloud",le="60.0"}'), '1');
  const now = Date.now() / 1000;
  const range = { start: String(now - 600), end: String(now + 60) };
  for (const query of [
    'holdfast_log_commit_seconds_bucket',
    'holdfast_sink_batch_seconds_bucket',
  ]) {
    const { data } = EXEMPLARS.parse(await api('query_exemplars', { query, ...range }));
    const [found] = data.flatMap(({ exemplars }) => exemplars);
    assert.match(found?.labels.trace_id ?? '', /^[0-9a-f]{32}$/, query);
  }
});
