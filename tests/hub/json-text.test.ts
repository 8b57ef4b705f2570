import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { elementRanges, memberRange } from '../../hub/api/json-text.ts';

/** JSON text of a value, with blanks of all kinds between its tokens. */
function spaced(value: unknown, blanks: readonly string[]): string {
  let at = 0;
  const blank = () => blanks[at++ % Math.max(1, blanks.length)] ?? '';
  const write = (part: unknown): string => {
    if (Array.isArray(part)) {
      const items = part.map((item) => `${blank()}${write(item)}${blank()}`);
      return `[${items.join(',') || blank()}]`;
    }
    if (typeof part === 'object' && part !== null) {
      const members = Object.entries(part).map(
        ([name, item]) => `${blank()}${JSON.stringify(name)}${blank()}:${blank()}${write(item)}`,
      );
      return `{${members.join(`${blank()},`)}${blank()}}`;
    }
    return JSON.stringify(part);
  };
  return `${blank()}${write(value)}${blank()}`;
}

const anyBlanks = fc.array(fc.constantFrom('', ' ', '\n', '\t\r ', '  '), { minLength: 1 });
const anyJson = fc.jsonValue({ stringUnit: 'binary', maxDepth: 4 });
const anyName = fc.oneof(fc.string(), fc.constantFrom('data', '__proto__', '"', '\\', '\\"', '}'));

test('JSON text: the elements of an array are where they say', () => {
  fc.assert(
    fc.property(fc.array(anyJson), anyBlanks, (values, blanks) => {
      const text = spaced(values, blanks);
      const found = elementRanges(text).map(({ start, end }) => JSON.parse(text.slice(start, end)));
      assert.deepEqual(found, JSON.parse(text));
    }),
    { numRuns: 500 },
  );
});

test('JSON text: the members of an object are where they say', () => {
  const anyObject = fc.dictionary(anyName, anyJson, { noNullPrototype: true });
  fc.assert(
    fc.property(anyObject, anyBlanks, (object, blanks) => {
      const text = spaced([object], blanks);
      const [range] = elementRanges(text);
      assert.ok(range);
      // not the names of the parsed text: JSON.parse of Node.js 24.21 reads the member name `"\""`
      // as a backslash when it has met such a name before
      for (const [name, value] of Object.entries(object)) {
        const found = memberRange(text, range.start, name);
        assert.ok(found, name);
        const written = JSON.stringify(JSON.parse(text.slice(found.start, found.end)));
        assert.equal(written, JSON.stringify(JSON.parse(JSON.stringify(value))));
      }
      assert.equal(memberRange(text, range.start, 'a name that is not there'), undefined);
    }),
    { numRuns: 500 },
  );
});

test('JSON text: numbers stay as they were written, the last of two members counts', () => {
  const text = '{"data":1,"\\u0064ata" : 12345678901234567890.50 ,"x":[{"data":3}]}';
  const range = memberRange(text, 0, 'data');
  assert.equal(range && text.slice(range.start, range.end), '12345678901234567890.50');
});

test('JSON text: as deep as the sender likes, in a time that grows with the length', () => {
  const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
  const text = `{"a":${deep},"data":"${'\\\\'.repeat(200_000)}\\"","b":{}}`;
  const startMs = performance.now();
  const range = memberRange(text, 0, 'data');
  assert.equal(range?.end, text.length - ',"b":{}}'.length);
  assert.ok(performance.now() - startMs < 1_000);
});
