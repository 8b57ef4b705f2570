import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createApi } from '../../hub/api/server.ts';
import {
  type DeadLettersIo,
  discardCommand,
  listCommand,
  retryCommand,
  showCommand,
} from '../../hub/cli/dead-letters.ts';
import { HubError } from '../../hub/core/errors.ts';
import { afterTest } from '../support/after-test.ts';
import { deadLetterOf } from '../support/fixed-dead-letters.ts';
import { FixedView } from '../support/fixed-view.ts';
import { freePort } from '../support/free-port.ts';

class Text {
  text = '';
  write(text: string): void {
    this.text += text;
  }
}

type Asking = DeadLettersIo['ask'];

async function startApi(t: TestContext) {
  const view = new FixedView();
  const { deadLetters } = view;
  deadLetters.letters = [7, 5, 2].map((number) => deadLetterOf(number));
  const api = createApi({
    view,
    hubId: 'gw',
    host: '127.0.0.1',
    port: 0,
    consoleDir: '',
    logger: { error: () => undefined },
  });
  afterTest(t, () => api.close());
  const { url } = await api.listen();
  const common = { sink: 'cloud', json: false, url };
  /** Runs one of the commands. */
  const run = async <Options>(
    command: (options: Options, io: DeadLettersIo) => Promise<number>,
    options: Omit<Options, keyof typeof common> & Partial<typeof common>,
    ask?: Asking,
  ) => {
    const [stdout, stderr] = [new Text(), new Text()];
    const io = { stdout, stderr, env: {}, ask };
    const all: Options = Object.assign(Object.create(null), common, options);
    const code = await command(all, io);
    return { code, out: stdout.text, err: stderr.text };
  };
  return { letters: deadLetters, run, url };
}

function failsWith(code: string, message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof HubError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

const LIST = { limit: '20', oldest: false };
const RETRY = { all: false, wait: false };
const DISCARD = { all: false, yes: false };

test('holdfast dead-letters list: shows reason, topic, time and attempts, harmless to print', async (t) => {
  const { letters, run } = await startApi(t);
  letters.letters[1] = deadLetterOf(5, { topic: 'a\u001b[31m/b', attempts: 2, retrying: true });
  const { code, out } = await run(listCommand, { ...LIST, limit: '2' });
  assert.equal(code, 0);
  assert.match(out, /^3 dead letters of sink cloud, of them 2:\n/);
  assert.match(out, / 7 {2}1970-01-01T00:00:02\.000Z {2}site\/a\/dev1\/temp {2}\(1 attempt\)\n/);
  assert.match(out, /127\.0\.0\.1 answered 400\n +\{"n":3\}/);
  assert.match(out, /a\\u\{1b\}\[31m\/b {2}\(2 attempts, waits to be sent again\)/);
  assert.match(out, /--after 5\n$/);
  await run(listCommand, { limit: '3', after: '9', oldest: true });
  assert.deepEqual(letters.asked, { order: 'oldest', after: 9, limit: 3 });
  const json = await run(listCommand, { ...LIST, json: true });
  assert.deepEqual(JSON.parse(json.out).letters, letters.letters);
  letters.letters = [];
  assert.equal((await run(listCommand, LIST)).out, 'sink cloud has no dead letters\n');
});

test('holdfast dead-letters show: has all of one letter', async (t) => {
  const { letters, run } = await startApi(t);
  const { out } = await run(showCommand, { number: '5' });
  assert.match(out, /^number: +5\nevent: +gw\.abc\.normal\.105\n/);
  assert.match(out, /response: +bad value\npayload: +7 bytes of json\n\{\n {2}"n": 3\n\}\n$/);
  letters.payload = { text: 'x\u0007' };
  assert.match((await run(showCommand, { number: '5' })).out, /x\\u\{7\}\n$/);
  const json = await run(showCommand, { number: '5', json: true });
  assert.equal(JSON.parse(json.out).number, 5);
  await assert.rejects(run(showCommand, { number: '6' }), failsWith('USAGE', /no dead letter 6/));
  await assert.rejects(run(showCommand, { number: 'x' }), failsWith('USAGE', /--number x is no/));
});

test('holdfast dead-letters retry: asks for them, and with --wait says what became of them', async (t) => {
  const { letters, run } = await startApi(t);
  const asked = await run(retryCommand, { ...RETRY, number: ['5', '2'] });
  assert.deepEqual(letters.retried, { numbers: [5, 2] });
  assert.equal(asked.out, '2 dead letters of sink cloud will be sent again\n');
  let polls = 0;
  const { list, retry } = letters;
  letters.retry = (...args) => retry(...args);
  letters.list = (...args) => {
    polls++;
    const waiting = Math.max(0, 3 - polls);
    letters.retries = { ...letters.retries, waiting, taken: 2, refused: 1 };
    if (waiting === 0) letters.letters = letters.letters.slice(0, 1);
    return list(...args);
  };
  const waited = await run(retryCommand, { all: true, wait: true });
  assert.equal(waited.code, 69, 'one is refused still');
  assert.equal(waited.out, '2 taken, 1 refused again; sink cloud has 1 dead letter\n');
  assert.match(waited.err, /2 dead letters wait for the far side/);
});

test('holdfast dead-letters retry --wait: tells when a restart has ended it', async (t) => {
  const { letters, run } = await startApi(t);
  const { list } = letters;
  letters.list = (...args) => {
    letters.retries = { waiting: 0, taken: 0, refused: 0, sinceMs: 6 };
    return list(...args);
  };
  await assert.rejects(
    run(retryCommand, { all: true, wait: true }),
    failsWith('USAGE', /was restarted.*3 dead letters.*retry those/),
  );
});

test('holdfast dead-letters discard: --all wants to be sure', async (t) => {
  const { letters, run } = await startApi(t);
  await assert.rejects(
    run(discardCommand, { ...DISCARD, all: true }),
    failsWith('USAGE', /3 dead letters of sink cloud would be lost.*--yes/),
  );
  for (const answer of ['', 'n', 'yup', 'no']) {
    const kept = await run(discardCommand, { ...DISCARD, all: true }, async (question) => {
      assert.match(question, /Discard 3 dead letters of sink cloud for good\? \[y\/N\]/);
      return answer;
    });
    assert.deepEqual([kept.code, kept.err], [0, 'nothing was discarded\n']);
  }
  assert.deepEqual(letters.discards, []);
  const some = await run(discardCommand, { ...DISCARD, number: ['5'] });
  assert.equal(some.out, '1 dead letter discarded; sink cloud has 2 dead letters\n');
  await run(discardCommand, { ...DISCARD, all: true }, async () => ' Yes ');
  assert.deepEqual(letters.discards, [{ numbers: [5] }, 'all']);
  letters.letters = [7, 5].map((number) => deadLetterOf(number));
  letters.underWay = 1;
  const busy = await run(discardCommand, { all: true, yes: true });
  assert.equal(busy.code, 69);
  assert.match(busy.out, /^1 dead letter discarded, 1 left alone: they are being sent/);
});

test('holdfast dead-letters: many numbers are discarded in requests that fit', async (t) => {
  const { letters, run } = await startApi(t);
  letters.letters = Array.from({ length: 1_200 }, (_, number) => deadLetterOf(number));
  const number = letters.letters.map((letter) => String(letter.number));
  const { out } = await run(discardCommand, { ...DISCARD, number });
  assert.match(out, /^1,200 dead letters discarded; sink cloud has 0 dead letters/);
  assert.equal(letters.discards.length, 3);
});

test('holdfast dead-letters: says what is wrong', async (t) => {
  const { run } = await startApi(t);
  for (const command of [
    run(retryCommand, RETRY),
    run(discardCommand, { ...DISCARD, yes: true }),
    run(retryCommand, { ...RETRY, number: ['1'], all: true }),
  ])
    await assert.rejects(command, failsWith('USAGE', /give --number or --all/));
  await assert.rejects(
    run(listCommand, { ...LIST, sink: 'x y' }),
    failsWith('USAGE', /no sink `x y`/),
  );
  await assert.rejects(
    run(listCommand, { ...LIST, limit: '0' }),
    failsWith('USAGE', /`limit` is not in its range/),
  );
  const url = `http://127.0.0.1:${await freePort()}`;
  await assert.rejects(
    run(listCommand, { ...LIST, url }),
    failsWith('SERVICE_UNAVAILABLE', /no hub answers/),
  );
});
