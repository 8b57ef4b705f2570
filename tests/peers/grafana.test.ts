/** Every query of the dashboard, run against a real VictoriaMetrics that a real hub feeds. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { holdfastHub } from '../../grafana-dashboards/holdfast-hub.ts';
import { BRIDGE_STATES, SINK_STATES } from '../../grafana-dashboards/states.ts';
import { afterTest } from '../support/after-test.ts';
import { DASHBOARD, type DashboardModel } from '../support/dashboard-model.ts';
import {
  type Answer,
  askAnnotations,
  askPanels,
  drawsSomething,
  lookUp,
  type Variables,
  type View,
} from '../support/dashboard-queries.ts';
import { freePort } from '../support/free-port.ts';
import {
  hasVictoriaMetrics,
  startVictoriaMetrics,
  type VictoriaMetrics,
} from '../support/victoria-metrics.ts';

const ROOT = join(import.meta.dirname, '../../..');
const HUB_ID = 'gateway-test';
const SCRAPE_MS = 1_000;
/** Rates need four scrapes, the hub's own estimates a minute at most. */
const WAIT_MS_MAX = 90_000;
const LOOK_EVERY_MS = 250;
/** At 30 events an answer it catches up with the sensors, but slowly: the time to drained shows. */
const SLOW_ANSWER_MS = 300;

type Cleanup = () => Promise<unknown>;

/** Waits until the store has a value for `expr`. */
async function untilStored(store: VictoriaMetrics, expr: string): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX;
  for (;;) {
    await store.flush();
    if ((await store.query(expr)).length > 0) return;
    assert.ok(performance.now() < endMs, `waited ${WAIT_MS_MAX} ms in vain for: ${expr}`);
    await delay(LOOK_EVERY_MS);
  }
}

/** An HTTP receiver that refuses until it is opened, and is slow then. */
async function startReceiver(cleanups: Cleanup[]) {
  let open = false;
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      if (open) setTimeout(() => response.writeHead(204).end(), SLOW_ANSWER_MS);
      else response.writeHead(503).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(async () => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  assert.ok(address !== null && typeof address !== 'string');
  return {
    url: `http://127.0.0.1:${address.port}/`,
    open: () => {
      open = true;
    },
  };
}

interface Addresses {
  readonly httpPort: number;
  readonly storeUrl: string;
  readonly archiveUrl: string;
  readonly deadUrl: string;
}

/** Simulated sensors and three sinks: the store, one that lags behind, one that is down. */
function hubConfig({ httpPort, storeUrl, archiveUrl, deadUrl }: Addresses): string {
  const retry = { delay_min: '200 ms', delay_max: '1 s' };
  const budget = { bytes_per_day: '1 GiB' };
  return stringify({
    hub: { id: HUB_ID, data_dir: './data' },
    http: { host: '127.0.0.1', port: httpPort },
    mqtt: { anonymous: true, listeners: [{ type: 'tcp', host: '127.0.0.1', port: 0 }] },
    bridges: [{ id: 'demo', type: 'simulator', interval_ms: 200, seed: 1 }],
    decode: [{ topic: 'site/{area}/{device}/{metric}', format: 'json' }],
    sinks: [
      { id: 'store', type: 'influx', url: storeUrl, batch: { linger_ms: 100 }, retry, budget },
      { id: 'archive', type: 'http', url: archiveUrl, batch: { events_max: 30 }, retry },
      { id: 'cloud', type: 'http', url: deadUrl, retry },
    ],
  });
}

/** The scrape configuration that is shipped, for another address and a shorter interval. */
async function scrapeConfig(httpPort: number): Promise<string> {
  const shipped = join(ROOT, 'grafana-dashboards/provisioning/victoria-metrics/scrape.yaml');
  const { scrape_configs: jobs } = parse(await readFile(shipped, 'utf8'));
  const target = { targets: [`127.0.0.1:${httpPort}`], labels: { hub: HUB_ID } };
  return stringify({
    scrape_configs: [
      { ...jobs[0], scrape_interval: `${SCRAPE_MS / 1000}s`, static_configs: [target] },
    ],
  });
}

async function isReady(httpPort: number): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(2_000);
    return (await fetch(`http://127.0.0.1:${httpPort}/ready`, { signal })).ok;
  } catch {
    return false; // not listening yet
  }
}

/** Starts the hub and waits until it is ready. Throws with its output when it ends before that. */
async function startHub(configFile: string, httpPort: number): Promise<ChildProcess> {
  const main = join(ROOT, 'dist/hub/main.js');
  const hub = spawn(process.execPath, [main, 'run', '--config', configFile], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-4_000); // enough to say why it did not start
  };
  hub.stdout.on('data', keep);
  hub.stderr.on('data', keep);
  const endMs = performance.now() + WAIT_MS_MAX;
  while (!(await isReady(httpPort))) {
    assert.equal(hub.exitCode, null, `the hub ended: ${output}`);
    if (performance.now() > endMs) {
      hub.kill('SIGKILL');
      assert.fail(`the hub was not ready within ${WAIT_MS_MAX} ms: ${output}`);
    }
    await delay(LOOK_EVERY_MS);
  }
  return hub;
}

async function stopHub(hub: ChildProcess): Promise<void> {
  if (hub.exitCode !== null || hub.signalCode !== null) return;
  const ended = once(hub, 'exit');
  hub.kill('SIGTERM');
  await ended;
}

/** Runs the hub until everything a panel can show has happened, a restart included. */
async function feed(t: TestContext): Promise<VictoriaMetrics> {
  const cleanups: Cleanup[] = [];
  afterTest(t, async () => {
    for (const cleanup of cleanups.toReversed()) await cleanup(); // the folder is in use until last
  });
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-grafana-'));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  const httpPort = await freePort();
  const scrapeFile = join(folder, 'scrape.yaml');
  await writeFile(scrapeFile, await scrapeConfig(httpPort));
  const store = await startVictoriaMetrics({ flags: [`-promscrape.config=${scrapeFile}`] });
  cleanups.push(() => store.stop());
  const receiver = await startReceiver(cleanups);
  const deadUrl = `http://127.0.0.1:${await freePort()}/`;
  const configFile = join(folder, 'holdfast.yaml');
  const addresses = { httpPort, storeUrl: store.url, archiveUrl: receiver.url, deadUrl };
  await writeFile(configFile, hubConfig(addresses));

  const first = await startHub(configFile, httpPort);
  cleanups.push(() => stopHub(first));
  // A restart shows as a counter that fell: run much longer than until the first scrape after it.
  await untilStored(store, 'count_over_time(holdfast_log_commits_total[1m]) > 8');
  await untilStored(store, 'holdfast_log_commits_total > 10');
  await untilStored(store, 'holdfast_sink_lag_events{sink="archive"} > 200');
  await untilStored(store, '{__name__=~"telemetry_.+"}');
  await stopHub(first);

  const second = await startHub(configFile, httpPort);
  cleanups.push(() => stopHub(second));
  const commits = 'holdfast_log_commits_total';
  await untilStored(store, `max_over_time(${commits}[1m]) > last_over_time(${commits}[2s])`);
  receiver.open();
  // Three scrapes: the store does not show the last second of a range.
  await untilStored(
    store,
    'count_over_time(holdfast_sink_drain_eta_seconds{sink="archive"}[1m]) > 2',
  );
  await untilStored(store, 'rate(holdfast_sink_batch_seconds_count{sink="store"}[4s]) > 0');
  await untilStored(store, 'holdfast_log_seconds_until_full > 0');
  return store;
}

const undrawn = (answers: readonly Answer[]): string[] =>
  answers.filter((answer) => !drawsSomething(answer)).map(({ where, expr }) => `${where}: ${expr}`);

/** Series of an annotation that mark at least one time. */
function marks(answers: readonly Answer[], name: string): string[] {
  const series = answers.find(({ where }) => where === name)?.series ?? [];
  return series
    .filter(({ points }) => points.some(({ value }) => value > 0))
    .map(({ labels }) => labels['sink'] ?? labels['hub'] ?? '');
}

/** The word that the last number of a state timeline stands for. */
function stateShown(answers: readonly Answer[], where: string, id: string): string {
  const series = answers.find((answer) => answer.where === where)?.series ?? [];
  const one = series.find(({ labels }) => Object.values(labels).includes(id));
  const states = where.startsWith('Bridges') ? BRIDGE_STATES : SINK_STATES;
  return states[(one?.points.at(-1)?.value ?? 0) - 1]?.state ?? 'none';
}

function checkVariables(variables: Variables): void {
  assert.deepEqual(variables.get('hub')?.options, [HUB_ID]);
  const devices = variables.get('device')?.options ?? [];
  assert.ok(devices.includes('greenhouse-1') && devices.includes('outdoor'), devices.join());
  const metrics = variables.get('metric')?.options ?? [];
  assert.ok(metrics.includes('temperature') && metrics.includes('pressure'), metrics.join());
}

test('every query of the dashboard draws what a hub did', async (t) => {
  if (!hasVictoriaMetrics(t)) return;
  const dashboard: DashboardModel = DASHBOARD.parse(JSON.parse(JSON.stringify(holdfastHub())));
  const fromMs = Date.now();
  const store = await feed(t);
  const view: View = { fromMs, toMs: Date.now(), scrapeMs: SCRAPE_MS };

  await t.test('with everything chosen', async () => {
    const variables = await lookUp(store, dashboard, {}, view);
    checkVariables(variables);
    const answers = await askPanels(store, dashboard, variables, view);
    assert.deepEqual(undrawn(answers), []);
    assert.match(stateShown(answers, 'Link of each sink A', 'cloud'), /^(connecting|backoff)$/);
    assert.match(stateShown(answers, 'Link of each sink A', 'store'), /^(reading|sending)$/);
    assert.equal(stateShown(answers, 'Bridges A', 'demo'), 'reading');
  });

  await t.test('with one hub and two of its devices chosen', async () => {
    const choices = { hub: [HUB_ID], device: ['greenhouse-1', 'outdoor'] };
    const variables = await lookUp(store, dashboard, choices, view);
    checkVariables(variables);
    const answers = await askPanels(store, dashboard, variables, view);
    assert.deepEqual(undrawn(answers), []);
    const temperature = answers.find(({ where }) => where === 'temperature A');
    const drawn = temperature?.series.map(({ labels }) => labels['device']).toSorted();
    assert.deepEqual(drawn, ['greenhouse-1', 'outdoor']);
  });

  await t.test('and nothing for a hub that is not there', async () => {
    const variables = await lookUp(store, dashboard, { hub: ['elsewhere'] }, view);
    const answers = await askPanels(store, dashboard, variables, view);
    assert.deepEqual(answers.filter(drawsSomething), []);
  });

  await t.test('and marks the outage and the restart', async () => {
    const variables = await lookUp(store, dashboard, {}, view);
    const answers = await askAnnotations(store, dashboard, variables, view);
    const outages = marks(answers, 'Sink outages');
    assert.ok(outages.includes('cloud'), outages.join());
    assert.deepEqual(marks(answers, 'Hub restarts'), [HUB_ID]);
  });
});
