import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { Secret } from '../../config/fields.ts';
import { HubError } from '../../hub/core/errors.ts';
import { sampledWarnings } from '../../hub/core/sampled-warnings.ts';
import { createLogger, type LoggerOptions } from '../../hub/observe/logger.ts';

async function logTo(options: LoggerOptions = {}) {
  const lines: string[] = [];
  const destination = new Writable({
    write(line, _encoding, done) {
      lines.push(String(line));
      done();
    },
  });
  const logger = await createLogger({ format: 'json', ...options, destination });
  const last = (): Record<string, unknown> => JSON.parse(lines.at(-1) ?? 'null');
  return { logger, lines, last };
}

test('the logger: writes JSON lines with a level, a time and a sentence', async () => {
  const { logger, last } = await logTo();
  logger.child({ component: 'log' }).info({ events: 3 }, 'The log is open.');
  const { time, ...rest } = last();
  assert.deepEqual(rest, { level: 'info', component: 'log', events: 3, msg: 'The log is open.' });
  assert.match(String(time), /^\d{4}-\d\d-\d\dT.*Z$/);
});

test('the logger: keeps to its level', async () => {
  const { logger, lines } = await logTo({ level: 'warn' });
  logger.info('Not this.');
  logger.warn('This.');
  assert.equal(lines.length, 1);
});

test('the logger: never prints a secret', async () => {
  const { logger, lines } = await logTo();
  logger.info({ key: new Secret('hunter2'), deep: { key: new Secret('hunter2') } }, 'Options.');
  logger.info({ password: 'hunter2', sink: { token: 'hunter2' } }, 'Options.');
  logger.info({ request: { headers: { authorization: 'hunter2' } } }, 'Options.');
  logger.info(`With ${new Secret('hunter2')}.`);
  assert.equal(lines.length, 4);
  for (const line of lines) {
    assert.ok(!line.includes('hunter2'), line);
    assert.ok(line.includes('[secret]'), line);
  }
});

test('the logger: bounds messages and fields', async () => {
  const { logger, lines, last } = await logTo();
  logger.info({ text: 'x'.repeat(100_000) }, 'y'.repeat(100_000));
  assert.ok((lines[0]?.length ?? 0) < 5_000);
  assert.match(String(last()['msg']), /^y{2000}… \(98000 more characters\)$/);
});

test('the logger: tells of errors, ours without a stack, with causes within bounds', async () => {
  const { logger, last } = await logTo();
  const ours = new HubError('LOG_FULL', 'No room.', { cause: new Error('ENOSPC') });
  logger.error({ err: ours }, 'Cannot append.');
  const { cause, ...rest } = Object(last()['err']);
  assert.deepEqual(rest, { type: 'HubError', message: 'No room.', code: 'LOG_FULL' });
  assert.equal(cause.message, 'ENOSPC');
  assert.match(cause.stack, /logger\.test/);
  const circle = new Error('round');
  circle.cause = circle;
  logger.error({ err: circle }, 'Circle.');
  assert.equal(last()['msg'], 'Circle.');
});

test('the logger: is one line for people when asked', async () => {
  const { logger, lines } = await logTo({ format: 'pretty' });
  logger.warn({ component: 'log', events: 3 }, 'The log is nearly full.');
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /WARN.*The log is nearly full\..*"events":3.*\n$/);
  assert.equal(lines[0]?.split('\n').length, 2);
});

function sample(overallMs: number) {
  const clock = { nowMs: 0 };
  const lines: string[] = [];
  const warn = sampledWarnings({
    logger: { warn: (fields, text) => lines.push(`${text} ${JSON.stringify(fields)}`) },
    monotonicMs: () => clock.nowMs,
    perKeyMs: 1_000,
    overallMs,
  });
  return { clock, lines, say: (key: string) => warn(key, `Bad ${key}.`, () => ({ key })) };
}

test('sampled warnings: come once per key and time, and say how many were held back', () => {
  const { clock, lines, say } = sample(0);
  for (let i = 0; i < 5; i++) say('a');
  say('b');
  clock.nowMs = 999;
  say('a');
  clock.nowMs = 1_000;
  say('a');
  say('a');
  assert.deepEqual(lines, [
    'Bad a. {"key":"a"}',
    'Bad b. {"key":"b"}',
    'Bad a. (and 5 more like it before) {"key":"a","heldBack":5}',
  ]);
});

test('sampled warnings: come no oftener than the overall bound, whatever the keys', () => {
  const { clock, lines, say } = sample(100);
  for (let i = 0; i < 50_000; i++) {
    clock.nowMs = i / 100;
    say(`key${i}`);
  }
  assert.equal(lines.length, 5);
  clock.nowMs = 2_000;
  say('key49999');
  assert.match(lines[5] ?? '', /1 more/);
});
