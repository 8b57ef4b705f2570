import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ApiOptions } from '../../hub/api/server.ts';
import { problemOf, startApi } from '../support/api-fixture.ts';
import { deadLetterOf } from '../support/fixed-dead-letters.ts';
import { FixedView } from '../support/fixed-view.ts';

const PATH = '/api/v1/sinks/cloud/dead-letters';

async function start(t: TestContext, options: Partial<ApiOptions> = {}) {
  const view = new FixedView();
  view.deadLetters.letters = [7, 5, 2].map((number) => deadLetterOf(number));
  return { letters: view.deadLetters, view, ...(await startApi(t, view, options)) };
}

test('dead letters API: lists a page, newest first unless told otherwise', async (t) => {
  const { letters, ask } = await start(t);
  const all = JSON.parse((await ask('GET', PATH)).body);
  assert.deepEqual(all.letters, letters.letters);
  assert.deepEqual([all.sink, all.total, all.next], ['cloud', 3, null]);
  assert.deepEqual(letters.asked, { order: 'newest', after: undefined, limit: 100 });
  const page = JSON.parse((await ask('GET', `${PATH}?limit=2&after=9&order=oldest`)).body);
  assert.deepEqual(letters.asked, { order: 'oldest', after: 9, limit: 2 });
  assert.equal(page.next, 5);
});

test('dead letters API: shows one letter with all of its payload', async (t) => {
  const { letters, ask } = await start(t);
  for (const payload of [{ json: [1, null] }, { text: 'v=1' }, { base64: '/w==' }]) {
    letters.payload = payload;
    const letter = JSON.parse((await ask('GET', `${PATH}/5`)).body);
    assert.deepEqual(letter, { ...deadLetterOf(5), payload });
  }
  for (const number of ['6', 'x', '-1', '1e3', '5.0', '99999999999999999999'])
    assert.match(problemOf(await ask('GET', `${PATH}/${number}`), 404), /has no dead letter/);
});

test('dead letters API: retries and discards those that are named, or all, and notes who', async (t) => {
  const { letters, view, ask } = await start(t);
  const retried = await ask('POST', PATH, '{"numbers":[5,2,5]}');
  assert.equal(retried.status, 202, retried.body);
  assert.equal(retried.headers['location'], PATH);
  assert.deepEqual(JSON.parse(retried.body).retried, 2);
  assert.deepEqual(letters.retried, { numbers: [5, 2] }, 'each once');
  await ask('POST', PATH, '{"all":true}');
  assert.equal(letters.retried, 'all');
  const some = JSON.parse((await ask('DELETE', `${PATH}?number=5&number=2`)).body);
  assert.deepEqual([some.discarded, some.left], [2, 1]);
  assert.equal((await ask('DELETE', `${PATH}?all=true`)).status, 200);
  assert.deepEqual(letters.discards, [{ numbers: [5, 2] }, 'all']);
  assert.deepEqual(
    view.noted.map(({ operation, details }) => [operation, details['letters']]),
    [
      ['dead_letters_retried', 2],
      ['dead_letters_retried', 3],
      ['dead_letters_discarded', 2],
      ['dead_letters_discarded', 1],
    ],
  );
});

test('dead letters API: says what is wrong, and then does nothing', async (t) => {
  const { letters, ask } = await start(t);
  const bodies: readonly [string, RegExp][] = [
    ['{}', /`numbers` is missing/],
    ['{"numbers":[]}', /`numbers` is missing/],
    ['{"numbers":5}', /`numbers` is no list/],
    ['{"numbers":["5"]}', /has what is no number/],
    ['{"numbers":[1.5]}', /has what is no number/],
    ['{"numbers":[-1]}', /has what is no number/],
    ['{"numbers":[1e300]}', /has what is no number/],
    ['{"numbers":[5],"all":true}', /one of them/],
    ['{"all":false}', /`all` is not true/],
    ['{"all":"true"}', /`all` is not true/],
    ['{"number":[5]}', /`number` is not known/],
    ['[5]', /JSON object/],
    ['null', /JSON object/],
    ['{"numbers":[5', /JSON/],
  ];
  for (const [body, expected] of bodies)
    assert.match(problemOf(await ask('POST', PATH, body), 400), expected, body);
  const queries: readonly [string, RegExp][] = [
    ['', /`numbers` is missing/],
    ['?all=false', /`all` is not true/],
    ['?all=true&number=5', /one of them/],
    ['?all=true&all=true', /more than once/],
    ['?number=', /has what is no number/],
    ['?number=5&number=x', /has what is no number/],
    ['?numbers=5', /`numbers` is not known/],
  ];
  for (const [query, expected] of queries)
    assert.match(problemOf(await ask('DELETE', `${PATH}${query}`), 400), expected, query);
  const lists = ['limit=0', 'limit=501', 'limit=x', 'after=x', 'after=-1', 'order=up', 'page=1'];
  for (const query of lists) problemOf(await ask('GET', `${PATH}?${query}`), 400);
  problemOf(await ask('POST', `${PATH}?all=true`, '{"all":true}'), 400);
  const unknown = problemOf(await ask('POST', PATH, '{"numbers":[5,6,8]}'), 404);
  assert.match(unknown, /no dead letter 6, 8\. Nothing was done/);
  const many = Array.from({ length: 30 }, (_, index) => `number=${100 + index}`).join('&');
  assert.match(problemOf(await ask('DELETE', `${PATH}?${many}`), 404), /109 and 20 more/);
  assert.deepEqual([letters.retried, letters.discards], [undefined, []]);
});

test('dead letters API: knows no sink that is not there', async (t) => {
  const { ask } = await start(t);
  const path = '/api/v1/sinks/nowhere/dead-letters';
  for (const answer of [
    await ask('GET', path),
    await ask('GET', `${path}/5`),
    await ask('POST', path, '{"all":true}'),
    await ask('DELETE', `${path}?all=true`),
  ])
    assert.match(problemOf(answer, 404), /no sink `nowhere`/);
});

test('dead letters API: needs the token, and lets no page of another origin in', async (t) => {
  const { letters, ask } = await start(t, { token: 'correct-horse-42' });
  const requests = [
    ['GET', PATH],
    ['GET', `${PATH}/5`],
    ['POST', PATH, '{"all":true}'],
    ['DELETE', `${PATH}?all=true`],
  ] as const;
  for (const [method, path, body] of requests) problemOf(await ask(method, path, body), 401);
  const authorization = { authorization: 'Bearer correct-horse-42' };
  for (const [method, path, body] of requests.slice(2)) {
    const foreign = { ...authorization, origin: 'https://evil.example' };
    problemOf(await ask(method, path, body, foreign), 403);
  }
  assert.deepEqual([letters.retried, letters.discards], [undefined, []]);
  assert.equal((await ask('POST', PATH, '{"all":true}', authorization)).status, 202);
});
