import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  formatTraceparent,
  isSampled,
  newSpanId,
  newTraceId,
  parseTraceparent,
  parseTracestate,
} from '../../hub/core/trace.ts';

const hex = (digits: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'), { minLength: digits, maxLength: digits })
    .map((all) => all.join(''));
const anyTraceId = hex(32).filter((id) => !/^0+$/.test(id));
const anySpanId = hex(16).filter((id) => !/^0+$/.test(id));

test('traceparent: what follows the recommendation is read, and written the same', () => {
  fc.assert(
    fc.property(anyTraceId, anySpanId, fc.nat({ max: 3 }), (traceId, spanId, flags) => {
      const text = `00-${traceId}-${spanId}-0${flags}`;
      const context = parseTraceparent(text);
      assert.deepEqual(context, { traceId, spanId, flags });
      assert.ok(context);
      assert.equal(formatTraceparent(context), text);
      assert.equal(isSampled(context), flags % 2 === 1);
    }),
  );
});

test('traceparent: a later version may have more behind, and unknown flags are not passed on', () => {
  const [traceId, spanId] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
  assert.deepEqual(parseTraceparent(`cc-${traceId}-${spanId}-01-what-the-future-brings`), {
    traceId,
    spanId,
    flags: 1,
  });
  assert.deepEqual(parseTraceparent(`cc-${traceId}-${spanId}-01`)?.flags, 1);
  assert.equal(parseTraceparent(`00-${traceId}-${spanId}-ff`)?.flags, 3);
  assert.equal(parseTraceparent(`cc-${traceId}-${spanId}-01.what`), undefined);
  assert.equal(parseTraceparent(`cc-${traceId}-${spanId}-01-${'x'.repeat(1000)}`), undefined);
});

test('traceparent: everything else is none', () => {
  const [traceId, spanId] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
  const good = `00-${traceId}-${spanId}-01`;
  const bad = [
    '',
    '00',
    good.toUpperCase(),
    ` ${good}`,
    `${good} `,
    `${good}\n`,
    `${good}-`,
    `${good}-more`,
    `${good}, ${good}`,
    good.replace('00-', 'ff-'),
    good.replace('00-', '0-'),
    good.replace('00-', '0g-'),
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.slice(1)}-${spanId}-01`,
    `00-${traceId}-${spanId}0-01`,
    `00-${traceId}-${spanId}-1`,
    `00-${traceId}-${spanId}-0x`,
    good.replaceAll('-', '_'),
    `00-${'４'.repeat(32)}-${spanId}-01`,
  ];
  for (const text of bad) assert.equal(parseTraceparent(text), undefined, JSON.stringify(text));
  const mutated = fc.tuple(fc.nat({ max: good.length - 1 }), fc.string({ unit: 'binary' }));
  fc.assert(
    fc.property(mutated, ([at, piece]) => {
      const text = good.slice(0, at) + piece + good.slice(at + 1);
      const context = parseTraceparent(text);
      if (context === undefined) return;
      assert.match(context.traceId, /^[0-9a-f]{32}$/);
      assert.match(context.spanId, /^[0-9a-f]{16}$/);
      assert.ok(context.flags >= 0 && context.flags <= 3);
    }),
    { numRuns: 2_000 },
  );
});

test('tracestate: lists that follow the rules, and none of the others', () => {
  const good: readonly (readonly [string, string])[] = [
    ['rojo=00f067aa0ba902b7,congo=t61rcWkgMzE', 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'],
    ['a=1 ,\tb=2,', 'a=1,b=2'],
    ['fw529a3039@dt=FfAAA', 'fw529a3039@dt=FfAAA'],
    ['0tenant@sys=a b', '0tenant@sys=a b'],
    ['a_-*/=x', 'a_-*/=x'],
  ];
  for (const [text, expected] of good) assert.equal(parseTracestate(text), expected, text);
  const tooMany = Array.from({ length: 33 }, (_, n) => `a${n}=1`).join(',');
  const long = `a=${'x'.repeat(257)}`;
  const bad = ['', ',', 'a', 'a=', 'A=1', '1a=1', 'a=1,a=2', 'a=ü', 'a==', tooMany, long, 'a=1\n'];
  for (const text of bad) assert.equal(parseTracestate(text), undefined, JSON.stringify(text));
  assert.equal(parseTracestate(`a=${'x'.repeat(256)},b=${'x'.repeat(256)}`), undefined);
});

test('ids are random, of the right length and never zero', () => {
  const traces = new Set(Array.from({ length: 10_000 }, newTraceId));
  const spans = new Set(Array.from({ length: 10_000 }, newSpanId));
  assert.equal(traces.size, 10_000);
  assert.equal(spans.size, 10_000);
  for (const id of traces) assert.match(id, /^[0-9a-f]{32}$/);
  for (const id of spans) assert.match(id, /^[0-9a-f]{16}$/);
});
