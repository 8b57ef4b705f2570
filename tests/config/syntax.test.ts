import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { problemsOf } from './problems-of.ts';

const CASES: readonly (readonly [name: string, yaml: string, problems: readonly string[]])[] = [
  ['a tab', 'hub:\n\tid: a\n', ['2:1  a tab; YAML indents with spaces']],
  [
    'a quote that is never closed, at the quote and not where the file ends',
    'hub:\n  id: "a\nhttp:\n  port: 1\n',
    ['2:7  this quote is never closed'],
  ],
  [
    'a bracket that is never closed',
    'log:\n  lanes: { alarm: ["a", "b"\nhttp:\n  port: 1\n',
    ['2:19  this `[` is never closed'],
  ],
  [
    'text with a colon',
    'hub:\n  id: a: b\n',
    ['2:7  a second `key: value` on one line; put text that holds `: ` in quotes'],
  ],
  [
    'two files in one',
    'hub:\n  id: a\n---\nhub:\n  id: b\n',
    ['3:1  a second document begins here; a configuration is one'],
  ],
  ['a key without a colon', 'hub\nhttp:\n  port: 1\n', ['1:1  a key without `:`']],
  [
    'text after a quote',
    'hub:\n  id: "a" b\n',
    ['2:11  does not belong here; text with special characters needs quotes'],
  ],
  [
    'a character that text cannot begin with',
    'hub:\n  id: @home\n',
    [
      '2:7  text cannot begin with this character; put it in quotes',
      '2:7  hub.id — may hold only letters, digits, `-` and `_`',
    ],
  ],
  [
    'a tag',
    'hub:\n  id: !important a\n',
    ['2:7  is not a known tag; put text that begins with `!` in quotes'],
  ],
  [
    'an alias of nothing',
    'hub:\n  id: *a\n',
    ['2:7  hub.id — is an alias of nothing; put text that begins with `*` in quotes'],
  ],
];

describe('mistakes in the syntax of a configuration', () => {
  for (const [name, yaml, problems] of CASES)
    it(name, () => assert.deepEqual(problemsOf(yaml), problems));

  it('come with the other problems above them, and without ghosts below', () => {
    const text = 'hub:\n  idd: a\nmqtt:\n  anonymous: "\nhttp:\n  prt: 1\n';
    assert.deepEqual(problemsOf(text), [
      '2:3  hub.idd — unknown key (did you mean `id`?)',
      '4:14  this quote is never closed',
    ]);
  });

  it('are all reported at once', () => {
    const text = 'hub:\n\tid: a\nhttp:\n\tport: 1\n';
    assert.deepEqual(
      problemsOf(text).map((problem) => problem.split('  ')[0]),
      ['2:1', '4:1'],
    );
  });
});

describe('a file made to keep the hub busy', () => {
  it('is refused for its aliases', () => {
    let text = 'a: &a0 [x, x, x, x, x, x, x, x, x, x]\n';
    for (let i = 1; i < 9; i++)
      text += `b${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(', ')}]\n`;
    const problems = problemsOf(text);
    assert.ok(
      problems.some((problem) => problem.includes('more than 100 aliases')),
      problems.join('\n'),
    );
  });

  it('is refused when it holds itself', () => {
    assert.deepEqual(problemsOf('hub: &a\n  b: *a\n').slice(0, 1), ['2:3  hub.b — holds itself']);
  });

  it('is refused for its depth', () => {
    for (const text of ['['.repeat(50) + ']'.repeat(50), '['.repeat(100_000), '- '.repeat(50_000)])
      assert.match(problemsOf(text).join('\n'), /nested too deeply/);
  });

  it('is refused for the number of its values', () => {
    assert.match(problemsOf(`a: [${'1,'.repeat(200_000)}]`).join('\n'), /holds too many values/);
  });
});
