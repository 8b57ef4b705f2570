import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createApi } from '../../hub/api/server.ts';
import { type OperateOptions, pauseCommand, skipCommand } from '../../hub/cli/operate.ts';
import { HubError } from '../../hub/core/errors.ts';
import { afterTest } from '../support/after-test.ts';
import { FixedView, STATUS, sinkStatusOf } from '../support/fixed-view.ts';

const NOW_MS = Date.UTC(2026, 10, 21, 4);

async function startApi(t: TestContext) {
  const view = new FixedView();
  view.status = () => ({ ...STATUS, sinks: [sinkStatusOf({ id: 'cloud' })] });
  const api = createApi({
    ...{ view, hubId: 'gw', host: '127.0.0.1', port: 0, consoleDir: '' },
    logger: { error: () => undefined },
  });
  afterTest(t, () => api.close());
  const { url } = await api.listen();
  let out = '';
  const stdout = { write: (text: string) => (out += text) };
  const io = { stdout, env: {}, wallMs: () => NOW_MS };
  const common = { sink: 'cloud', url, json: false };
  return {
    told: view.operations.told,
    common,
    io,
    out: () => out.slice(0),
    clear: () => (out = ''),
  };
}

function usage(message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof HubError, String(error));
    assert.equal(error.code, 'USAGE', error.message);
    assert.match(error.message, message);
    return true;
  };
}

test('holdfast pause and resume: tell the hub, and who it was', async (t) => {
  const { told, common, io, out, clear } = await startApi(t);
  assert.equal(await pauseCommand('pause', common, io), 0);
  assert.match(out(), /^sink cloud is paused; 0 events wait, holdfast resume sends them\n$/);
  clear();
  await pauseCommand('resume', { ...common, json: true }, io);
  assert.equal(JSON.parse(out()).state, 'connecting');
  const [first] = told;
  assert.deepEqual(
    told.map(({ what }) => what),
    ['pause', 'resume'],
  );
  assert.equal(first?.actor.via, 'cli');
  assert.match(first?.actor.name ?? '', /^.*@.+$/);
  const nowhere: OperateOptions = { ...common, sink: 'nowhere' };
  await assert.rejects(pauseCommand('pause', nowhere, io), usage(/no sink `nowhere`/));
});

test('holdfast skip: to now, to a time, or so many events, in one lane or all', async (t) => {
  const { told, common, io, out } = await startApi(t);
  const lanes = ['alarm', 'normal', 'bulk'];
  const cases: readonly [object, unknown][] = [
    [{ to: 'now' }, { to: { kind: 'now' }, lanes }],
    [{ to: '-2h' }, { to: { kind: 'time', timeMs: NOW_MS - 7_200_000 }, lanes }],
    [{ events: '25' }, { to: { kind: 'events', events: 25 }, lanes }],
    [
      { events: '1', lane: 'bulk' },
      { to: { kind: 'events', events: 1 }, lanes: ['bulk'] },
    ],
  ];
  for (const [options, what] of cases) {
    assert.equal(await skipCommand({ ...common, ...options }, io), 0);
    assert.deepEqual(told.at(-1)?.what, what);
  }
  assert.match(
    out(),
    /^sink cloud leaves 1,234 events out \(normal: 1,234, goes on at offset 1239\)\nThey stay/,
  );
  const wrong: readonly [object, RegExp][] = [
    [{}, /--to or --events/],
    [{ to: 'now', events: '1' }, /--to or --events/],
    [{ to: 'soon' }, /--to soon is no time/],
    [{ events: '0' }, /--events 0 is no number/],
    [{ events: '1e3' }, /--events 1e3 is no number/],
    [{ to: 'now', lane: 'fast' }, /--lane fast is none of alarm, normal, bulk/],
  ];
  for (const [options, message] of wrong)
    await assert.rejects(skipCommand({ ...common, ...options }, io), usage(message));
  assert.equal(told.length, cases.length);
});
