import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HttpIngest, type HttpMessage } from '../../hub/intake/http-ingest.ts';
import { brokerFixture, type FixtureOptions } from '../support/broker-fixture.ts';
import { until } from '../support/until.ts';

const LIMITS = { packetBytesMax: 1024, topicBytesMax: 60, topicLevelsMax: 4 };
const NEVER = new AbortController().signal;

async function fixture(t: TestContext, options: FixtureOptions = {}, roomTimeoutMs = 5_000) {
  const around = await brokerFixture(t, options);
  const { intake, log } = around;
  return { around, ingest: new HttpIngest({ intake, log, limits: LIMITS, roomTimeoutMs }) };
}

const messages = (...payloads: readonly string[]): HttpMessage[] =>
  payloads.map((text) => ({ topic: 'site/a', payload: Buffer.from(text), trace: undefined }));

test('HTTP ingest: answers only when all of it is on stable storage', async (t) => {
  const { around, ingest } = await fixture(t);
  around.storage.hold();
  let outcome: string | undefined;
  const stored = ingest.accept(messages('1', '2', '3'), NEVER).then((result) => {
    outcome = result;
  });
  await until('the write waits', () => around.storage.waiting > 0);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(outcome, undefined, 'nothing is acknowledged before the write is done');
  around.storage.letGo();
  await stored;
  assert.equal(outcome, 'stored');
  assert.deepEqual(await around.events(), ['site/a 1', 'site/a 2', 'site/a 3']);
  assert.deepEqual(
    around.intake.counts().filter(({ events }) => events > 0),
    [{ source: 'http', lane: 'normal', events: 3, bytes: 3 }],
  );
  assert.equal(await ingest.accept([], NEVER), 'stored');
});

test('HTTP ingest: refuses topics as the broker does, and those of the hub', async (t) => {
  const { ingest } = await fixture(t);
  for (const topic of ['a', 'a/b/c/d', 'é', '/'])
    assert.equal(ingest.topicProblem(topic), undefined);
  const bad = [
    '',
    '$SYS/x',
    'a/+',
    '#',
    'holdfast/loss',
    'a/b/c/d/e',
    'x'.repeat(61),
    'a\0',
    '\ud800',
  ];
  for (const topic of bad)
    assert.match(ingest.topicProblem(topic) ?? '', /^(is|begins|has) /, topic);
});

test('HTTP ingest: a full log makes it wait, and then say so; nothing was stored', async (t) => {
  const options = { log: { bytesMax: 1024 ** 2, sinks: [{ id: 's', start: 'oldest' as const }] } };
  const { around, ingest } = await fixture(t, options, 100);
  const big = Array.from({ length: 200 }, (_, n) => ({
    topic: 'site/a',
    payload: Buffer.from(Array.from({ length: 8_192 }, (_, at) => (at * 7919 * (n + at)) >>> 5)),
    trace: undefined,
  }));
  let outcome = 'stored';
  for (let tries = 0; tries < 100 && outcome === 'stored'; tries++) {
    outcome = await ingest.accept(big.slice(tries % 190, (tries % 190) + 5), NEVER);
  }
  assert.equal(outcome, 'full');
  const { tail } = around.log.range('normal');
  const gone = new AbortController();
  const waiting = ingest.accept(messages('1'), gone.signal);
  gone.abort();
  assert.equal(await waiting, 'gone');
  assert.equal(around.log.range('normal').tail, tail);
  const again = new HttpIngest({ intake: around.intake, log: around.log, limits: LIMITS });
  const stored = again.accept(messages('later'), NEVER);
  const before = around.log.cursors.get('s', 'normal');
  const counts = { ...before, offset: tail, delivered: tail };
  around.log.settled('s', 'normal', { ...counts, confirmed: counts });
  assert.equal(await stored, 'stored', 'a sink made room');
});

test('HTTP ingest: a log that closes is not sure', async (t) => {
  const { around, ingest } = await fixture(t);
  await around.log.close();
  assert.equal(await ingest.accept(messages('1'), NEVER), 'unsure');
});
