import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cutReason } from '../../hub/intake/broker/refusals.ts';
import {
  clientIdRefusal,
  topicRefusals,
  willRefusal,
} from '../../hub/intake/broker/topic-rules.ts';

const refusal = topicRefusals({ topicBytesMax: 20, topicLevelsMax: 4 });

for (const [topic, reason] of [
  ['a/b/c/d', ''],
  ['/a//b', ''],
  ['a/b/c/d/e', 'topic_too_deep'],
  ['a/b/c/d/', 'topic_too_deep'],
  ['x'.repeat(20), ''],
  ['x'.repeat(21), 'topic_too_long'],
  ['ü'.repeat(10), ''],
  [`${'ü'.repeat(10)}x`, 'topic_too_long'],
  ['$SYS/a', 'reserved_topic'],
  ['a/$SYS', ''],
  ['a\u0000', 'topic_characters'],
  ['a\u001f', 'topic_characters'],
  ['a\u007f', 'topic_characters'],
  ['a\u0085', 'topic_characters'],
  ['a\u00a0', ''],
  ['a\ufffd', 'topic_characters'],
  ['__proto__', ''],
] as const) {
  test(`topic ${JSON.stringify(topic)}: ${reason || 'is taken'}`, () => {
    assert.equal(refusal(topic), reason);
    assert.equal(refusal(topic), reason, 'and so it is remembered');
  });
}

test('bytes that are not UTF-8 never pass as a topic', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 12 }), (bytes) => {
      const text = Buffer.from(bytes).toString('utf8');
      const isUtf8 = Buffer.from(text, 'utf8').equals(Buffer.from(bytes));
      if (!isUtf8) assert.notEqual(refusal(text), '');
    }),
  );
});

test('client ids', () => {
  assert.equal(clientIdRefusal('dev-1', false), '');
  assert.equal(clientIdRefusal('', true), '');
  assert.equal(clientIdRefusal('', false), 'client_id_missing');
  assert.equal(clientIdRefusal('x'.repeat(256), true), '');
  assert.equal(clientIdRefusal('x'.repeat(257), true), 'client_id_too_long');
  assert.equal(clientIdRefusal('a\u0000', true), 'client_id_characters');
});

test('wills: what a publish may not be, and no wildcard', () => {
  assert.equal(willRefusal('a/b', refusal), '');
  assert.equal(willRefusal('', refusal), 'malformed_packet');
  assert.equal(willRefusal('a/+', refusal), 'topic_wildcard');
  assert.equal(willRefusal('a/#', refusal), 'topic_wildcard');
  assert.equal(willRefusal('$SYS/a', refusal), 'reserved_topic');
});

test('a lost connection is no refusal', () => {
  assert.equal(cutReason(new Error('read ECONNRESET')), undefined);
  assert.equal(cutReason(new Error('drain timeout')), 'too_slow');
});
