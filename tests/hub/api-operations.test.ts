import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ApiOptions } from '../../hub/api/server.ts';
import { problemOf, startApi } from '../support/api-fixture.ts';
import { FixedView, STATUS, sinkStatusOf } from '../support/fixed-view.ts';
import type { RawAnswer } from '../support/raw-http.ts';

const PATH = '/api/v1/sinks/cloud';

async function start(t: TestContext, options: Partial<ApiOptions> = {}) {
  const view = new FixedView();
  view.status = () => ({ ...STATUS, sinks: [sinkStatusOf({ id: 'cloud', lagEvents: 7 })] });
  return { operations: view.operations, ...(await startApi(t, view, options)) };
}

test('operations API: lists the sinks, and shows one', async (t) => {
  const { ask } = await start(t);
  assert.equal(JSON.parse((await ask('GET', '/api/v1/sinks')).body)[0].lagEvents, 7);
  assert.equal(JSON.parse((await ask('GET', PATH)).body).id, 'cloud');
  assert.match(problemOf(await ask('GET', '/api/v1/sinks/nowhere'), 404), /nowhere/);
  problemOf(await ask('GET', '/api/v1/sinks?x=1'), 400);
});

test('operations API: pauses, resumes and skips, and tells who', async (t) => {
  const { operations, ask } = await start(t);
  const as = (header: string) => ({ 'holdfast-actor': header });
  const paused = await ask('POST', `${PATH}/pause`, undefined, as('cli pi%40gateway'));
  assert.equal(JSON.parse(paused.body).state, 'paused', paused.body);
  assert.equal((await ask('POST', `${PATH}/resume`, '{}', as('console'))).status, 200);
  const skips: readonly [string, unknown][] = [
    ['{"to":"now"}', { kind: 'now' }],
    ['{"to":"2026-03-01T12:00:00+02:00"}', { kind: 'time', timeMs: Date.UTC(2026, 2, 1, 10) }],
    ['{"to":5}', { kind: 'time', timeMs: 5 }],
    ['{"events":1}', { kind: 'events', events: 1 }],
  ];
  for (const [body] of skips) {
    const { status, body: text } = await ask('POST', `${PATH}/skip`, body);
    assert.deepEqual([status, JSON.parse(text).skippedEvents], [200, 1234]);
  }
  await ask('POST', `${PATH}/skip`, '{"to":"now","lane":"bulk"}');
  const address = '127.0.0.1';
  const [first, second, ...others] = operations.told;
  const cli = { via: 'cli', address, name: 'pi@gateway' };
  assert.deepEqual(first, { sink: 'cloud', what: 'pause', actor: cli });
  assert.deepEqual(second, { sink: 'cloud', what: 'resume', actor: { via: 'console', address } });
  const lanes = ['alarm', 'normal', 'bulk'];
  const wanted = skips.map(([, to]) => ({ to, lanes }));
  assert.deepEqual(
    others.map(({ what }) => what),
    [...wanted, { to: { kind: 'now' }, lanes: ['bulk'] }],
  );
  assert.ok(others.every(({ actor }) => actor.via === 'api'));
});

test('operations API: says what is wrong with a request, and then does nothing', async (t) => {
  const { operations, ask } = await start(t);
  const bodies: readonly [string, RegExp][] = [
    ['{}', /`to`.*`events`/],
    ['{"to":"now","events":1}', /not both/],
    ['{"to":"soon"}', /`to` is no time/],
    ['{"events":0}', /`events` is not in its range/],
    ['{"events":1.5}', /`events` is not in its range/],
    ['{"events":"1"}', /`events` is not in its range/],
    ['{"events":1000001}', /`events` is not in its range/],
    ['{"to":"now","lane":"fast"}', /`lane` is not known.*alarm, normal, bulk/],
    ['{"to":"now","all":true}', /`all` is not known/],
    ['[]', /JSON object/],
  ];
  for (const [body, expected] of bodies)
    assert.match(problemOf(await ask('POST', `${PATH}/skip`, body), 400), expected, body);
  problemOf(await ask('POST', `${PATH}/skip`), 400);
  problemOf(await ask('POST', `${PATH}/pause`, '{"for":"ever"}'), 400);
  for (const word of ['pause', 'resume', 'skip'])
    problemOf(await ask('POST', `/api/v1/sinks/nowhere/${word}`, '{"to":"now"}'), 404);
  for (const header of ['robot', 'cli %', `api ${'x'.repeat(129)}`, 'cli a%0Ab'])
    assert.match(
      problemOf(await ask('POST', `${PATH}/pause`, undefined, { 'holdfast-actor': header }), 400),
      /holdfast-actor/,
      header,
    );
  assert.equal(operations.told.length, 0);
  operations.busy = true;
  assert.match(problemOf(await ask('POST', `${PATH}/pause`), 503), /under way/);
  assert.match(problemOf(await ask('POST', `${PATH}/skip`, '{"to":"now"}'), 503), /under way/);
});

test('operations API: a program that toggles in a loop is told to stop (429)', async (t) => {
  const { operations, ask } = await start(t);
  const answers: RawAnswer[] = [];
  for (let i = 0; i < 40; i++)
    answers.push(await ask('POST', `${PATH}/${i % 2 === 0 ? 'pause' : 'resume'}`));
  const refused = answers.filter(({ status }) => status === 429);
  assert.equal(refused.length, 10);
  assert.equal(operations.told.length, 30);
  const [first] = refused;
  assert.ok(first);
  assert.match(problemOf(first, 429), /becomes an event/);
  const seconds = Number(first.headers['retry-after']);
  assert.ok(seconds >= 1 && seconds <= 10, String(seconds));
});

test('operations API: needs the token, and takes nothing from pages of others', async (t) => {
  const { operations, ask } = await start(t, { token: 'correct-horse-42' });
  for (const word of ['pause', 'resume', 'skip'])
    problemOf(await ask('POST', `${PATH}/${word}`, '{"to":"now"}'), 401);
  problemOf(await ask('GET', PATH), 401);
  const authorization = { authorization: 'Bearer correct-horse-42' };
  const foreign = { ...authorization, origin: 'https://evil.example' };
  problemOf(await ask('POST', `${PATH}/pause`, undefined, foreign), 403);
  assert.equal(operations.told.length, 0);
  assert.equal((await ask('POST', `${PATH}/pause`, undefined, authorization)).status, 200);
});
