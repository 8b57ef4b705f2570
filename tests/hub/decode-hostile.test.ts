import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isoToMs } from '../../hub/core/iso-time.ts';
import { createDecoder, type Decoder } from '../../hub/process/decode/decoder.ts';
import { isJsonNumber, parseDecimal } from '../../hub/process/decode/number-text.ts';
import type { DecodeRule } from '../../hub/process/decode/rule.ts';
import { decodeOne, eventOf } from '../support/decode-fixture.ts';

const FORMATS = ['json', 'number', 'csv'] as const;
const RULES: readonly DecodeRule[] = FORMATS.flatMap((format): DecodeRule[] => [
  { topic: `${format}/{device}/{metric}`, format },
  { topic: `${format}/{device}`, format, ...(format === 'csv' && { fields: ['time', 'a', '_'] }) },
  { topic: `${format}-fields/{device}`, format, fields: { a: '1', b: '2' } },
]);
const TOPICS = FORMATS.flatMap((format) => [
  `${format}/dev`,
  `${format}/dev/metric`,
  `${format}-fields/dev`,
  `none/${format}`,
]);
const decode: Decoder = createDecoder(RULES);

/** What must hold for any payload. */
function check(payload: Buffer): void {
  for (const topic of TOPICS) {
    const { json, readings, error } = decode(eventOf(topic, payload));
    let valid = true;
    try {
      JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload));
    } catch {
      valid = false;
    }
    assert.equal(json !== undefined, valid, `json of ${topic}`);
    assert.ok(readings.length <= 64);
    if (topic.startsWith('none')) assert.equal(readings.length, 0);
    else assert.ok(readings.length > 0 || error !== undefined, 'readings or a reason');
    for (const { value, metric, timeMs } of readings) {
      assert.ok(typeof value !== 'number' || Number.isFinite(value));
      assert.ok(typeof value !== 'string' || value.length <= 1024);
      assert.ok(metric.length <= 256 && Number.isInteger(timeMs));
      assert.equal(Buffer.from(metric, 'utf8').toString('utf8'), metric, 'no half of a pair');
    }
  }
}

test('decoding whatever arrives: holds its promises for any bytes', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => check(Buffer.from(bytes))));
});

test('decoding whatever arrives: holds its promises for any JSON', () => {
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), fc.boolean(), (value, spaced) =>
      check(Buffer.from(JSON.stringify(value, undefined, spaced ? 1 : 0))),
    ),
  );
});

test('decoding whatever arrives: holds its promises for text that is nearly right', () => {
  const piece = fc.constantFrom(
    ...['"', ',', '\n', '\r\n', '{', '}', '[', ']', ':', '1', '-2.5', 'e4', 'true', 'null', ' '],
    ...['"v"', '"t"', '"a"', '\\ud800', '\\', '\t', '1772366395', '\u00a0', '\ufeff', '_', 'nan'],
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (parts) =>
      check(Buffer.from(parts.join(''), 'utf8')),
    ),
    { numRuns: 500 },
  );
});

test('decoding whatever arrives: reads numbers as JSON does', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      const text = JSON.stringify(value);
      assert.ok(isJsonNumber(text));
      assert.equal(parseDecimal(text), JSON.parse(text));
    }),
  );
});

test('decoding whatever arrives: reads times as they are written', () => {
  const date = fc.date({ min: new Date(0), max: new Date('9999-01-01'), noInvalidDate: true });
  fc.assert(fc.property(date, (at) => assert.equal(isoToMs(at.toISOString()), at.getTime())));
  for (const text of ['', '2026', '2026-3-1', '2026-13-01', '2026-03-01T', '2026-03-01T24:00:00Z'])
    assert.equal(isoToMs(text), undefined, text);
  for (const text of ['2026-03-01T10:00Zx', '2026-03-01T10:00:00.Z', '2026-03-01T10:00+2'])
    assert.equal(isoToMs(text), undefined, text);
});

test('decoding whatever arrives: pollutes nothing', () => {
  const payload =
    '{"__proto__":{"polluted":1,"v":2},"constructor":{"prototype":{"polluted":3}},"x":4}';
  const { readings } = decodeOne({ topic: '{device}', format: 'json' }, 'd', payload);
  assert.deepEqual(
    readings.map((reading) => reading.metric),
    ['__proto___polluted', '__proto___v', 'x'],
  );
  assert.equal(Reflect.get({}, 'polluted'), undefined);
  const inherited = decodeOne(
    { topic: '{device}', format: 'json', fields: { a: 'constructor.name', b: '__proto__.x' } },
    'd',
    '{"x":1}',
  );
  assert.deepEqual(inherited.readings, []);
  const tags = decodeOne({ topic: '{__proto__}/{device}', format: 'json' }, 'x/d', '1');
  assert.equal(Reflect.get({}, 'x'), undefined);
  assert.equal(Object.getPrototypeOf(tags.readings[0]?.tags), null);
});

const size = 256 * 1024;
const large: readonly [string, string | Buffer][] = [
  ['300 levels', `${'{"a":'.repeat(300)}1${'}'.repeat(300)}`],
  ['as many levels as fit', '['.repeat(size / 2) + ']'.repeat(size / 2)],
  ['levels that never end', '{"a":'.repeat(size / 5)],
  ['keys', `{${Array.from({ length: size / 12 }, (_, i) => `"k${i}":${i}`).join(',')}}`],
  ['a long text', JSON.stringify('x'.repeat(size - 2))],
  ['a long key', `{"${'k'.repeat(size - 10)}":1}`],
  ['digits', '1'.repeat(size)],
  ['blanks', ' '.repeat(size)],
  ['line ends', '\n'.repeat(size)],
  ['lines', 'x\n'.repeat(size / 2)],
  ['quotes', '"'.repeat(size)],
  ['quoted columns', '"",'.repeat(size / 3)],
  ['commas', ','.repeat(size)],
  ['zeros', Buffer.alloc(size)],
  ['no UTF-8', Buffer.alloc(size, 0xff)],
];
for (const [name, payload] of large)
  test(`decoding whatever arrives: is not slowed down by 256 KiB: ${name}`, () => {
    const event = Buffer.from(payload);
    let bestMs = Number.POSITIVE_INFINITY;
    for (const topic of TOPICS) {
      for (let i = 0; i < 3; i++) {
        const startMs = performance.now();
        decode(eventOf(topic, event));
        bestMs =
          i === 0 ? performance.now() - startMs : Math.min(bestMs, performance.now() - startMs);
      }
      // The best of 3: others share the machine.
      assert.ok(bestMs < 50, `${topic}: ${bestMs.toFixed(1)} ms`);
    }
  });

test('decoding whatever arrives: survives topics of any shape', () => {
  const deep = Array.from({ length: 200 }, (_, i) => `l${i}`).join('/');
  const rules: readonly DecodeRule[] = [{ topic: 'l0/{device}/#', format: 'number' }];
  const any = createDecoder(rules);
  assert.equal(any(eventOf(deep, '1')).device, 'l1');
  assert.equal(any(eventOf(`l0/${'x'.repeat(65_000)}/m`, '1')).readings.length, 0);
  assert.equal(any(eventOf('l0//m', '1')).readings.length, 0);
  for (let i = 0; i < 20_000; i++) assert.equal(any(eventOf(`l0/d${i}`, '1')).device, `d${i}`);
});
