import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type StreamEvent, sseParser } from '../../console/src/sse.ts';

function parse(chunks: readonly string[]): StreamEvent[] {
  const events: StreamEvent[] = [];
  const parser = sseParser((event) => events.push(event));
  for (const chunk of chunks) parser.push(chunk);
  return events;
}

test('events, comments, several data lines and unknown fields', () => {
  const text =
    ': heartbeat\n\nevent: status\ndata: {"a":1}\nid: 7\n\ndata:x\ndata: y\ndata:  z\n\nevent: lost\n\ndata\n\n';
  assert.deepEqual(parse([text]), [
    { event: 'status', data: '{"a":1}' },
    { event: 'message', data: 'x\ny\n z' },
    { event: 'message', data: '' },
  ]);
});

test('an event is not given before its empty line', () => {
  assert.deepEqual(parse(['data: half\n']), []);
});

test('any line end, cut at any place, gives the same events', () => {
  const text = 'event: readings\ndata: [1]\n\n: beat\n\ndata: a\ndata: b\n\n';
  const whole = parse([text]);
  assert.equal(whole.length, 2);
  fc.assert(
    fc.property(
      fc.constantFrom('\n', '\r\n', '\r'),
      fc.array(fc.integer({ min: 0, max: text.length * 2 }), { maxLength: 12 }),
      (lineEnd, cuts) => {
        const sent = `${text.replaceAll('\n', lineEnd)}: end`;
        const places = [0, ...cuts.toSorted((a, b) => a - b), sent.length];
        const chunks = places.slice(1).map((end, i) => sent.slice(places[i], end));
        assert.deepEqual(parse(chunks), whole);
      },
    ),
  );
});

test('an event without an end does not fill the memory', () => {
  const parser = sseParser(() => {});
  const endless = 'x'.repeat(1_000_000);
  assert.throws(() => {
    for (let i = 0; i < 20; i++) parser.push(endless);
  }, /too large/);
  const lines = sseParser(() => {});
  assert.throws(() => {
    for (let i = 0; i < 20; i++) lines.push(`data: ${endless}\n`);
  }, /too large/);
});
