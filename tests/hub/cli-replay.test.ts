import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createApi } from '../../hub/api/server.ts';
import { replayCommand } from '../../hub/cli/replay.ts';
import { timeArgument } from '../../hub/cli/time.ts';
import { HubError } from '../../hub/core/errors.ts';
import type { ReplayJob } from '../../hub/core/status.ts';
import { afterTest } from '../support/after-test.ts';
import { FixedView } from '../support/fixed-view.ts';
import { freePort } from '../support/free-port.ts';

const NOW_MS = Date.UTC(2026, 10, 21, 4);
const HOUR_MS = 3_600_000;

class Text {
  text = '';
  write(text: string): void {
    this.text += text;
  }
}

async function startApi(t: TestContext, token?: string) {
  const view = new FixedView();
  const api = createApi({
    view,
    hubId: 'gw',
    host: '127.0.0.1',
    port: 0,
    token,
    consoleDir: '',
    logger: { error: () => undefined },
  });
  afterTest(t, () => api.close());
  return { view, ...(await api.listen()) };
}

async function replay(options: Partial<Parameters<typeof replayCommand>[0]>, env = {}) {
  const [stdout, stderr] = [new Text(), new Text()];
  const asked = { sink: 'cloud', from: '-26h', to: 'now', wait: false, json: false, ...options };
  const code = await replayCommand(asked, { stdout, stderr, env, wallMs: () => NOW_MS });
  return { code, out: stdout.text, err: stderr.text };
}

function failsWith(code: string, message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof HubError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

test('holdfast replay: understands times as people type them', () => {
  const cases: readonly [string, number][] = [
    ['2026-11-20T02:00:00Z', Date.UTC(2026, 10, 20, 2)],
    ['2026-11-20T02:00:00+02:00', Date.UTC(2026, 10, 20)],
    ['2026-11-20 02:00', Date.UTC(2026, 10, 20, 2)],
    ['2026-11-20', Date.UTC(2026, 10, 20)],
    [String(NOW_MS), NOW_MS],
    ['-26h', NOW_MS - 26 * HOUR_MS],
    ['-1d12h', NOW_MS - 36 * HOUR_MS],
    ['-90m', NOW_MS - 1.5 * HOUR_MS],
    ['-30s', NOW_MS - 30_000],
    ['-2w', NOW_MS - 14 * 24 * HOUR_MS],
    ['now', NOW_MS],
  ];
  for (const [text, ms] of cases) assert.equal(timeArgument('--from', text, NOW_MS), ms, text);
  for (const text of [
    '',
    '26h',
    '-26',
    '-h',
    '-1y',
    'yesterday',
    '2026-13-01',
    '1',
    '+1h',
    '-1h '.repeat(9),
  ])
    assert.throws(
      () => timeArgument('--from', text, NOW_MS),
      failsWith('USAGE', /--from .*no time/),
    );
});

test('holdfast replay: asks the hub, and says what it will send', async (t) => {
  const { view, url } = await startApi(t);
  const { code, out } = await replay({ url, to: '-2h' });
  assert.equal(code, 0);
  const range = { fromMs: NOW_MS - 26 * HOUR_MS, toMs: NOW_MS - 2 * HOUR_MS };
  assert.deepEqual(view.asked, { sink: 'cloud', ...range });
  assert.equal(
    out,
    'replay 1 of sink cloud: 100 events from 2026-11-20T02:00:00.000Z to 2026-11-21T02:00:00.000Z\n',
  );
  const json = await replay({ url: `${url}/`, json: true });
  assert.deepEqual(JSON.parse(json.out), view.jobs[1]);
});

test('holdfast replay: finds the hub and its token in the configuration', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'));
  afterTest(t, () => rm(folder, { recursive: true }));
  const config = join(folder, 'holdfast.yaml');
  const token = 'correct-horse-battery-staple';
  const { view, url, port } = await startApi(t, token);
  await writeFile(config, `http: { host: 0.0.0.0, port: ${port}, token: ${token} }\n`);
  assert.equal((await replay({ config })).code, 0);
  assert.equal((await replay({ url, token })).code, 0);
  assert.equal((await replay({ url }, { HOLDFAST_TOKEN: token })).code, 0);
  assert.equal(view.jobs.length, 3);
  await assert.rejects(replay({ url }), failsWith('USAGE', /token is needed/));
  await assert.rejects(replay({ url, config }), failsWith('USAGE', /--config or --url/));
  await writeFile(config, 'http: { port: 0 }\n');
  await assert.rejects(replay({ config }), failsWith('USAGE', /port is 0.*--url/));
});

test('holdfast replay: says what is wrong', async (t) => {
  const { url } = await startApi(t);
  await assert.rejects(replay({ url, sink: 'a/b ?' }), failsWith('USAGE', /no sink `a\/b \?`/));
  await assert.rejects(replay({ url, from: 'now' }), failsWith('USAGE', /--from is not before/));
  await assert.rejects(replay({ url, from: 'then' }), failsWith('USAGE', /--from then is no time/));
  await assert.rejects(replay({ url: 'ftp://x' }), failsWith('USAGE', /no address/));
  const nowhere = `http://127.0.0.1:${await freePort()}`;
  await assert.rejects(
    replay({ url: nowhere }),
    failsWith('SERVICE_UNAVAILABLE', /no hub answers at .*ECONNREFUSED/),
  );
});

test('holdfast replay --wait: shows progress and ends as the replay does', async (t) => {
  const { view, url } = await startApi(t);
  const states: readonly Partial<ReplayJob>[] = [
    { state: 'running', doneEvents: 50, eventsPerSecond: 25, etaSeconds: 2 },
    { state: 'finished', doneEvents: 100, replayedEvents: 90, missingEvents: 10 },
  ];
  let asks = 0;
  const { list } = view.replays;
  const moving = (ends: readonly Partial<ReplayJob>[]) => (sink: string) => {
    const [job] = view.jobs.slice(-1);
    const state = job && ends[Math.min(asks++, ends.length - 1)];
    return list(sink) && job ? [{ ...job, ...state }] : list(sink);
  };
  view.replays.list = moving(states);
  const { code, out, err } = await replay({ url, wait: true });
  assert.equal(code, 0);
  assert.match(out, /\nfinished: 90 events sent, 10 not in the log any more\n$/);
  assert.match(err, /waits for the replays before it/);
  asks = 0;
  view.replays.list = moving([{ state: 'failed', detail: 'the far side refused 101 in a row' }]);
  const failed = await replay({ url, wait: true });
  assert.equal(failed.code, 69);
  assert.match(failed.out, /failed: 0 events sent\nthe far side refused/);
  const json = await replay({ url, wait: true, json: true });
  assert.equal(JSON.parse(json.out).state, 'failed');
  assert.equal(json.err, '');
});
